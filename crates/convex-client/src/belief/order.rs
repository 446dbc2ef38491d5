//! Signed orders (PEER-PROTOCOL, sections 5.9 and 15).

use cad3::{Cell, Hash};

use crate::status::OrderPoints;

use super::blocks::Blocks;
use super::error::SignedError;
use super::message::to_message;
use super::signed::verify;

/// Record tag of an Order.
const ORDER_TAG: u8 = 0xd7;

/// The order of a peer, signed by its key: which blocks it has, in which sequence, and how many of
/// them it sees at each level.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedOrder {
    /// Key of the peer, which signed the order.
    pub key: Hash,
    /// Hash of the signed order. Two signed orders of a key are equal if their hashes are.
    pub hash: Hash,
    /// Time by the peer's clock, in milliseconds since the epoch, at which the order last changed.
    /// On an idle network it stands still. 0 before the first block.
    pub timestamp_ms: i64,
    /// Number of blocks at each level, each at most that of the level before.
    pub points: OrderPoints,
    /// The blocks.
    pub blocks: Blocks,
    /// The signed order as it was received, in the form of a message: its encoding, then its order
    /// as a branch if that is not embedded. Proves the order to anybody.
    pub message: Vec<u8>,
}

impl SignedOrder {
    /// Reads the signed order that stands under `key`, and the order in it.
    pub(super) fn read(key: Hash, signed: &Cell, order: &Cell) -> Result<Self, SignedError> {
        let (by, _) = verify(signed)?;
        if by != key {
            return Err(SignedError::WrongSigner { signer: by });
        }
        let (timestamp_ms, points, blocks) = fields(order).map_err(SignedError::Malformed)?;
        Ok(Self {
            key,
            hash: signed.hash(),
            timestamp_ms,
            points,
            blocks,
            message: to_message(signed, order),
        })
    }
}

/// Returns time, points and blocks of an order, or what is wrong with it. The rules are those of
/// `Order.validateStructure` in the peer's source.
fn fields(order: &Cell) -> Result<(i64, OrderPoints, Blocks), &'static str> {
    let fields = order
        .record_fields(ORDER_TAG)
        .filter(|fields| fields.len() == 3)
        .ok_or("it is not an order of three fields")?;
    let timestamp_ms = fields
        .get(0)
        .and_then(Cell::as_i64)
        .ok_or("the time of the order is not an integer")?;
    let points = fields
        .get(1)
        .filter(|points| points.kind() == "vector")
        .and_then(Cell::as_elements)
        .filter(|points| points.len() == 4)
        .ok_or("the points of the order are not a vector of four")?;
    let point = |level| {
        let point = points.get(level).and_then(Cell::as_i64);
        point.ok_or("a point of the order is not an integer")
    };
    let points = OrderPoints {
        block: point(0)?,
        proposal: point(1)?,
        consensus: point(2)?,
        finality: point(3)?,
    };
    let levels = points.by_level();
    if levels[3] < 0 || !levels.is_sorted_by(|earlier, later| earlier >= later) {
        return Err("the points of the order do not descend to 0 or more");
    }
    let blocks = fields
        .get(2)
        .and_then(|root| Blocks::new(root.clone(), points.block))
        .ok_or("the blocks of the order are not a vector of as many as its block point")?;
    Ok((timestamp_ms, points, blocks))
}
