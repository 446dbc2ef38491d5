//! Status of a peer: its identity and its order (PEER-PROTOCOL, section 3.1).

use cad3::{Cell, Hash};

use crate::failure::{Failure, FailureReason};
use crate::state_pair::StatePair;

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
    /// State of the peer; absent before release 0.8.17, whose status has a hash but not the block
    /// that it belongs to.
    pub state: Option<StatePair>,
    /// Highest version of the protocol that the peer's release can execute; absent before release
    /// 0.8.17.
    pub protocol: Option<i64>,
}

impl Status {
    /// Reads a status, which releases send as a vector or as a map. Unknown elements and keys are
    /// ignored. A state or protocol that is missing or invalid is absent.
    ///
    /// # Errors
    /// A field is missing or has the wrong type: [`FailureReason::Malformed`], naming the field.
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let field = |index: usize, key: &str| field(cell, index, key);
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
        // The number of executed blocks, which is one more than the index of the last one.
        let position = field(9, "state-position")
            .and_then(Cell::as_i64)
            .filter(|count| *count >= 0);
        let state_hash = field(4, "state").and_then(Cell::as_hash);
        let state = position.zip(state_hash).map(|(position, hash)| StatePair {
            block: position - 1,
            hash,
        });
        let protocol = field(10, "supported-protocol-version")
            .and_then(Cell::as_i64)
            .filter(|version| *version >= 0);
        Ok(Self {
            genesis: hash(2, "genesis")?,
            peer_key: hash(3, "peer")?,
            order: OrderPoints {
                block: level(0)?,
                proposal: level(1)?,
                consensus: level(2)?,
                finality: level(3)?,
            },
            state,
            protocol,
        })
    }

    /// Reads the hash of the belief from a status.
    ///
    /// # Errors
    /// It is missing or has the wrong type: [`FailureReason::Malformed`].
    pub(crate) fn belief_from_cell(cell: &Cell) -> Result<Hash, Failure> {
        field(cell, 0, "belief")
            .and_then(Cell::as_hash)
            .ok_or_else(|| malformed("belief"))
    }
}

/// Returns a field of a status, which releases send as a vector or as a map.
fn field<'a>(status: &'a Cell, index: usize, key: &str) -> Option<&'a Cell> {
    match status.as_elements() {
        Some(elements) => elements.get(index),
        None => status.get(key),
    }
}

fn malformed(key: &str) -> Failure {
    Failure::new(
        FailureReason::Malformed,
        format!("the status has no valid :{key}"),
    )
}

#[cfg(test)]
mod tests {
    use cad3::reader;

    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash::new([byte; 32])
    }

    /// The elements of a status with their keys.
    fn fields() -> Vec<(&'static str, String)> {
        let mut fields: Vec<(&str, String)> = ["belief", "states", "genesis", "peer", "state"]
            .into_iter()
            .zip(1..)
            .map(|(key, byte)| (key, hash(byte).to_string()))
            .collect();
        let rest = [
            ("consensus-point", "7"),
            ("proposal-point", "8"),
            ("block-point", "9"),
            ("consensus", "[9 8 7 6]"),
            ("state-position", "5"),
        ];
        fields.extend(rest.map(|(key, value)| (key, value.to_owned())));
        fields
    }

    fn vector(values: &[String]) -> Result<Status, Failure> {
        Status::from_cell(&reader::read(&format!("[{}]", values.join(" "))).unwrap())
    }

    fn values() -> Vec<String> {
        fields().into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn a_status_of_any_length_and_a_map_are_read() {
        let pair = StatePair {
            block: 4,
            hash: hash(5),
        };
        let status = |state, protocol| Status {
            genesis: hash(3),
            peer_key: hash(4),
            order: OrderPoints {
                block: 9,
                proposal: 8,
                consensus: 7,
                finality: 6,
            },
            state,
            protocol,
        };
        let mut values = values();
        assert_eq!(vector(&values[..9]), Ok(status(None, None)));
        assert_eq!(vector(&values), Ok(status(Some(pair), None)));
        values.push("3".to_owned());
        assert_eq!(vector(&values), Ok(status(Some(pair), Some(3))));
        values.extend(["{:new 1}".to_owned(), "nil".to_owned()]);
        assert_eq!(vector(&values), Ok(status(Some(pair), Some(3))));
        let entries: Vec<String> = fields()
            .iter()
            .map(|(key, value)| format!(":{key} {value}"))
            .collect();
        for (more, protocol) in [
            (":other 1", None),
            (":supported-protocol-version 3", Some(3)),
        ] {
            let map = reader::read(&format!("{{{} {more}}}", entries.join(" "))).unwrap();
            assert_eq!(Status::from_cell(&map), Ok(status(Some(pair), protocol)));
        }
    }

    #[test]
    fn an_invalid_state_or_protocol_is_absent_and_the_status_still_read() {
        for (index, invalid) in [(4, "nil"), (9, "nil"), (9, "-1"), (9, "5.0")] {
            let mut values = values();
            values[index] = invalid.to_owned();
            let status = vector(&values).unwrap();
            assert_eq!(status.state, None, "#{index} {invalid}");
        }
        for invalid in ["nil", "-1", "[3]"] {
            let mut values = values();
            values.push(invalid.to_owned());
            assert_eq!(vector(&values).unwrap().protocol, None, "{invalid}");
        }
        let mut first = values();
        first[9] = "0".to_owned();
        assert_eq!(
            vector(&first).unwrap().state.unwrap().block,
            -1,
            "no block yet"
        );
    }
}
