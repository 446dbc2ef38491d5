//! The part of a fleet's state that outlives the agent, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Endpoint, OrderPoints};
use serde::{Deserialize, Serialize};

use crate::config::Peer;

use super::{Health, RecentPolls, Streak};

/// State of a fleet that outlives the agent. Counters do not: Prometheus expects them to restart at
/// 0.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
pub struct SavedFleet {
    /// Peers by name.
    pub peers: BTreeMap<String, SavedPeer>,
    /// When finality was last seen to grow, by network.
    pub finality_advanced: BTreeMap<String, UnixMillis>,
    /// The genesis hash that the peers showed, by network; of networks that pin none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub genesis: BTreeMap<String, Hash>,
    /// Which others each walked peer has had in its own state for long enough, by network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registered_in: BTreeMap<String, Vec<SavedRegistrations>>,
}

/// The keys that some peers have had in their own states for long enough. Mostly all have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SavedRegistrations {
    /// Names of the peers.
    pub peers: BTreeSet<String>,
    /// Keys that their states have.
    pub keys: BTreeSet<Hash>,
}

/// Saved state of a peer.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
pub struct SavedPeer {
    /// Which peer it was, as configured.
    #[serde(flatten)]
    pub configured: ConfiguredIdentity,
    /// The last health.
    pub health: Health,
    /// The polls that the health follows from.
    pub streak: Streak,
    /// Times of the last changes of the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdict_changes: Vec<UnixMillis>,
    /// The results of the last polls, unless all were good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_polls: Option<RecentPolls>,
    /// The last genesis hash.
    pub genesis: Option<Hash>,
    /// The last peer key; the learned one if none is pinned.
    pub key: Option<Hash>,
    /// Whether the genesis hash is the pinned one.
    pub genesis_match: Option<bool>,
    /// Whether the key is the pinned one, or the learned one for long enough.
    pub key_match: Option<bool>,
    /// Whether both transports reach the same peer.
    pub transports_agree: Option<bool>,
    /// When a key other than the learned one first answered.
    pub key_changed: Option<UnixMillis>,
    /// The first block of a latched divergence.
    pub diverged_at: Option<i64>,
    /// The first block of a fork of its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_at: Option<u64>,
    /// The key under which the registry last had the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_key: Option<Hash>,
    /// Since when each active condition has had its cause, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub condition_since: BTreeMap<String, UnixMillis>,
    /// When each level of the order was last seen to advance.
    pub advanced: [Option<UnixMillis>; 4],
    /// State of its order.
    pub order: SavedOrder,
    /// Endpoints by [`Endpoint::id`]. Boxed: a map with one entry allocates eleven.
    pub endpoints: BTreeMap<String, Box<SavedEndpoint>>,
}

/// What the configuration said about the identity of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConfiguredIdentity {
    /// The network.
    pub network: String,
    /// The pinned genesis hash of the network.
    pub pinned_genesis: Option<Hash>,
    /// The pinned peer key.
    pub pinned_key: Option<Hash>,
}

/// Saved state of a peer's order: a stall does not end with a restart of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SavedOrder {
    /// The last points.
    pub points: Option<OrderPoints>,
    /// The highest block, finality and state block.
    pub highest: Option<[i64; 3]>,
    /// Since when blocks are pending above the same finality.
    pub stuck: Option<UnixMillis>,
    /// Since when one of the highest values is not reached.
    pub below: Option<UnixMillis>,
    /// Since when the finality point stands below its highest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<UnixMillis>,
    /// A finality point that the state has not reached, and since when.
    #[serde(rename = "owed")]
    pub unexecuted: Option<(i64, UnixMillis)>,
}

/// Saved state of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
pub struct SavedEndpoint {
    /// When the last poll began.
    pub attempt: Option<UnixMillis>,
    /// When the last good poll ended.
    pub success: Option<UnixMillis>,
    /// When the certificate that ends first expires.
    pub certificate_ends: Option<UnixMillis>,
    /// The rest of what is known of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<SavedCertificate>,
    /// Failed polls since the last good one.
    pub failures: u32,
    /// When the first of these polls began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<UnixMillis>,
    /// Reason and message of the last failure.
    pub failure: Option<(String, String)>,
}

/// Saved facts about a certificate, besides its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SavedCertificate {
    /// When its validity began.
    pub begins: UnixMillis,
    /// Its subject.
    pub subject: String,
}

/// A time of the wall clock, in milliseconds since the epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Converts `time`; times before the epoch become 0.
    #[must_use]
    pub fn from_time(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
    }

    /// Converts to a time; none if the system cannot represent it.
    #[must_use]
    pub fn to_time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.0))
    }

    /// Converts to a time, at most `now`: one in the future is of a clock that was ahead then, or
    /// is behind now.
    #[must_use]
    pub fn to_past(self, now: SystemTime) -> Option<SystemTime> {
        self.to_time().map(|time| time.min(now))
    }

    /// Whether this is more than `age` before `other`.
    pub(super) fn is_older(self, age: Duration, other: Self) -> bool {
        u128::from(other.0.saturating_sub(self.0)) > age.as_millis()
    }
}

impl SavedFleet {
    /// Returns a hash of all of it, to find out whether it has changed.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(|hasher| self.hash(hasher))
    }
}

/// Returns the hash of what `write` puts into the hasher.
pub(super) fn fingerprint(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    hasher.finish()
}

impl SavedPeer {
    /// Removes what every good poll changes.
    pub(super) fn without_routine_changes(mut self) -> Self {
        self.advanced = [None; 4];
        self.order = SavedOrder::default();
        self.streak = self.streak.verdict_only();
        self.recent_polls = self.recent_polls.and_then(RecentPolls::verdict_only);
        self.verdict_changes = Vec::new();
        for endpoint in self.endpoints.values_mut() {
            **endpoint = SavedEndpoint::default();
        }
        self
    }

    /// Replaces the URLs by which earlier versions saved endpoints: their paths can be secret.
    pub(super) fn with_endpoint_ids(mut self) -> Self {
        let endpoints = std::mem::take(&mut self.endpoints).into_iter();
        self.endpoints = endpoints
            .map(|(key, saved)| (Endpoint::parse(&key).map_or(key, |it| it.id()), saved))
            .collect();
        self
    }

    pub(super) fn last_attempt(&self) -> Option<UnixMillis> {
        self.endpoints
            .values()
            .filter_map(|endpoint| endpoint.attempt)
            .max()
    }

    /// Whether this is the state of `peer`, with whatever settings and under whatever name: one
    /// network, an endpoint in common, and no pin that contradicts what is known.
    pub(super) fn belongs_to(&self, peer: &Peer) -> bool {
        let shares_endpoint = peer
            .endpoints
            .iter()
            .any(|endpoint| self.endpoints.contains_key(&endpoint.id()));
        let known = &self.configured;
        shares_endpoint
            && known.network == peer.network
            && fits(peer.genesis, known.pinned_genesis.or(self.genesis))
            && fits(peer.key, self.own_key())
    }

    /// Returns the pinned key, or else the one that the peer answered with.
    pub(super) fn own_key(&self) -> Option<Hash> {
        self.configured.pinned_key.or(self.key)
    }
}

/// Whether a pin does not contradict what is known.
pub(super) fn fits(pinned: Option<Hash>, known: Option<Hash>) -> bool {
    pinned.is_none() || known.is_none() || pinned == known
}

impl ConfiguredIdentity {
    pub(super) fn of(peer: &Peer) -> Self {
        Self {
            network: peer.network.clone(),
            pinned_genesis: peer.genesis,
            pinned_key: peer.key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_written_by_earlier_versions_is_still_read() {
        let text = r#"{"peers":{"a":{"network":"n","pinned_genesis":null,"pinned_key":null,
            "health":"down","streak":{"verdict":false,"running":[false,3]},"genesis":null,
            "key":null,"genesis_match":null,"key_match":null,"transports_agree":null,
            "key_changed":null,"diverged_at":41,"advanced":[1,null,null,null],
            "order":{"points":null,"highest":[3,2,1],"stuck":4,"below":5,"owed":[6,7]},
            "endpoints":{"tcp://a:1":{"attempt":8,"success":null,"certificate_ends":null,
            "failures":9,"failure":["refused","why"]}}}},"finality_advanced":{"n":10}}"#;
        let saved: SavedFleet = serde_json::from_str(text).unwrap();
        let peer = &saved.peers["a"];
        assert_eq!(peer.streak.polls(), 3);
        assert_eq!(peer.order.unexecuted, Some((6, UnixMillis(7))));
        let compact: String = text.split_whitespace().collect();
        assert_eq!(serde_json::to_string(&saved).unwrap(), compact);
    }
}
