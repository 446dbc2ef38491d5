//! Position in the input, and reads that every kind of cell needs.

use crate::vlq;

use super::error::{DecodeError, DecodeErrorKind};

/// The current position and the end of the readable input. Positions count from the start of the
/// message.
pub(crate) struct Cursor<'a> {
    /// The message up to the last byte that may be read.
    pub(crate) bytes: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, what)?[0])
    }

    pub(crate) fn take(
        &mut self,
        needed: usize,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.position..];
        let Some(bytes) = rest.get(..needed) else {
            let left = rest.len();
            return Err(DecodeError::new(
                self.position,
                DecodeErrorKind::CutShort { what, needed, left },
            ));
        };
        self.position += needed;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// Reads a VLQ count.
    pub(crate) fn count(&mut self) -> Result<u64, DecodeError> {
        match vlq::read(&self.bytes[self.position..]) {
            Ok((value, len)) => {
                self.position += len;
                Ok(value)
            }
            Err(error) => Err(DecodeError::new(
                self.position,
                DecodeErrorKind::Count(error),
            )),
        }
    }

    /// Reads shift and mask of a radix node.
    pub(crate) fn radix(&mut self) -> Result<(u8, u16), DecodeError> {
        let [shift, high, low] = self.array("shift and mask")?;
        Ok((shift, u16::from_be_bytes([high, low])))
    }

    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }
}
