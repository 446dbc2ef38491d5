//! Printing of numbers, characters, text and names.

use std::fmt::{self, Write};

use crate::cell::{Cell, CodePoint, Extension};

use super::{Printer, core_names};

impl Printer<'_, '_> {
    /// Prints a double like Java's `Double.toString`: without an exponent from 10^-3 to 10^7, with
    /// at least one digit on each side of the point. If one digit would suffice with an exponent,
    /// the nearest number with two digits is printed, such as 4.9E-324.
    pub(super) fn double(&mut self, value: f64, cell: &Cell) -> fmt::Result {
        if value.is_nan() {
            // The peer's library prints any other NaN as its encoding.
            return if value.to_bits() == f64::NAN.to_bits() {
                self.out.write_str("##NaN")
            } else {
                self.raw(cell)
            };
        }
        if value.is_infinite() {
            return self
                .out
                .write_str(if value > 0.0 { "##Inf" } else { "##-Inf" });
        }
        if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
            return write!(self.out, "{value:?}");
        }
        let shortest = format!("{value:e}");
        let exact = if shortest.contains('.') {
            shortest
        } else {
            format!("{value:.1e}")
        };
        self.out.write_str(&exact.replace('e', "E"))
    }

    pub(super) fn character(&mut self, point: CodePoint) -> fmt::Result {
        self.out.write_char('\\')?;
        match point.value() {
            0x0a => self.out.write_str("newline"),
            0x0d => self.out.write_str("return"),
            0x20 => self.out.write_str("space"),
            0x09 => self.out.write_str("tab"),
            value => self
                .out
                .write_char(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Prints the content of a String. As in the peer's library, a byte that does not start a
    /// character consumes the next byte too.
    pub(super) fn text(&mut self, mut bytes: &[u8]) -> fmt::Result {
        while !bytes.is_empty() {
            let valid = match std::str::from_utf8(bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let (text, rest) = bytes.split_at(valid);
            for character in String::from_utf8_lossy(text).chars() {
                match character {
                    '"' => self.out.write_str("\\\"")?,
                    '\\' => self.out.write_str("\\\\")?,
                    '\t' => self.out.write_str("\\t")?,
                    '\n' => self.out.write_str("\\n")?,
                    '\r' => self.out.write_str("\\r")?,
                    '\u{8}' => self.out.write_str("\\b")?,
                    '\u{c}' => self.out.write_str("\\f")?,
                    other => self.out.write_char(other)?,
                }
            }
            if rest.is_empty() {
                break;
            }
            self.out.write_char(char::REPLACEMENT_CHARACTER)?;
            bytes = rest.get(2..).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn extension(&mut self, extension: Extension, cell: &Cell) -> fmt::Result {
        let value = extension.value();
        let name = match extension.tag() {
            Extension::ADDRESS => return write!(self.out, "#{value}"),
            Extension::LOCAL => return write!(self.out, "%{value}"),
            Extension::CORE => core_names::core(value),
            Extension::SPECIAL => core_names::special(value),
            _ => None,
        };
        match name {
            Some(name) => self.out.write_str(name),
            None => self.raw(cell),
        }
    }
}

/// Returns the number of bytes without an incomplete character at the end.
pub(super) fn complete_characters_len(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    match bytes[tail..].iter().rposition(|byte| *byte >= 0xc0) {
        Some(index) => {
            let lead = bytes[tail + index];
            let needed = if lead >= 0xf0 {
                4
            } else if lead >= 0xe0 {
                3
            } else {
                2
            };
            if tail + index + needed > bytes.len() {
                tail + index
            } else {
                bytes.len()
            }
        }
        None => bytes.len(),
    }
}
