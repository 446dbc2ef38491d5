//! Printing of cells as text, in the format of the peer's own library. The text has no line breaks.

mod code;
mod core_names;
mod scalar;

use std::fmt::{self, Write};

use crate::cell::items::{Item, Items};
use crate::cell::{Cell, Node};
use crate::encode::encode;
use crate::hash::Hash;
use crate::tag;

use scalar::complete_characters_len;

/// Maximum number of bytes that the `Display` implementation of [`Cell`] writes: with shared
/// branches, a small message can print as almost endless text. The whole state of a network with
/// 132 accounts takes 600 kB.
pub const MAX_PRINTED_BYTES: usize = 16 << 20;

/// Appended to text that was cut at its limit, as in the peer's library.
const LIMIT_MARK: &str = "<<Print limit exceeded>>";

impl Cell {
    /// Returns the printed form. Text longer than `limit` bytes is cut there, and
    /// `<<Print limit exceeded>>` is appended.
    #[must_use]
    pub const fn printed(&self, limit: usize) -> Printed<'_> {
        Printed {
            cell: self,
            limit,
            record_names: false,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.printed(MAX_PRINTED_BYTES), f)
    }
}

/// The printed form of a cell, with a limit. Created by [`Cell::printed`].
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a> {
    cell: &'a Cell,
    limit: usize,
    record_names: bool,
}

impl Printed<'_> {
    /// Prints records with their names, and a Result with all its fields.
    #[must_use]
    pub const fn with_record_names(mut self) -> Self {
        self.record_names = true;
        self
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer {
            out: Bounded {
                out: f,
                left: self.limit,
                full: false,
            },
            record_names: self.record_names,
        };
        match printer.cell(self.cell) {
            Err(fmt::Error) if printer.out.full => f.write_str(LIMIT_MARK),
            result => result,
        }
    }
}

/// Writes up to `left` bytes, then fails.
struct Bounded<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    /// Number of bytes that may still be written.
    left: usize,
    /// Whether a write failed because of the limit.
    full: bool,
}

impl Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(left) = self.left.checked_sub(text.len()) {
            self.left = left;
            return self.out.write_str(text);
        }
        self.full = true;
        let cut = (0..=self.left)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        self.out.write_str(&text[..cut])?;
        Err(fmt::Error)
    }
}

struct Printer<'a, 'b> {
    out: Bounded<'a, 'b>,
    record_names: bool,
}

impl Printer<'_, '_> {
    fn cell(&mut self, cell: &Cell) -> fmt::Result {
        match cell {
            Cell::Nil => self.out.write_str("nil"),
            Cell::Bool(value) => write!(self.out, "{value}"),
            Cell::Integer(value) => write!(self.out, "{value}"),
            Cell::BigInteger(big) => write!(self.out, "{}", big.to_bigint()),
            Cell::Double(value) => self.double(*value, cell),
            Cell::Char(point) => self.character(*point),
            Cell::String(chunk) => {
                self.out.write_char('"')?;
                self.text(chunk.as_bytes())?;
                self.out.write_char('"')
            }
            Cell::Blob(chunk) => {
                self.out.write_str("0x")?;
                self.hex(chunk.as_bytes())
            }
            Cell::Symbol(name) => self
                .out
                .write_str(&String::from_utf8_lossy(name.as_bytes())),
            Cell::Keyword(name) => {
                write!(self.out, ":{}", String::from_utf8_lossy(name.as_bytes()))
            }
            Cell::Extension(extension) => self.extension(*extension, cell),
            Cell::Flag(_) => self.raw(cell),
            Cell::Tree(node) => self.node(node, cell),
            Cell::Ref(hash) => self.missing(hash),
        }
    }

    /// Prints a missing branch with the first digits of its hash.
    fn missing(&mut self, hash: &Hash) -> fmt::Result {
        write!(
            self.out,
            "#[missing {}]",
            hex::encode(&hash.as_bytes()[..4])
        )
    }

    /// Prints a cell without a textual form as its encoding.
    fn raw(&mut self, cell: &Cell) -> fmt::Result {
        self.out.write_str("#[")?;
        self.hex(&encode(cell))?;
        self.out.write_char(']')
    }

    fn hex(&mut self, bytes: &[u8]) -> fmt::Result {
        bytes
            .chunks(64)
            .try_for_each(|part| self.out.write_str(&hex::encode(part)))
    }

    fn node(&mut self, node: &Node, cell: &Cell) -> fmt::Result {
        match node.tag {
            tag::STRING | tag::BLOB => self.chunks(node),
            tag::VECTOR => self.sequence("[", node, "]"),
            tag::LIST => self.sequence("(", node, ")"),
            tag::SET => self.set(node),
            tag::MAP => self.entries("{", node),
            tag::INDEX => self.entries("#Index {", node),
            tag::SYNTAX => {
                self.out.write_char('^')?;
                match &node.children[1] {
                    Cell::Nil => self.out.write_str("{}")?,
                    metadata => self.cell(metadata)?,
                }
                self.out.write_char(' ')?;
                self.cell(&node.children[0])
            }
            tag::SIGNED => self.fields(
                "#Signed ",
                &[":public-key", ":signature", ":value"],
                node.children.iter(),
            ),
            tag::SIGNED_BARE => {
                self.fields("#Signed ", &[":signature", ":value"], node.children.iter())
            }
            0xc0..=0xcf => self.operation(node, cell),
            _ => self.record(node, cell),
        }
    }

    /// Prints a String or Blob of several chunks.
    fn chunks(&mut self, node: &Node) -> fmt::Result {
        let is_string = node.tag == tag::STRING;
        self.out.write_str(if is_string { "\"" } else { "0x" })?;
        // A character may span two chunks.
        let mut rest = Vec::new();
        for item in Items::new(node) {
            match item {
                Item::Value(Cell::Blob(chunk)) if is_string => {
                    rest.extend_from_slice(chunk.as_bytes());
                    let done = complete_characters_len(&rest);
                    self.text(&rest[..done])?;
                    rest.drain(..done);
                }
                Item::Value(Cell::Blob(chunk)) => self.hex(chunk.as_bytes())?,
                Item::Value(other) | Item::Missing(other) => self.cell(other)?,
            }
        }
        self.text(&rest)?;
        self.out.write_str(if is_string { "\"" } else { "" })
    }

    fn sequence(&mut self, open: &str, node: &Node, close: &str) -> fmt::Result {
        self.out.write_str(open)?;
        for (index, item) in Items::new(node).enumerate() {
            if index > 0 {
                self.out.write_char(' ')?;
            }
            let (Item::Value(cell) | Item::Missing(cell)) = item;
            self.cell(cell)?;
        }
        self.out.write_str(close)
    }

    fn set(&mut self, node: &Node) -> fmt::Result {
        self.out.write_str("#{")?;
        for (index, item) in Items::new(node).enumerate() {
            if index > 0 {
                self.out.write_char(',')?;
            }
            let (Item::Value(cell) | Item::Missing(cell)) = item;
            self.cell(cell)?;
        }
        self.out.write_char('}')
    }

    fn entries(&mut self, open: &str, node: &Node) -> fmt::Result {
        self.out.write_str(open)?;
        let mut before = "";
        for item in Items::new(node) {
            self.out.write_str(before)?;
            // A key is followed by its value; a value or a missing node is followed by the next
            // entry.
            before = match item {
                Item::Value(_) if before != " " => " ",
                _ => ",",
            };
            let (Item::Value(cell) | Item::Missing(cell)) = item;
            self.cell(cell)?;
        }
        self.out.write_char('}')
    }

    fn fields<'c>(
        &mut self,
        open: &str,
        names: &[&str],
        values: impl Iterator<Item = &'c Cell>,
    ) -> fmt::Result {
        self.out.write_str(open)?;
        for (index, (name, value)) in names.iter().zip(values).enumerate() {
            write!(self.out, "{}{name} ", if index == 0 { "{" } else { "," })?;
            self.cell(value)?;
        }
        self.out.write_char('}')
    }

    fn record(&mut self, node: &Node, cell: &Cell) -> fmt::Result {
        match node.tag {
            0xda => return self.operations("(do", node),
            0xdb => return self.sequence("(", node, ")"),
            0xdc => return self.operations("(cond", node),
            0xdf => return self.function(node, cell),
            _ => {}
        }
        let Some((name, fields)) =
            record_fields(node.tag).filter(|(_, fields)| fields.len() as u64 == node.count)
        else {
            return self.raw(cell);
        };
        let values = node.children.iter();
        if self.record_names {
            return self.fields(&format!("#{name} "), fields, values);
        }
        if node.tag != tag::RESULT {
            return self.fields("", fields, values);
        }
        // The peer's library omits fields of a Result that are nil, except the result itself.
        let printed: Vec<_> = fields
            .iter()
            .zip(values)
            .filter(|(name, value)| **name == ":result" || !value.is_nil())
            .collect();
        let names: Vec<_> = printed.iter().map(|(name, _)| **name).collect();
        self.fields(
            "#Result ",
            &names,
            printed.into_iter().map(|(_, value)| value),
        )
    }
}

/// Returns the names of a record and of its fields (section 5.9).
fn record_fields(tag: u8) -> Option<(&'static str, &'static [&'static str])> {
    Some(match tag {
        0xd0 => ("Invoke", &[":origin", ":sequence", ":command"]),
        0xd1 => ("Transfer", &[":origin", ":sequence", ":target", ":amount"]),
        0xd2 => (
            "Call",
            &[
                ":origin",
                ":sequence",
                ":target",
                ":offer",
                ":call",
                ":args",
            ],
        ),
        0xd3 => ("Multi", &[":origin", ":sequence", ":mode", ":txs"]),
        0xd4 => ("Belief", &[":orders"]),
        0xd5 => ("State", &[":accounts", ":peers", ":globals", ":schedule"]),
        0xd6 => ("Block", &[":timestamp", ":transactions"]),
        0xd7 => ("Order", &[":timestamp", ":consensus", ":blocks"]),
        0xd8 => (
            "AccountStatus",
            &[
                ":sequence",
                ":key",
                ":balance",
                ":allowance",
                ":holdings",
                ":controller",
                ":environment",
                ":metadata",
                ":parent",
            ],
        ),
        0xd9 => (
            "PeerStatus",
            &[
                ":controller",
                ":stake",
                ":stakes",
                ":delegated-stake",
                ":metadata",
                ":timestamp",
                ":balance",
            ],
        ),
        tag::RESULT => ("Result", &[":id", ":result", ":error", ":log", ":info"]),
        0xde => ("BlockResult", &[":state", ":results"]),
        _ => return None,
    })
}
