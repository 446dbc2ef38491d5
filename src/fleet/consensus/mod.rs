//! What the orders and beliefs of a network's peers say: one history or several, who hears whom,
//! how every registered peer votes, and who makes the blocks (PEER-PROTOCOL, section 15).

mod by_peer;
mod comparing;
mod duplicates;
#[cfg(test)]
pub(crate) mod example;
mod facts;
mod grouping;
mod hearing;
mod histories;
mod production;
mod questions;
mod reading;
mod registered;
mod round;
mod seen;
mod sightings;
mod stakes;
mod verdict;
mod votes;
mod watch;

pub use by_peer::{ConsensusIndex, PeerConsensus};
pub use comparing::HistoryGrouping;
pub use round::{BlocksRead, BlocksToRead, MAX_BLOCKS_IN_ROUND, OrderComparison, Round, Walk};
pub use verdict::{
    ConsensusVerdict, DuplicateKey, Fork, ForkedBlock, Heard, Hearing, HearingCell, Histories,
    History, LastBlock, Pending, Production, Vote, WalkResult,
};
#[cfg(test)]
mod tests;

pub(in crate::fleet) use watch::{ConsensusWatch, WalkedPeer};
