//! Why a belief, an order or a block could not be read.

use cad3::Hash;

use crate::failure::Failure;

/// Reason why cells could not be read from a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeliefError {
    /// The peer did not answer, or its answer does not follow the protocol.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The peer sent another cell than the one that was requested by its hash.
    #[error("requested the cell {requested}, received {received}")]
    WrongHash {
        /// Hash of the requested cell.
        requested: Hash,
        /// Hash of the received cell.
        received: Hash,
    },
    /// A cell has its hash, but not the form that its place requires.
    #[error("the cell {hash} is not valid: {problem}")]
    Malformed {
        /// Hash of the cell.
        hash: Hash,
        /// The problem.
        problem: &'static str,
    },
    /// Cells lead to more cells than a belief can have.
    #[error("more than {limit} cells")]
    TooManyCells {
        /// Maximum number of cells.
        limit: usize,
    },
    /// The cells are larger than those of a belief can be.
    #[error("more than {limit} bytes of cells")]
    TooLarge {
        /// Maximum size in bytes.
        limit: usize,
    },
    /// Cells are nested more deeply than those of a belief can be.
    #[error("cells are nested more than {limit} levels deep")]
    TooDeep {
        /// Maximum number of levels.
        limit: usize,
    },
    /// The peer does not have the cell, although its belief, or the order that was read from it,
    /// refers to it.
    #[error("the peer does not have the cell {hash}")]
    Gone {
        /// Hash of the cell.
        hash: Hash,
    },
    /// The belief changed while it was read, each time that this was tried. Normal while a network
    /// makes many blocks: not compared.
    #[error("the belief changed during each of {tries} reads")]
    Outrun {
        /// Number of times that it was read.
        tries: u32,
    },
}

impl BeliefError {
    /// Returns whether the peer sent what an honest peer never sends. What it sent is no evidence
    /// about other peers. A failure of the connection, a cell that is gone and a belief that
    /// changed are not.
    #[must_use]
    pub const fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::WrongHash { .. }
                | Self::Malformed { .. }
                | Self::TooManyCells { .. }
                | Self::TooLarge { .. }
                | Self::TooDeep { .. }
        )
    }
}

/// Reason why signed data, an order or a block, proves nothing. Peers check signatures before they
/// accept an order, so the peer that sent it is at fault, and not the one whose key it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// It is not signed by the key under which it stands.
    #[error("signed by {signer}")]
    WrongSigner {
        /// The key of the signer.
        signer: Hash,
    },
    /// The signature is not one by the named key.
    #[error("the signature is not valid")]
    BadSignature,
    /// The signature is valid, but what is signed has another form.
    #[error("not valid: {0}")]
    Malformed(&'static str),
}
