//! Asks a peer for cells until a belief, a comparison or blocks are complete.

use std::ops::Range;
use std::sync::Arc;

use cad3::{Cell, Hash, encode_message};

use crate::decoding::apart;
use crate::failure::{Failure, FailureReason};
use crate::status::Status;

use super::blocks::{BlockReader, Blocks, ReadBlock};
use super::cache::BeliefCache;
use super::compare::{Comparison, HistoryComparison, Side};
use super::error::BeliefError;
use super::reader::{Belief, BeliefReader};

/// How often a belief is read again because it has changed meanwhile.
pub const MAX_TRIES: u32 = 3;

/// Maximum size of a status in bytes. That of 0.8.17 takes about 250.
const MAX_STATUS_BYTES: usize = 4096;

/// The status of a peer and its current belief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeliefHead {
    /// Hash of the belief. It changes with every block, and with what the peer hears.
    pub belief: Hash,
    /// The status that shows it.
    pub status: Status,
    /// The status as it was received, in the form of a message.
    pub message: Vec<u8>,
}

impl BeliefHead {
    /// Reads a status, which releases send as a vector or as a map.
    ///
    /// # Errors
    /// A field is missing or has the wrong type, or the status is too large:
    /// [`FailureReason::Malformed`].
    pub fn from_cell(cell: &Cell) -> Result<Self, Failure> {
        let message = encode_message(cell);
        if message.len() > MAX_STATUS_BYTES {
            let size = message.len();
            return Err(Failure::new(
                FailureReason::Malformed,
                format!("a status of {size} bytes, at most {MAX_STATUS_BYTES}"),
            ));
        }
        Ok(Self {
            belief: Status::belief_from_cell(cell)?,
            status: Status::from_cell(cell)?,
            message,
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

    /// Requests the cells with these hashes, and returns those that the peer has, in the order of
    /// the hashes.
    ///
    /// # Errors
    /// No valid answer arrives.
    fn cells(
        &mut self,
        hashes: &[Hash],
    ) -> impl Future<Output = Result<Vec<Option<Cell>>, Failure>> + Send;
}

/// Reads the current belief of a peer and all orders in it, or those of the first
/// [`MAX_ORDERS`](super::MAX_ORDERS) keys of `heaviest` if there are more. Starts again if the
/// belief has changed meanwhile, at most [`MAX_TRIES`] times in all.
///
/// # Errors
/// The peer did not answer, its belief is not valid, or it changed each time.
pub async fn read_belief(
    source: &mut impl CellSource,
    heaviest: &[Hash],
) -> Result<(BeliefHead, Belief), BeliefError> {
    read_belief_cached(source, heaviest, &Arc::default()).await
}

/// Reads like [`read_belief`], but neither requests a cell nor verifies an order that `cache` has.
/// Adds those that it reads.
///
/// # Errors
/// Same as [`read_belief`].
pub async fn read_belief_cached(
    source: &mut impl CellSource,
    heaviest: &[Hash],
    cache: &Arc<BeliefCache>,
) -> Result<(BeliefHead, Belief), BeliefError> {
    let mut head = source.head().await?;
    for tries in 1.. {
        let reader = BeliefReader::new(head.belief, heaviest).with_cache(Arc::clone(cache));
        let result = read_once(source, reader).await;
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
    mut reader: BeliefReader,
) -> Result<Belief, BeliefError> {
    let mut received = 0;
    loop {
        let needed;
        (reader, needed) = apart(received, move || {
            let needed = reader.needed().map(<[Hash]>::to_vec);
            (reader, needed)
        })
        .await?;
        let needed = needed?;
        if needed.is_empty() {
            return reader.finish();
        }
        received = needed.len();
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
    let mut received = 0;
    loop {
        let needed;
        (reader, needed) = apart(received, move || {
            let needed = reader.needed().map(<[Hash]>::to_vec);
            (reader, needed)
        })
        .await?;
        let needed = needed?;
        if needed.is_empty() {
            return reader.finish();
        }
        received = needed.len();
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

/// Compares the blocks of two orders that one peer has, such as two of its belief. Asks for the
/// cells of both at once.
///
/// # Errors
/// The peer did not answer, does not have the order of this side any more, or that is not valid:
/// not compared.
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
