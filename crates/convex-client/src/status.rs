//! Status of a peer: its identity and its order (PEER-PROTOCOL, section 3.1).

use cad3::{Cell, Hash};

use crate::failure::{Failure, FailureReason};

/// Number of blocks at each of the four levels of a peer's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OrderPoints {
    /// Blocks in the peer's own order.
    pub block: i64,
    /// Blocks proposed for consensus.
    pub proposal: i64,
    /// Blocks with consensus.
    pub consensus: i64,
    /// Blocks that are final and executed.
    pub finality: i64,
}

/// Names of the levels of an order, from the first to the last that a block reaches.
pub const ORDER_LEVELS: [&str; 4] = ["block", "proposal", "consensus", "finality"];

impl OrderPoints {
    /// Returns the number of blocks at each level, in the order of [`ORDER_LEVELS`].
    #[must_use]
    pub const fn by_level(self) -> [i64; 4] {
        [self.block, self.proposal, self.consensus, self.finality]
    }

    /// Returns the number of blocks in the order that are not final.
    #[must_use]
    pub const fn pending(self) -> i64 {
        self.block.saturating_sub(self.finality)
    }
}

/// Status of a peer. The order and the peer's state are not of the same instant, because blocks are
/// executed concurrently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Hash of the genesis state, which identifies the network.
    pub genesis: Hash,
    /// Public key of the peer.
    pub peer_key: Hash,
    /// Order of the peer.
    pub order: OrderPoints,
}

impl Status {
    /// Reads a status, which releases send as a vector or as a map. Unknown elements and keys are
    /// ignored.
    ///
    /// # Errors
    /// A field is missing or has the wrong type: [`FailureReason::Malformed`], naming the field.
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let field = |index: usize, key: &str| match cell.as_elements() {
            Some(elements) => elements.get(index),
            None => cell.get(key),
        };
        let malformed = |key: &str| {
            Failure::new(
                FailureReason::Malformed,
                format!("the status has no valid :{key}"),
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
