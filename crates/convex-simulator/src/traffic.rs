//! When blocks are made, and by which peers: `PERIOD[:PEERS]`.

use std::time::Duration;

use super::fault_kind::parse_duration;
use super::peers::{PeerSet, PeerSetError};

/// More frequent blocks would measure the simulation instead of the program under test.
const MIN_PERIOD: Duration = Duration::from_millis(10);

/// Where blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Time between two blocks.
    pub period: Duration,
    /// The peers that make them, in turn.
    pub makers: PeerSet,
}

/// Why a text does not describe traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// The period is not a duration, or is too short.
    #[error(
        "{0:?} is not a period of at least 10ms; expected PERIOD[:PEERS], such as 1s or 1s:2,5"
    )]
    Period(String),
    /// The makers are not peers of the network.
    #[error(transparent)]
    Makers(#[from] PeerSetError),
}

impl Traffic {
    /// Parses `PERIOD[:PEERS]` for a network of `count` peers. Without peers, all of them make
    /// blocks.
    ///
    /// # Errors
    /// The period is not a duration of at least 10 ms, or the peers are not in the network.
    pub fn parse(text: &str, count: usize) -> Result<Self, TrafficError> {
        let (period, makers) = match text.split_once(':') {
            Some((period, makers)) => (period, PeerSet::parse(makers, count)?),
            None => (text, PeerSet::all(count)),
        };
        match parse_duration(period) {
            Ok(period) if period >= MIN_PERIOD => Ok(Self { period, makers }),
            _ => Err(TrafficError::Period(text.to_owned())),
        }
    }
}
