//! The performance counters that a `HotSpot` JVM keeps in a file, `hsperfdata` (version 2 of its
//! format, unchanged since Java 5): what `jstat` reads. The crates for it are under the GPL or map
//! the file into memory, which its owner may cut short at any time.

use std::collections::HashMap;

/// First four bytes.
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];

/// Size of the header and of what stands before the name of each entry, in bytes.
const HEADER: usize = 32;
const ENTRY_HEADER: usize = 20;

/// Maximum number of counters that are read. A JVM has about 250.
const MAX_ENTRIES: usize = 4096;

/// The counters of a JVM.
#[derive(Debug, Default)]
pub(super) struct PerfData {
    numbers: HashMap<String, u64>,
    texts: HashMap<String, String>,
}

impl PerfData {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not such a file, or the JVM has not filled it yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        const CUT_SHORT: &str = "the JVM's performance data are cut short";
        if bytes.get(..4) != Some(&MAGIC) {
            return Err("it is no file of performance data");
        }
        let file = File {
            bytes,
            is_little_endian: bytes.get(4) == Some(&1),
        };
        if bytes.get(5) != Some(&2) {
            return Err("its format is not known");
        }
        if bytes.get(7) != Some(&1) {
            return Err("the JVM has just started");
        }
        let (mut offset, count) = file.u32(24).zip(file.u32(28)).ok_or(CUT_SHORT)?;
        if offset < HEADER {
            return Err(CUT_SHORT);
        }
        let mut found = Self::default();
        for _ in 0..count.min(MAX_ENTRIES) {
            let entry = Entry::read(file, offset).ok_or(CUT_SHORT)?;
            found.add(file, &entry);
            offset = offset.checked_add(entry.length).ok_or(CUT_SHORT)?;
        }
        Ok(found)
    }

    fn add(&mut self, file: File<'_>, entry: &Entry<'_>) {
        let name = String::from_utf8_lossy(entry.name).into_owned();
        match (entry.kind, entry.elements) {
            (b'J', 0) => {
                if let Some(value) = file.u64(entry.data) {
                    self.numbers.insert(name, value);
                }
            }
            (b'B', 1..) => {
                let end = entry.data.saturating_add(entry.elements);
                let text = file.bytes.get(entry.data..end).unwrap_or_default();
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).into_owned();
                self.texts.insert(name, text);
            }
            _ => {}
        }
    }

    /// Returns a counter.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }

    /// Returns a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
}

impl File<'_> {
    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.bytes.get(offset..)?.first_chunk().copied()
    }

    fn u32(self, offset: usize) -> Option<usize> {
        let bytes = self.array(offset)?;
        let value = if self.is_little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(value).ok()
    }

    fn u64(self, offset: usize) -> Option<u64> {
        let bytes = self.array(offset)?;
        Some(if self.is_little_endian {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }
}

struct Entry<'a> {
    /// From this entry to the next one.
    length: usize,
    name: &'a [u8],
    /// Type as the JVM writes it: `J` is a 64-bit integer, `B` a byte.
    kind: u8,
    /// Number of elements of an array; 0 for a single value.
    elements: usize,
    /// Where its data begin in the file.
    data: usize,
}

impl<'a> Entry<'a> {
    fn read(file: File<'a>, offset: usize) -> Option<Self> {
        let length = file.u32(offset)?;
        let end = offset.checked_add(length)?;
        let bytes = file.bytes.get(offset..end)?;
        if length < ENTRY_HEADER {
            return None;
        }
        let name = bytes.get(file.u32(offset + 4)?..)?;
        Some(Self {
            length,
            name: name.split(|byte| *byte == 0).next()?,
            kind: *bytes.get(12)?,
            elements: file.u32(offset + 8)?,
            data: offset.checked_add(file.u32(offset + 16)?)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a file with these counters, as a JVM on a little-endian machine writes it.
    pub(in crate::sidecar) fn file(numbers: &[(&str, u64)], texts: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 2, 0, 1]);
        bytes.extend([0; 16]);
        let count = u32::try_from(numbers.len() + texts.len()).unwrap();
        bytes.extend(u32::try_from(HEADER).unwrap().to_le_bytes());
        bytes.extend(count.to_le_bytes());
        let mut add = |name: &str, kind: u8, elements: usize, data: &[u8]| {
            let name_length = (name.len() + 1).next_multiple_of(8);
            let data_offset = ENTRY_HEADER + name_length;
            let length = (data_offset + data.len()).next_multiple_of(8);
            let mut entry = Vec::new();
            for word in [length, ENTRY_HEADER, elements] {
                entry.extend(u32::try_from(word).unwrap().to_le_bytes());
            }
            entry.extend([kind, 1, 2, 3]);
            entry.extend(u32::try_from(data_offset).unwrap().to_le_bytes());
            entry.extend(name.as_bytes());
            entry.resize(data_offset, 0);
            entry.extend(data);
            entry.resize(length, 0);
            bytes.extend(entry);
        };
        for (name, value) in numbers {
            add(name, b'J', 0, &value.to_le_bytes());
        }
        for (name, text) in texts {
            add(name, b'B', text.len() + 1, format!("{text}\0").as_bytes());
        }
        bytes
    }

    #[test]
    fn counters_and_texts_are_read() {
        let bytes = file(&[("a", 7), ("b.c", u64::MAX)], &[("d", "GarbageFirst")]);
        let data = PerfData::parse(&bytes).unwrap();
        assert_eq!(data.number("a"), Some(7));
        assert_eq!(data.number("b.c"), Some(u64::MAX));
        assert_eq!(data.number("d"), None);
        assert_eq!(data.text("d"), Some("GarbageFirst"));
    }

    #[test]
    fn whatever_a_file_holds_nothing_else_is_read() {
        let whole = file(&[("a", 7)], &[("d", "text")]);
        for length in 0..whole.len() {
            drop(PerfData::parse(&whole[..length]));
        }
        for index in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[index] = value;
                drop(PerfData::parse(&changed));
            }
        }
        for (index, value, expected) in [
            (0, 0, "no file of performance data"),
            (5, 1, "format is not known"),
            (7, 0, "just started"),
            (28, 9, "cut short"),
        ] {
            let mut changed = whole.clone();
            changed[index] = value;
            let error = PerfData::parse(&changed).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
