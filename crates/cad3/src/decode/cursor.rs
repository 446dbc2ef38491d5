//! The place in the input, and the little that is read from any place.

use super::super::error::{DecodeError, Problem};
use super::super::vlq;

/// Where reading is, and where it must end. Positions count from the start of the message.
pub(in super::super) struct Cursor<'a> {
    /// The message up to where the reader may go.
    pub(in super::super) bytes: &'a [u8],
    pub(in super::super) position: usize,
}

impl<'a> Cursor<'a> {
    pub(in super::super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    pub(in super::super) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.take(1, what)?[0])
    }

    pub(in super::super) fn take(
        &mut self,
        needed: usize,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.position..];
        let Some(bytes) = rest.get(..needed) else {
            let left = rest.len();
            return Err(DecodeError::new(
                self.position,
                Problem::CutShort { what, needed, left },
            ));
        };
        self.position += needed;
        Ok(bytes)
    }

    pub(in super::super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// A count as VLQ.
    pub(in super::super) fn count(&mut self) -> Result<u64, DecodeError> {
        match vlq::read(&self.bytes[self.position..]) {
            Ok((value, len)) => {
                self.position += len;
                Ok(value)
            }
            Err(error) => Err(DecodeError::new(self.position, Problem::Count(error))),
        }
    }

    /// Shift and mask of a radix node.
    pub(in super::super) fn radix(&mut self) -> Result<(u8, u16), DecodeError> {
        let [shift, high, low] = self.array("shift and mask")?;
        Ok((shift, u16::from_be_bytes([high, low])))
    }

    pub(in super::super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }
}
