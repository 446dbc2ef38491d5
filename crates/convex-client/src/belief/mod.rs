//! Beliefs: the newest signed order of every peer that a peer has heard, and the blocks in them
//! (PEER-PROTOCOL, section 15).
//!
//! A belief and its orders are cells that refer to each other by hash. A peer is asked for them in
//! rounds: [`BeliefReader`], [`HistoryComparison`] and [`BlockReader`] say which cells they need
//! next and do no I/O. [`read_belief`], [`compare_histories`] and [`read_blocks`] ask a
//! [`CellSource`], such as a [`TcpClient`](crate::TcpClient), until they are done.
//! A [`BeliefCache`] spares requests where several peers hold the same orders.
//!
//! Nothing in a reply is trusted. Every cell is checked against the hash by which it was requested,
//! and every signature against the key that it stands under; the number, size and depth of cells
//! are limited.

mod blocks;
mod cache;
mod cells;
mod compare;
mod error;
mod index;
mod message;
mod order;
mod reader;
mod signed;
mod source;

pub use blocks::{BlockReader, Blocks, MAX_BLOCKS_READ, ReadBlock, SignedBlock};
pub use cache::BeliefCache;
pub use compare::{Comparison, Difference, HistoryComparison, Side};
pub use error::{BeliefError, SignedError};
pub use message::ProvenBlock;
pub use order::SignedOrder;
pub(crate) use signed::verify;

pub use reader::{Belief, BeliefReader, Held, MAX_ORDERS};
pub use source::{
    BeliefHead, CellSource, MAX_TRIES, compare_histories, compare_histories_at, read_belief,
    read_belief_cached, read_blocks,
};
