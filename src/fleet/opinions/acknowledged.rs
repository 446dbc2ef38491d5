//! Alerts that operators have acknowledged, here or at another agent.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::{Fleet, Snapshot, lock};

use super::vantages::ReceivedOpinion;

/// Most acknowledged alerts of another agent that count, and longest text of one, in characters.
pub(super) const MAX_ACKNOWLEDGED: usize = 1_000;
const MAX_TEXT_CHARS: usize = 500;

/// An alert that fires here and was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcknowledgedAlert {
    /// Name of the alert.
    pub alertname: String,
    /// Its severity.
    pub severity: String,
    /// The peer that it is about, if any.
    pub peer: Option<String>,
    /// The network that it is about, or that of the peer; none if it is about the agent.
    pub network: Option<String>,
    /// Who has acknowledged it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Since when.
    pub starts_at: SystemTime,
    /// Until when.
    pub ends_at: SystemTime,
    /// The other agent where that was; none for this one.
    pub vantage: Option<String>,
}

/// What an agent says about an alert that was acknowledged there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledged {
    /// Name of the alert.
    pub alertname: String,
    /// Its severity.
    pub severity: String,
    /// The peer that it is about; absent if it is about the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The network that it is about, or that of the peer.
    pub network: String,
    /// Who has acknowledged it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// How long ago that was.
    pub age_seconds: f64,
    /// For how long it counts from now on.
    pub remaining_seconds: f64,
}

impl Acknowledged {
    /// Returns what this agent says about the alerts that were acknowledged at it.
    pub(super) fn here(snapshot: &Snapshot) -> Vec<Self> {
        let here = snapshot.acknowledged.iter();
        let here = here.filter(|alert| alert.vantage.is_none());
        let seconds = |from: SystemTime, to: SystemTime| {
            to.duration_since(from).unwrap_or_default().as_secs_f64()
        };
        here.filter_map(|alert| {
            Some(Self {
                alertname: alert.alertname.clone(),
                severity: alert.severity.clone(),
                peer: alert.peer.clone(),
                network: alert.network.clone()?,
                created_by: alert.created_by.clone(),
                comment: alert.comment.clone(),
                age_seconds: seconds(alert.starts_at, snapshot.wall),
                remaining_seconds: seconds(snapshot.wall, alert.ends_at),
            })
        })
        .collect()
    }

    /// Shortens texts that no agent of this release would send.
    pub(super) fn shorten(&mut self) {
        for text in [&mut self.created_by, &mut self.comment] {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
                text.truncate(end);
            }
        }
    }
}

impl Fleet {
    /// Sets the alerts that fire and are acknowledged.
    pub fn set_acknowledged(&self, alerts: Vec<AcknowledgedAlert>) {
        *lock(&self.acknowledged) = alerts.into();
    }
}

impl Snapshot {
    /// Returns the acknowledgement of an alert at another agent that lasts longest.
    #[must_use]
    pub fn acknowledged_elsewhere(
        &self,
        alertname: &str,
        severity: &str,
        peer: Option<&str>,
        network: &str,
    ) -> Option<AcknowledgedAlert> {
        let others = self.vantages.others.iter().filter_map(|other| {
            let opinion = other.opinion.as_deref()?;
            Some((other.name.as_str(), opinion))
        });
        let found = others.flat_map(|(vantage, received)| {
            let of_alert = received.acknowledged.iter().filter(move |it| {
                it.alertname == alertname
                    && it.severity == severity
                    && it.peer.as_deref() == peer
                    && it.network == network
                    && self.means_same_peer(received, peer)
            });
            of_alert.filter_map(move |it| self.dated(vantage, received, it))
        });
        found.max_by_key(|alert| alert.ends_at)
    }

    /// Whether another agent means the peer of this name that this agent watches, as far as both know
    /// its key.
    fn means_same_peer(&self, received: &ReceivedOpinion, peer: Option<&str>) -> bool {
        let Some(peer) = peer else {
            return true;
        };
        let record = self.peers.iter().find(|it| it.peer.name == peer);
        record.is_some_and(|record| received.on_peer(record).is_some())
    }

    /// Gives what another agent said the times of this host's clock; none if it is over.
    fn dated(
        &self,
        vantage: &str,
        received: &ReceivedOpinion,
        it: &Acknowledged,
    ) -> Option<AcknowledgedAlert> {
        let age = self.age_of(received, it.age_seconds);
        let since_asked = self.now.saturating_duration_since(received.asked);
        let remaining = Duration::try_from_secs_f64(it.remaining_seconds).ok()?;
        let remaining = remaining.checked_sub(since_asked)?;
        Some(AcknowledgedAlert {
            alertname: it.alertname.clone(),
            severity: it.severity.clone(),
            peer: it.peer.clone(),
            network: Some(it.network.clone()),
            created_by: it.created_by.clone(),
            comment: it.comment.clone(),
            starts_at: self.wall.checked_sub(age)?,
            ends_at: self.wall.checked_add(remaining)?,
            vantage: Some(vantage.to_owned()),
        })
    }
}
