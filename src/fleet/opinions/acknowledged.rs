//! Alerts that operators have acknowledged, here or at another agent.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::{Fleet, Snapshot, lock};

use super::firing::FiringAlert;
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
    /// The service of that network that it is about, if any.
    pub service: Option<String>,
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
    /// The alert.
    #[serde(flatten)]
    pub alert: FiringAlert,
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
                alert: FiringAlert {
                    alertname: alert.alertname.clone(),
                    severity: alert.severity.clone(),
                    peer: alert.peer.clone(),
                    network: alert.network.clone()?,
                    service: alert.service.clone(),
                },
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
    pub fn acknowledged_elsewhere(&self, alert: &FiringAlert) -> Option<AcknowledgedAlert> {
        let mut found = Vec::new();
        for other in &self.vantages.others {
            let Some(received) = other.opinion.as_deref() else {
                continue;
            };
            let of_alert = received
                .acknowledged
                .iter()
                .filter(|it| it.alert == *alert)
                .filter(|it| self.means_same_peer(received, it.alert.peer.as_deref()));
            found.extend(of_alert.filter_map(|it| self.dated(&other.name, received, it)));
        }
        found.into_iter().max_by_key(|alert| alert.ends_at)
    }

    /// Whether another agent means the peer of this name that this agent watches, as far as both
    /// know its key.
    pub(super) fn means_same_peer(&self, received: &ReceivedOpinion, peer: Option<&str>) -> bool {
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
            alertname: it.alert.alertname.clone(),
            severity: it.alert.severity.clone(),
            peer: it.alert.peer.clone(),
            network: Some(it.alert.network.clone()),
            service: it.alert.service.clone(),
            created_by: it.created_by.clone(),
            comment: it.comment.clone(),
            starts_at: self.wall.checked_sub(age)?,
            ends_at: self.wall.checked_add(remaining)?,
            vantage: Some(vantage.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::time::Instant;

    use crate::config::{self, Mode};
    use crate::fleet::{Health, Opinion, PeerOpinion};

    use super::*;

    const KEY: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

    fn fleet() -> Fleet {
        let text = format!(
            "networks: [{{ name: n }}]\nvantages: [{{ name: b, url: 'http://b' }}]\n\
             peers: [{{ name: p, network: n, key: '{KEY}', endpoints: ['tcp://127.0.0.1:1'] }}]\n"
        );
        let fleet = Fleet::default();
        fleet.apply(&config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap());
        fleet
    }

    fn firing(peer: Option<&str>, network: &str) -> FiringAlert {
        FiringAlert {
            alertname: "A".to_owned(),
            severity: "critical".to_owned(),
            peer: peer.map(str::to_owned),
            network: network.to_owned(),
            service: None,
        }
    }

    fn acknowledged(peer: Option<&str>, network: &str, remaining_seconds: f64) -> Acknowledged {
        Acknowledged {
            alert: firing(peer, network),
            created_by: "alice".to_owned(),
            comment: "c".repeat(2_000),
            age_seconds: 60.0,
            remaining_seconds,
        }
    }

    /// The opinion of an agent that knows this key of the peer.
    fn opinion(key: Option<&str>, acknowledged: Vec<Acknowledged>) -> Opinion {
        Opinion {
            vantage: "b".to_owned(),
            mode: Mode::Central,
            networks: Vec::new(),
            peers: vec![PeerOpinion {
                name: "p".to_owned(),
                network: "n".to_owned(),
                key: key.map(str::to_owned),
                health: Health::Down,
                good_poll_age_seconds: None,
                interval_seconds: 15.0,
                proven: Vec::new(),
            }],
            firing: Vec::new(),
            acknowledged,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_is_acknowledged_elsewhere_by_its_labels_for_the_time_that_is_left() {
        let other_key = format!("0x{}", "2".repeat(64));
        for (what, key, told, after, expected) in [
            (
                "of the peer",
                None,
                acknowledged(Some("p"), "n", 9.0),
                5,
                true,
            ),
            (
                "with its key",
                Some(KEY),
                acknowledged(Some("p"), "n", 9.0),
                5,
                true,
            ),
            (
                "of another key",
                Some(&*other_key),
                acknowledged(Some("p"), "n", 9.0),
                5,
                false,
            ),
            (
                "of the network",
                None,
                acknowledged(None, "n", 9.0),
                5,
                false,
            ),
            (
                "of another peer",
                None,
                acknowledged(Some("q"), "n", 9.0),
                5,
                false,
            ),
            (
                "of another network",
                None,
                acknowledged(Some("p"), "m", 9.0),
                5,
                false,
            ),
            (
                "over by now",
                None,
                acknowledged(Some("p"), "n", 4.0),
                5,
                false,
            ),
            (
                "told too long ago",
                None,
                acknowledged(Some("p"), "n", 99.0),
                13,
                false,
            ),
        ] {
            let fleet = fleet();
            fleet.record_opinion("b", opinion(key, vec![told]), Instant::now());
            tokio::time::advance(Duration::from_secs(after)).await;
            let snapshot = fleet.snapshot();
            let found = snapshot.acknowledged_elsewhere(&firing(Some("p"), "n"));
            assert_eq!(found.is_some(), expected, "{what}");
            let other = FiringAlert {
                alertname: "B".to_owned(),
                ..firing(Some("p"), "n")
            };
            assert_eq!(snapshot.acknowledged_elsewhere(&other), None, "{what}");
            if let Some(found) = found {
                assert_eq!(found.vantage.as_deref(), Some("b"));
                assert_eq!(found.ends_at, snapshot.wall + Duration::from_secs(4));
                assert_eq!(found.starts_at, snapshot.wall - Duration::from_secs(65));
                assert_eq!(found.comment.len(), MAX_TEXT_CHARS, "shortened");
            }
        }
    }

    #[test]
    fn an_agent_that_says_too_much_is_cut_short_and_nonsense_is_refused() {
        let fleet = fleet();
        let many = vec![acknowledged(Some("p"), "n", 9.0); MAX_ACKNOWLEDGED + 1];
        fleet.record_opinion("b", opinion(None, many), Instant::now());
        let others = fleet.snapshot().vantages.others;
        let kept = &others[0].opinion.as_ref().unwrap().acknowledged;
        assert_eq!(kept.len(), MAX_ACKNOWLEDGED);
        for remaining in [-1.0, f64::NAN, 1e300] {
            let told = acknowledged(Some("p"), "n", remaining);
            assert!(opinion(None, vec![told]).check().is_err(), "{remaining}");
        }
    }

    #[test]
    fn an_agent_passes_on_only_what_it_was_told_itself() {
        let fleet = fleet();
        let snapshot = fleet.snapshot();
        let alert = |vantage: Option<&str>, network: Option<&str>| AcknowledgedAlert {
            alertname: "A".to_owned(),
            severity: "critical".to_owned(),
            peer: None,
            network: network.map(str::to_owned),
            service: None,
            created_by: "alice".to_owned(),
            comment: "c".to_owned(),
            starts_at: snapshot.wall,
            ends_at: snapshot.wall,
            vantage: vantage.map(str::to_owned),
        };
        fleet.set_acknowledged(vec![
            alert(Some("b"), Some("n")),
            alert(None, Some("n")),
            // About the agent itself, which no other one has.
            alert(None, None),
        ]);
        let told = Opinion::new(&fleet.snapshot()).acknowledged;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].alert.network, "n");
    }
}
