//! When a block is made, and when peers confirm it.

use super::LEVEL_DELAYS_MS;

/// Times of a block, in milliseconds since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    /// When it was made.
    pub(crate) made: i64,
    /// The date that its maker gave it.
    pub(crate) dated: i64,
    /// When peers begin to confirm it: not before its date, nor before that of an earlier block.
    pub(crate) confirmed: i64,
}

impl Block {
    /// Returns when the block reaches the level that is this long after it was made.
    pub(super) fn reaches_ms(&self, delay_ms: i64) -> i64 {
        let is_confirmed = delay_ms > LEVEL_DELAYS_MS[0];
        delay_ms
            + if is_confirmed {
                self.confirmed
            } else {
                self.made
            }
    }
}
