//! What the orders and beliefs of a network's peers say: one history or several, who hears whom, how
//! every registered peer votes, and who makes the blocks (PEER-PROTOCOL, section 15).

mod round;
mod verdict;

pub use round::{
    BlocksRead, BlocksToRead, MAX_BLOCKS_IN_ROUND, OrderComparison, Round, Walk,
};
pub use verdict::{
    ConsensusVerdict, Fork, ForkedBlock, Heard, Hearing, HearingCell, Histories, History,
    LastBlock, Pending, Production, Vote, WalkResult,
};
