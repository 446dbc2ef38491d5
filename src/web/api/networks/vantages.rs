//! What several agents say about a network, and what follows from it.

use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::{Absence, NetworkConclusion, NetworkOpinion, NetworkSnapshot, Snapshot};

/// What becomes of what this agent finds absent from a network.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConclusionReport {
    /// Its verdict that the network finalises nothing.
    stall: Absence,
    /// Its verdict that the network can lose no further peer.
    quorum: Absence,
    /// Whether it reaches less than half of what another agent reaches.
    cut_off: bool,
}

/// What another agent says about the network. This agent's own opinion is in the other fields.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NetworkVantageReport<'a> {
    /// What the configuration calls the agent.
    vantage: &'a str,
    /// When its opinion was asked for, seconds since the epoch: the ages in `opinion` were right
    /// then.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<f64>,
    /// Absent without a recent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    opinion: Option<&'a NetworkOpinion>,
}

impl ConclusionReport {
    /// None if the agent finds nothing absent.
    pub(super) fn new(conclusion: NetworkConclusion) -> Option<Self> {
        (conclusion != NetworkConclusion::default()).then_some(Self {
            stall: conclusion.stall,
            quorum: conclusion.quorum,
            cut_off: conclusion.is_cut_off,
        })
    }
}

impl<'a> NetworkVantageReport<'a> {
    /// What each other agent says, in the order of the configuration.
    pub(super) fn all(network: &'a NetworkSnapshot, snapshot: &'a Snapshot) -> Vec<Self> {
        let others = snapshot.opinions_on_network(network);
        others
            .map(|(vantage, received)| Self {
                vantage,
                asked: received
                    .map(|(received, _)| seconds_since_epoch(snapshot.time_of(received.asked))),
                opinion: received.map(|(_, opinion)| opinion),
            })
            .collect()
    }
}
