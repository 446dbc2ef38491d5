//! Upgrades of the protocol of a network: which are scheduled, who can execute them, and who stands
//! still because of one (PEER-PROTOCOL, section 14).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::ProtocolState;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;
use convex_client::chain::{RegisteredPeer, Registry};
use tokio::time::Instant;

use crate::fleet::wall_time::{unix_millis, wall_time};
use crate::label_enum::label_enum;

use super::member::{Comparison, Member};
use super::watch::NetworkWatch;

/// Maximum number of pending upgrades that are judged, the next ones first.
pub const MAX_PENDING_UPGRADES: usize = 16;

/// A peer that cannot execute an upgrade tries to withdraw its stake at most this long before it.
const WITHDRAWAL_BEFORE: Duration = Duration::from_secs(600);

label_enum! {
    /// Whether a registered peer can execute an upgrade.
    pub enum Readiness {
        Ready = "ready", "Says that its release can execute the upgrade.";
        Unable = "unable", "Says that its release cannot, is of a release that executes no upgrade, or has too little own stake to vote.";
        Unknown = "unknown", "Not watched, does not answer, or is of a release that does not say.";
    }
}

/// The protocol of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProtocolVerdict {
    /// The version: the number of upgrades that were applied.
    pub version: i64,
    /// The upgrades that are scheduled, the next one first; at most [`MAX_PENDING_UPGRADES`].
    pub pending: Vec<PendingUpgrade>,
    /// Whether the time of the next upgrade has come, and peers with more than half of the stake
    /// that can execute it stand still as well.
    pub failed: bool,
    /// Registered peers whose own stake went missing shortly before an upgrade.
    pub withdrawn: Vec<Hash>,
}

/// An upgrade that is scheduled and not applied yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PendingUpgrade {
    /// The version that it makes.
    pub version: i64,
    /// The network applies it with the first block that is dated at this time or later, in
    /// milliseconds since the epoch.
    pub takes_effect_ms: i64,
    /// Fractions of the network's weight in the order of [`Readiness::ALL`]; none while the total
    /// is unknown.
    pub readiness: Option<[f64; Readiness::ALL.len()]>,
}

impl PendingUpgrade {
    /// Returns when it takes effect.
    #[must_use]
    pub fn takes_effect(&self) -> SystemTime {
        let since_epoch = u64::try_from(self.takes_effect_ms).unwrap_or_default();
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(since_epoch));
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Returns the time from `wall` until it takes effect; none if that has come.
    #[must_use]
    pub fn due_in(&self, wall: SystemTime) -> Option<Duration> {
        let left = self.takes_effect().duration_since(wall).ok();
        left.filter(|left| !left.is_zero())
    }

    /// Whether it takes effect within this time, or its time has come.
    #[must_use]
    pub fn is_due_within(&self, time: Duration, wall: SystemTime) -> bool {
        self.due_in(wall).is_none_or(|left| left <= time)
    }

    /// Whether it leaves the network too little weight for consensus, unknown weight counted as
    /// ready; false while the weight is unknown.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        let unable = self.weight(Readiness::Unable);
        unable.is_some_and(|unable| 1.0 - unable <= CONSENSUS_THRESHOLD)
    }

    /// Returns the fraction of the weight with this readiness, if it is known.
    #[must_use]
    pub fn weight(&self, readiness: Readiness) -> Option<f64> {
        Some(self.readiness?[readiness as usize])
    }
}

/// What upgrades mean for one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::fleet) struct UpgradeStanding {
    /// Whether its release lacks an upgrade that the network has applied, or that its own next
    /// block needs.
    pub(in crate::fleet) is_required: bool,
    /// Whether its own stake went missing shortly before an upgrade.
    pub(in crate::fleet) has_withdrawn: bool,
}

/// Upgrades of a network.
#[derive(Debug, Default)]
pub(super) struct Upgrades {
    /// The protocol in the newest state that was trusted, and the block of that state.
    known: Option<(i64, ProtocolState)>,
    failed: bool,
    withdrawn: BTreeSet<Hash>,
}

impl Upgrades {
    /// Returns the version and time of the upgrades that are pending, the next one first.
    fn pending(&self) -> impl Iterator<Item = (i64, i64)> {
        let known = self.known.iter();
        known.flat_map(|(_, protocol)| protocol.pending().take(MAX_PENDING_UPGRADES))
    }
}

/// The moment of a comparison, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    now: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Converts an instant to milliseconds since the epoch.
    fn ms(self, at: Instant) -> i64 {
        wall_time(at, self.now, self.wall).map_or(0, unix_millis)
    }
}

impl NetworkWatch {
    /// Finds out which upgrades are pending, and what they mean for each member.
    pub(super) fn compare_upgrades(&mut self, now: Instant, wall: SystemTime) {
        self.update_protocol(now);
        let moment = Moment { now, wall };
        let pinned = self.pinned_keys();
        let version = self.upgrades.known.as_ref().map(|(_, it)| it.version);
        let pending: Vec<_> = self.upgrades.pending().collect();
        for member in self.members.values_mut() {
            let key = member.own_key(&pinned);
            let lacks = |needed: i64| member.supported.is_some_and(|supported| supported < needed);
            let stands_at = |(needed, takes_effect): &(i64, i64)| {
                lacks(*needed) && member.stands_since(*takes_effect, moment)
            };
            member.upgrade = UpgradeStanding {
                is_required: version.is_some_and(lacks) || pending.iter().any(stands_at),
                has_withdrawn: key.is_some_and(|key| self.upgrades.withdrawn.contains(&key)),
            };
        }
        let next = pending.first();
        self.upgrades.failed = next.is_some_and(|next| self.stands_at_upgrade(*next, moment));
    }

    /// Takes the protocol of the newest state that another peer confirms, or of that of the only
    /// watched peer. Strangers are not asked.
    fn update_protocol(&mut self, now: Instant) {
        let is_only = self.members.len() == 1;
        let answering = || {
            let members = self.members.values().filter(|member| member.configured);
            members.filter(|member| member.is_answering(now) && !member.is_apart())
        };
        let block = |member: &Member| member.latest.map(|latest| latest.block);
        let trusted = answering().filter(|it| is_only || it.comparison == Comparison::Agrees);
        let newest = trusted
            .filter_map(|member| Some((block(member)?, member.protocol.as_ref()?)))
            .max_by_key(|(block, _)| *block);
        // While no state is confirmed, what was confirmed last holds; but not beyond what is still
        // there.
        let highest = answering().filter_map(block).max();
        let known = self.upgrades.known.as_ref();
        let kept = known.filter(|(block, _)| Some(*block) <= highest);
        let is_newer = newest.is_some_and(|(block, _)| kept.is_none_or(|kept| kept.0 <= block));
        if is_newer {
            self.upgrades.known = newest.map(|(block, protocol)| (block, protocol.clone()));
        } else if kept.is_none() {
            self.upgrades.known = None;
        }
    }

    /// Whether peers with more than half of the stake that can execute this upgrade stand still at
    /// it.
    fn stands_at_upgrade(&self, (version, takes_effect): (i64, i64), moment: Moment) -> bool {
        let able = self.members.values().filter(|member| {
            member.is_answering(moment.now) && member.supported.is_some_and(|it| it >= version)
        });
        let (mut all, mut standing) = (0, 0);
        for member in able {
            let stake = u128::from(member.stake);
            all += stake;
            if member.stands_since(takes_effect, moment) {
                standing += stake;
            }
        }
        standing * 2 > all
    }

    /// Notes whose own stake went missing shortly before an upgrade, by a registry that is about to
    /// replace the known one.
    pub(super) fn note_withdrawals(&mut self, new: &Registry) {
        let is_voter = |registry: &Registry, key: &Hash| {
            let peer = registry.peers.get(key);
            peer.is_some_and(RegisteredPeer::has_effective_stake)
        };
        self.upgrades.withdrawn.retain(|key| !is_voter(new, key));
        let Some(old) = self.registry.as_ref().map(|registry| registry.registry()) else {
            return;
        };
        let before = i64::try_from(WITHDRAWAL_BEFORE.as_millis()).unwrap_or(i64::MAX);
        let protocol = self.upgrades.known.as_ref().map(|(_, protocol)| protocol);
        let versions = protocol.map(|it| (1..).zip(it.activations_ms.iter().copied()));
        let due = versions.into_iter().flatten().find(|(_, takes_effect)| {
            let begins = takes_effect.saturating_sub(before);
            old.state_time_ms < *takes_effect && new.state_time_ms >= begins
        });
        let Some((version, _)) = due else {
            return;
        };
        let supported = self.supported_versions();
        let withdrawn = old.peers.keys().filter(|key| {
            let is_ready = supported.get(*key).is_some_and(|it| *it >= version);
            is_voter(old, key) && !is_voter(new, key) && !is_ready
        });
        let withdrawn: Vec<Hash> = withdrawn.copied().collect();
        self.upgrades.withdrawn.extend(withdrawn);
    }

    /// Returns the highest version that each peer says it can execute; the lowest, where several
    /// answer under one key.
    fn supported_versions(&self) -> HashMap<Hash, i64> {
        let pinned = self.pinned_keys();
        let mut found: HashMap<Hash, i64> = HashMap::new();
        for member in self.members.values() {
            if let (Some(key), Some(supported)) = (member.own_key(&pinned), member.supported) {
                let lowest = found.entry(key).or_insert(supported);
                *lowest = supported.min(*lowest);
            }
        }
        found
    }

    /// Returns the verdict on the protocol; none while no state is trusted.
    pub(super) fn protocol_verdict(&self) -> Option<ProtocolVerdict> {
        let (_, protocol) = self.upgrades.known.as_ref()?;
        let supported = self.supported_versions();
        let registry = self.registry.as_ref().map(|registry| registry.registry());
        let upgrade = |(version, takes_effect_ms)| PendingUpgrade {
            version,
            takes_effect_ms,
            readiness: registry.and_then(|registry| readiness(registry, version, &supported)),
        };
        Some(ProtocolVerdict {
            version: protocol.version,
            pending: self.upgrades.pending().map(upgrade).collect(),
            failed: self.upgrades.failed,
            withdrawn: self.upgrades.withdrawn.iter().copied().collect(),
        })
    }
}

impl Member {
    /// Whether it stands still at a final block that it does not execute, for `stall_after` and not
    /// from before this time, in milliseconds since the epoch.
    fn stands_since(&self, ms: i64, moment: Moment) -> bool {
        self.unexecuted.is_some_and(|(since, asked)| {
            let lasts = asked.saturating_duration_since(since);
            lasts >= self.stall_after && moment.ms(since) >= ms
        })
    }
}

/// Returns the fractions of the weight by the readiness for `version`, in the order of
/// [`Readiness::ALL`]; none without a total weight.
fn readiness(
    registry: &Registry,
    version: i64,
    supported: &HashMap<Hash, i64>,
) -> Option<[f64; Readiness::ALL.len()]> {
    registry.coverage.totals().filter(|it| it.weight > 0.0)?;
    let mut ratios = [0.0; Readiness::ALL.len()];
    for (key, weight) in registry.weights() {
        let readiness = match supported.get(&key) {
            _ if !registry.peers[&key].has_effective_stake() => Readiness::Unable,
            Some(supported) if *supported >= version => Readiness::Ready,
            Some(_) => Readiness::Unable,
            None => Readiness::Unknown,
        };
        ratios[readiness as usize] += weight;
    }
    // Those that were not read, where only the total is known.
    let read: f64 = ratios.iter().sum();
    ratios[Readiness::Unknown as usize] += (1.0 - read).max(0.0);
    Some(ratios)
}
