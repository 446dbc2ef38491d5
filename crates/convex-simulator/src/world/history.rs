//! The histories of a network, and what determines a state of one.

/// What determines a state: its last block, and the history that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateId {
    pub(super) block: i64,
    pub(super) history: History,
    /// The block that the globals show instead of it.
    pub(super) claim: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum History {
    /// The history of the network.
    Common,
    /// One that differs from this block on.
    Fork(i64),
    /// The history of another network.
    Foreign,
}

impl StateId {
    /// The genesis state of a history.
    pub(super) const fn genesis(history: History) -> Self {
        Self {
            block: -1,
            history,
            claim: None,
        }
    }
}
