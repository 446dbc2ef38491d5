//! Decoding of cells without children.

use crate::cell::leaf::is_shortest;
use crate::cell::node::small;
use crate::cell::{BigInteger, Cell, CodePoint, Extension, Flag, Name};
use crate::{MAX_CHUNK_BYTES, MAX_NAME_BYTES, tag};

use super::Cursor;
use super::error::{DecodeError, DecodeErrorKind};

/// Reads a cell without children, after its first byte.
pub(super) fn leaf(first: u8, cursor: &mut Cursor<'_>, start: usize) -> Result<Cell, DecodeError> {
    let not_canonical = |what, rule| {
        Err(DecodeError::new(
            start,
            DecodeErrorKind::NotCanonical { what, rule },
        ))
    };
    Ok(match first {
        tag::NIL => Cell::Nil,
        tag::FALSE => Cell::Bool(false),
        tag::TRUE => Cell::Bool(true),
        0xb2..=0xbf => Cell::Flag(Flag::new(first)),
        tag::ZERO => Cell::Integer(0),
        0x11..=0x18 => {
            let bytes = cursor.take(usize::from(first - tag::ZERO), "integer")?;
            if !is_shortest(bytes) || bytes == [0] {
                return not_canonical("integer", "must be in its shortest form");
            }
            let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
            Cell::Integer(
                bytes
                    .iter()
                    .fold(sign, |value, byte| value << 8 | i64::from(*byte)),
            )
        }
        tag::BIG_INTEGER => {
            let size = cursor.count()?;
            if !(9..=MAX_CHUNK_BYTES as u64).contains(&size) {
                let problem = DecodeErrorKind::Length {
                    what: "big integer",
                    size,
                    min: 9,
                    max: MAX_CHUNK_BYTES,
                };
                return Err(DecodeError::new(start, problem));
            }
            match BigInteger::new(cursor.take(small(size), "big integer")?) {
                Some(big) => Cell::BigInteger(big),
                None => return not_canonical("big integer", "must be in its shortest form"),
            }
        }
        tag::DOUBLE => Cell::Double(f64::from_be_bytes(cursor.array("double")?)),
        tag::SYMBOL | tag::KEYWORD => {
            let what = if first == tag::SYMBOL {
                "symbol"
            } else {
                "keyword"
            };
            let size = cursor.byte(what)?;
            if !(1..=MAX_NAME_BYTES).contains(&size.into()) {
                let problem = DecodeErrorKind::Length {
                    what,
                    size: size.into(),
                    min: 1,
                    max: MAX_NAME_BYTES,
                };
                return Err(DecodeError::new(start, problem));
            }
            match Name::new(cursor.take(size.into(), what)?) {
                Some(name) if first == tag::SYMBOL => Cell::Symbol(name),
                Some(name) => Cell::Keyword(name),
                None => return not_canonical(what, "must have a name"),
            }
        }
        tag::CHAR..=0x3f => {
            let bytes = cursor.take(usize::from(first - tag::CHAR) + 1, "character")?;
            if bytes.len() > 1 && bytes[0] == 0 {
                return not_canonical("character", "must be in its shortest form");
            }
            match CodePoint::new(
                bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte)),
            ) {
                Some(point) => Cell::Char(point),
                None => return not_canonical("character", "must not be above 10ffff"),
            }
        }
        0xe0..=0xef => Cell::Extension(Extension::new(first, cursor.count()?)),
        _ => return Err(DecodeError::new(start, DecodeErrorKind::Tag(first))),
    })
}
