//! The opinion that one agent gives others. It carries ages and no times, so that no clock matters.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::config::Mode;
use crate::failure::Reason;
use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{
    Condition, Evidence, Health, NetworkSnapshot, OrderState, PeerRecord, Snapshot,
};

use super::acknowledged::Acknowledged;
use super::firing::FiringAlert;
use super::reached::reached_stake_ratio;

/// What an agent says about the peers that it watches and their networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Opinion {
    /// Name of the agent.
    pub vantage: String,
    /// Where the agent runs.
    pub mode: Mode,
    /// The networks, by name.
    pub networks: Vec<NetworkOpinion>,
    /// The watched peers of this agent's shard.
    pub peers: Vec<PeerOpinion>,
    /// Alerts that fire at this agent, but for those about itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<FiringAlert>,
    /// Alerts that fire at this agent and were acknowledged there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acknowledged: Vec<Acknowledged>,
}

/// What an agent says about one peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerOpinion {
    /// Name of the peer.
    pub name: String,
    /// Name of its network.
    pub network: String,
    /// The pinned key, or else the one that the peer answered with, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Health according to the agent.
    pub health: Health,
    /// Age of the last good poll; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_poll_age_seconds: Option<f64>,
    /// Time between two polls.
    pub interval_seconds: f64,
    /// Proven faults of the peer.
    pub proven: Vec<Proof>,
}

/// What an agent says about one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkOpinion {
    /// Name of the network.
    pub name: String,
    /// State of its order: `unknown`, `receding`, `stalled`, `advancing` or `idle`.
    pub order_state: String,
    /// Index of the head's block; absent if there is no head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_block: Option<ExactInteger>,
    /// Time since the head was last seen to advance; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_advance_age_seconds: Option<f64>,
    /// Share of the registered stake of the peers that the agent polls itself and that gave it a
    /// good poll within two intervals; absent while the stake is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_stake_ratio: Option<f64>,
    /// Whether so much weight is missing that the network can lose no further peer.
    pub quorum_at_risk: bool,
    /// Proven faults of the network.
    pub proven: Vec<Proof>,
}

/// A verdict that other agents cannot refute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The peer has another history than most of the stake.
    Forked,
    /// The peer has another state than most of the stake.
    Diverged,
    /// Blocks that were final are missing.
    Receding,
    /// The network has several states or histories, and none has most of the stake.
    Split,
    /// The peer belongs to another network.
    WrongNetwork,
    /// Another peer answers in its place.
    WrongPeer,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

impl Proof {
    /// Returns the word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Diverged => "diverged",
            Self::Receding => "receding",
            Self::Split => "split",
            Self::WrongNetwork => "wrong_network",
            Self::WrongPeer => "wrong_peer",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the peer cannot be used by anybody: what answers at its address is not the peer.
    pub(super) const fn is_of_identity(self) -> bool {
        matches!(self, Self::WrongNetwork | Self::WrongPeer)
    }

    /// Returns what is proven against a peer.
    pub(super) fn against_peer(record: &PeerRecord) -> Vec<Self> {
        let proof = |condition: &Condition| match condition {
            Condition::Forked => Some(Self::Forked),
            Condition::Diverged => Some(Self::Diverged),
            Condition::FinalityLost => Some(Self::Receding),
            Condition::Failing(Reason::WrongNetwork) => Some(Self::WrongNetwork),
            Condition::Failing(Reason::WrongPeer) => Some(Self::WrongPeer),
            _ => None,
        };
        record.conditions.iter().filter_map(proof).collect()
    }

    fn against_network(network: &NetworkSnapshot) -> Vec<Self> {
        let verdict = &network.verdict;
        let split = (verdict.split == Evidence::Proven).then_some(Self::Split);
        let receding = (verdict.order == OrderState::Receding).then_some(Self::Receding);
        split.into_iter().chain(receding).collect()
    }
}

/// Why an opinion of another agent cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the opinion has `{field}` {value} in entry {entry}; expected {expected}")]
pub struct ImplausibleOpinion {
    field: &'static str,
    value: f64,
    entry: usize,
    expected: &'static str,
}

impl Opinion {
    /// Returns the opinion of the agent that took `snapshot`.
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            vantage: snapshot.vantages.name.clone(),
            mode: snapshot.vantages.mode,
            networks: snapshot
                .networks
                .iter()
                .map(|network| NetworkOpinion::new(network, snapshot))
                .collect(),
            peers: snapshot
                .peers
                .iter()
                .map(|record| PeerOpinion::new(record, snapshot.now))
                .collect(),
            firing: snapshot.firing.to_vec(),
            acknowledged: Acknowledged::here(snapshot),
        }
    }

    /// Checks what another agent says, before it is used.
    ///
    /// # Errors
    /// An age is negative or endless, or a ratio is not from 0 to 1.
    pub fn check(&self) -> Result<(), ImplausibleOpinion> {
        let is_age = |value: f64| Duration::try_from_secs_f64(value).is_ok();
        let is_ratio = |value: f64| (0.0..=1.0).contains(&value);
        let ages = self.peers.iter().enumerate().flat_map(|(entry, peer)| {
            [
                (entry, "good_poll_age_seconds", peer.good_poll_age_seconds),
                (entry, "interval_seconds", Some(peer.interval_seconds)),
            ]
        });
        let networks = || self.networks.iter().enumerate();
        let advances = networks().map(|(entry, network)| {
            let age = network.head_advance_age_seconds;
            (entry, "head_advance_age_seconds", age)
        });
        let acknowledged = self.acknowledged.iter().enumerate();
        let acknowledged = acknowledged.flat_map(|(entry, it)| {
            [
                (entry, "age_seconds", Some(it.age_seconds)),
                (entry, "remaining_seconds", Some(it.remaining_seconds)),
            ]
        });
        let ages = ages.chain(advances).chain(acknowledged);
        let ages = ages.map(|it| (it, "0 or more seconds"));
        let ratios = networks()
            .map(|(entry, network)| (entry, "reached_stake_ratio", network.reached_stake_ratio))
            .map(|it| (it, "0 to 1"));
        let wrong = |is_right: &dyn Fn(f64) -> bool, value: Option<f64>| {
            value.filter(|value| !is_right(*value))
        };
        let wrong_age = ages.filter_map(|it| Some((wrong(&is_age, it.0.2)?, it)));
        let wrong_ratio = ratios.filter_map(|it| Some((wrong(&is_ratio, it.0.2)?, it)));
        match wrong_age.chain(wrong_ratio).next() {
            None => Ok(()),
            Some((value, ((entry, field, _), expected))) => Err(ImplausibleOpinion {
                field,
                value,
                entry,
                expected,
            }),
        }
    }
}

impl PeerOpinion {
    /// Returns the opinion of this agent on a peer.
    #[must_use]
    pub fn new(record: &PeerRecord, now: Instant) -> Self {
        Self {
            name: record.peer.name.clone(),
            network: record.peer.network.clone(),
            key: record.own_key().map(|key| key.to_string()),
            health: record.health,
            good_poll_age_seconds: record.last_good_poll.map(|at| seconds_since(at, now)),
            interval_seconds: record.peer.polling.interval.as_secs_f64(),
            proven: Proof::against_peer(record),
        }
    }
}

impl NetworkOpinion {
    /// Returns the opinion of this agent on a network.
    #[must_use]
    pub fn new(network: &NetworkSnapshot, snapshot: &Snapshot) -> Self {
        let verdict = &network.verdict;
        let advanced = verdict.head_advanced;
        Self {
            name: network.name.clone(),
            order_state: verdict.order.as_str().to_owned(),
            head_block: verdict.head.map(ExactInteger),
            head_advance_age_seconds: advanced.map(|at| seconds_since(at, snapshot.now)),
            reached_stake_ratio: reached_stake_ratio(network, snapshot),
            quorum_at_risk: snapshot.is_quorum_at_risk(network),
            proven: Proof::against_network(network),
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn seconds_since(at: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(age: f64, ratio: f64) -> Opinion {
        Opinion {
            vantage: "b".to_owned(),
            mode: Mode::Central,
            networks: vec![NetworkOpinion {
                name: "n".to_owned(),
                order_state: "idle".to_owned(),
                head_block: Some(ExactInteger(7)),
                head_advance_age_seconds: None,
                reached_stake_ratio: Some(ratio),
                quorum_at_risk: false,
                proven: Vec::new(),
            }],
            peers: vec![PeerOpinion {
                name: "p".to_owned(),
                network: "n".to_owned(),
                key: None,
                health: Health::Up,
                good_poll_age_seconds: Some(age),
                interval_seconds: 15.0,
                proven: vec![Proof::Forked],
            }],
            firing: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    #[test]
    fn impossible_figures_are_refused() {
        let wrong_age =
            "the opinion has `good_poll_age_seconds` -1 in entry 0; expected 0 or more seconds";
        let wrong_ratio = "the opinion has `reached_stake_ratio` 1.5 in entry 0; expected 0 to 1";
        for (age, ratio, error) in [
            (0.0, 0.0, ""),
            (1e9, 1.0, ""),
            (-1.0, 1.0, wrong_age),
            (0.0, 1.5, wrong_ratio),
        ] {
            let found = opinion(age, ratio).check().err();
            let found = found.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(found, error, "{age} {ratio}");
        }
        assert!(opinion(1e300, 1.0).check().is_err(), "no time is that long");
    }

    #[test]
    fn an_opinion_survives_the_way_and_proofs_of_later_releases_are_ignored() {
        let told = opinion(1.5, 0.25);
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Opinion>(&text).unwrap(), told);
        let later = text.replace("forked", "a_word_of_later");
        let read: Opinion = serde_json::from_str(&later).unwrap();
        assert_eq!(read.peers[0].proven, [Proof::Unknown]);
    }
}
