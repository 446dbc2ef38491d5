//! Asks a peer for cells until a belief, a comparison or blocks are complete.

use std::ops::Range;

use cad3::{Cell, Hash};

use crate::failure::Failure;
use crate::status::Status;

use super::blocks::{BlockReader, Blocks, ReadBlock};
use super::compare::{Comparison, HistoryComparison, Side};
use super::error::BeliefError;
use super::reader::{Belief, BeliefReader};

/// How often a belief is read again because it has changed meanwhile.
pub const MAX_TRIES: u32 = 3;

/// The status of a peer and its current belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeliefHead {
    /// Hash of the belief. It changes with every block, and with what the peer hears.
    pub belief: Hash,
    /// The status that shows it.
    pub status: Status,
}

impl BeliefHead {
    /// Reads a status, which releases send as a vector or as a map.
    ///
    /// # Errors
    /// A field is missing or has the wrong type:
    /// [`FailureReason::Malformed`](crate::FailureReason::Malformed), naming the field.
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        Ok(Self {
            belief: Status::belief_from_cell(cell)?,
            status: Status::from_cell(cell)?,
        })
    }
}

/// A peer that is asked for cells. Implementations check nothing: readers do.
pub trait CellSource: Send {
    /// Requests the status.
    ///
    /// # Errors
    /// No valid answer arrives.
    fn head(&mut self) -> impl Future<Output = Result<BeliefHead, Failure>> + Send;

    /// Requests the cells with these hashes, and returns those that the peer has, in the order of the
    /// hashes.
    ///
    /// # Errors
    /// No valid answer arrives.
    fn cells(
        &mut self,
        hashes: &[Hash],
    ) -> impl Future<Output = Result<Vec<Option<Cell>>, Failure>> + Send;
}

/// Reads the current belief of a peer and all orders in it, or those of the first
/// [`MAX_ORDERS`](super::MAX_ORDERS) keys of `heaviest` if there are more. Starts again if the belief
/// has changed meanwhile, at most [`MAX_TRIES`] times in all.
///
/// # Errors
/// The peer did not answer, its belief is not valid, or it changed each time.
pub async fn read_belief(
    source: &mut impl CellSource,
    heaviest: &[Hash],
) -> Result<(BeliefHead, Belief), BeliefError> {
    let mut head = source.head().await?;
    for tries in 1.. {
        let result = read_once(source, head.belief, heaviest).await;
        let Err(BeliefError::Gone { .. }) = result else {
            return Ok((head, result?));
        };
        let now = source.head().await?;
        if now.belief == head.belief {
            return Ok((head, result?));
        }
        if tries == MAX_TRIES {
            break;
        }
        head = now;
    }
    Err(BeliefError::Outrun { tries: MAX_TRIES })
}

async fn read_once(
    source: &mut impl CellSource,
    belief: Hash,
    heaviest: &[Hash],
) -> Result<Belief, BeliefError> {
    let mut reader = BeliefReader::new(belief, heaviest);
    loop {
        let needed = reader.needed()?.to_vec();
        if needed.is_empty() {
            return reader.finish();
        }
        reader.add(source.cells(&needed).await?)?;
    }
}

/// Reads the blocks at the positions `range` of an order that the peer has. See [`BlockReader`].
///
/// # Errors
/// The peer did not answer, does not have the blocks, or they are not valid.
pub async fn read_blocks(
    source: &mut impl CellSource,
    blocks: &Blocks,
    range: Range<u64>,
) -> Result<Vec<ReadBlock>, BeliefError> {
    let mut reader = BlockReader::new(blocks, range);
    loop {
        let needed = reader.needed()?.to_vec();
        if needed.is_empty() {
            return reader.finish();
        }
        reader.add(source.cells(&needed).await?)?;
    }
}

/// Compares the blocks of two orders, each of which another peer has.
///
/// # Errors
/// The peer of this side did not answer, does not have the order any more, or its order is not
/// valid: not compared.
pub async fn compare_histories(
    (left, left_source): (&Blocks, &mut impl CellSource),
    (right, right_source): (&Blocks, &mut impl CellSource),
) -> Result<Comparison, (Side, BeliefError)> {
    let mut comparison = HistoryComparison::new(left, right);
    loop {
        let [left, right] = comparison.needed()?.map(<[Hash]>::to_vec);
        if let Some(result) = comparison.result() {
            return Ok(result.clone());
        }
        if !left.is_empty() {
            let received = left_source.cells(&left).await;
            add(&mut comparison, Side::Left, received)?;
        }
        if !right.is_empty() {
            let received = right_source.cells(&right).await;
            add(&mut comparison, Side::Right, received)?;
        }
    }
}

/// Compares the blocks of two orders that one peer has, such as two of its belief. Asks for the cells
/// of both at once.
///
/// # Errors
/// The peer did not answer, does not have the order of this side any more, or that is not valid: not
/// compared.
pub async fn compare_histories_at(
    source: &mut impl CellSource,
    left: &Blocks,
    right: &Blocks,
) -> Result<Comparison, (Side, BeliefError)> {
    let mut comparison = HistoryComparison::new(left, right);
    loop {
        let [left, right] = comparison.needed()?.map(<[Hash]>::to_vec);
        if let Some(result) = comparison.result() {
            return Ok(result.clone());
        }
        let both = [left.as_slice(), &right].concat();
        let mut received = match source.cells(&both).await {
            Ok(received) => received,
            Err(failure) => return Err((Side::Left, failure.into())),
        };
        let of_right = received.split_off(left.len().min(received.len()));
        add(&mut comparison, Side::Left, Ok(received))?;
        add(&mut comparison, Side::Right, Ok(of_right))?;
    }
}

fn add(
    comparison: &mut HistoryComparison,
    side: Side,
    received: Result<Vec<Option<Cell>>, Failure>,
) -> Result<(), (Side, BeliefError)> {
    let added = received
        .map_err(BeliefError::from)
        .and_then(|received| comparison.add(side, received));
    added.map_err(|error| (side, error))
}
