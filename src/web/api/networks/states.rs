//! How the states of a network's peers compare, and what a reset network shows.

use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{NetworkReset, NetworkVerdict, Snapshot, StateDifference};

/// How much was compared recently: which peers showed a block that another one showed too.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComparedReport {
    /// Number of peers that answer.
    answering: usize,
    /// How many of them were compared.
    peers: usize,
    /// Their share of the registered stake; absent while that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_ratio: Option<f64>,
    /// When a peer was last compared, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<f64>,
    /// Whether blocks are made and several peers answer, but nothing was compared for ten
    /// intervals.
    nothing_for_long: bool,
}

/// The newest block at which peers with a vote have different states.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferenceReport<'a> {
    block: ExactInteger,
    states: Vec<DifferingStateReport<'a>>,
}

/// One of several states at a block.
#[derive(Debug, Serialize, ToSchema)]
struct DifferingStateReport<'a> {
    /// The first half of the state hash, in hexadecimal.
    hash_prefix: String,
    /// A peer that has it.
    peer: &'a str,
}

/// The genesis hash that all polled peers of a reset network show.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewGenesisReport {
    /// The genesis hash of the network.
    expected: String,
    /// Whether the configuration pins it; else the peers showed it before.
    pinned: bool,
    /// The genesis hash that the peers show.
    shown: String,
    /// How many peers show it.
    peers: usize,
    /// Since when all of them show it, seconds since the epoch.
    since: f64,
}

impl ComparedReport {
    pub(super) fn new(verdict: &NetworkVerdict, snapshot: &Snapshot) -> Self {
        let compared = &verdict.compared;
        Self {
            answering: compared.answering,
            peers: compared.peers,
            stake_ratio: compared.stake,
            last: compared
                .last
                .map(|last| seconds_since_epoch(snapshot.time_of(last))),
            nothing_for_long: verdict.nothing_compared,
        }
    }
}

impl<'a> DifferenceReport<'a> {
    pub(super) fn new(difference: &'a StateDifference) -> Self {
        let states = difference.states.iter();
        Self {
            block: ExactInteger(difference.block),
            states: states
                .map(|(state, peer)| DifferingStateReport {
                    hash_prefix: state.to_string(),
                    peer,
                })
                .collect(),
        }
    }
}

impl NewGenesisReport {
    pub(super) fn new(reset: &NetworkReset, snapshot: &Snapshot) -> Self {
        Self {
            expected: reset.expected.to_string(),
            pinned: reset.pinned,
            shown: reset.shown.to_string(),
            peers: reset.peers,
            since: seconds_since_epoch(snapshot.time_of(reset.since)),
        }
    }
}
