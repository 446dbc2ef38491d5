//! What a STATUS says: identity and order of a peer (PEER-PROTOCOL, section 3.1), as a vector or as a map.

use cad3::{Cell, Hash};

use super::failure::{Failure, FailureReason};

/// The four levels of an order, as counts of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OrderPoints {
    /// Blocks in the peer's own order.
    pub block: i64,
    /// Blocks proposed.
    pub proposal: i64,
    /// Blocks that consensus is reached on.
    pub consensus: i64,
    /// Blocks that are final and executed.
    pub finality: i64,
}

/// The levels' names, in order: the `level` label.
pub const LEVELS: [&str; 4] = ["block", "proposal", "consensus", "finality"];

impl OrderPoints {
    /// The points in the order of [`LEVELS`].
    #[must_use]
    pub const fn by_level(self) -> [i64; 4] {
        [self.block, self.proposal, self.consensus, self.finality]
    }

    /// Blocks that are in the order and not final.
    #[must_use]
    pub const fn pending(self) -> i64 {
        self.block.saturating_sub(self.finality)
    }
}

/// One STATUS reply. State hash and points are not of the same instant: the state is executed beside the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Hash of the first state: the identity of the network.
    pub genesis: Hash,
    /// The peer's public key.
    pub peer_key: Hash,
    /// Points of the peer's order.
    pub order: OrderPoints,
}

impl Status {
    /// Reads both forms; further elements and keys are ignored.
    ///
    /// # Errors
    /// [`FailureReason::Malformed`], naming the field that is missing or of a wrong type.
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let field = |index: usize, key: &str| match cell.as_elements() {
            Some(elements) => elements.get(index),
            None => cell.get(key),
        };
        let malformed = |key: &str| {
            Failure::new(
                FailureReason::Malformed,
                format!("the status has no usable :{key}"),
            )
        };
        let hash = |index, key| {
            field(index, key)
                .and_then(Cell::as_hash)
                .ok_or_else(|| malformed(key))
        };
        let levels = field(8, "consensus")
            .and_then(Cell::as_elements)
            .ok_or_else(|| malformed("consensus"))?;
        let level = |i: usize| {
            levels
                .get(i)
                .and_then(Cell::as_i64)
                .filter(|count| *count >= 0)
                .ok_or_else(|| malformed("consensus"))
        };
        Ok(Self {
            genesis: hash(2, "genesis")?,
            peer_key: hash(3, "peer")?,
            order: OrderPoints {
                block: level(0)?,
                proposal: level(1)?,
                consensus: level(2)?,
                finality: level(3)?,
            },
        })
    }
}
