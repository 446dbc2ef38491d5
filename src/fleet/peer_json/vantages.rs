//! What other agents say about a peer, as JSON.

use convex_client::seconds_since_epoch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::{PeerOpinion, PeerRecord, Snapshot};

/// What another agent says about the peer. This agent's own opinion is in the other fields.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PeerVantageReport)]
pub(super) struct PeerVantageJson<'a> {
    /// What the configuration calls the agent.
    vantage: &'a str,
    /// When its opinion was asked for, seconds since the epoch: the ages in `opinion` were right
    /// then.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<f64>,
    /// Absent without a recent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    opinion: Option<&'a PeerOpinion>,
}

impl<'a> PeerVantageJson<'a> {
    /// What each other agent says, in the order of the configuration.
    pub(super) fn all(record: &'a PeerRecord, snapshot: &'a Snapshot) -> Vec<Self> {
        let others = snapshot.opinions_on_peer(record);
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
