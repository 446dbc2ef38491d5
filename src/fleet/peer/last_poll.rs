//! How the last poll of a peer went.

/// The last poll of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastPoll {
    /// There was none yet.
    #[default]
    None,
    /// The peer answered.
    Good,
    /// The peer did not answer, or is another peer or on another network.
    Failed,
    /// It failed, and the agent or its host may be the cause.
    Excused,
}

impl LastPoll {
    /// Whether the peer answered.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }

    /// Returns whether the peer is up as JSON and metrics have it: null if the poll says nothing
    /// about the peer.
    #[must_use]
    pub const fn up(self) -> Option<bool> {
        match self {
            Self::Good => Some(true),
            Self::Failed => Some(false),
            Self::None | Self::Excused => None,
        }
    }
}
