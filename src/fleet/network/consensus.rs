//! What orders and beliefs say about the members of a network, and what that means for its stake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::consensus::{ConsensusWatch, WalkedPeer};
use crate::fleet::{ConsensusVerdict, Evidence, Round, SavedRegistrations};

use super::member::Member;
use super::stake::StakeClass;
use super::watch::NetworkWatch;

/// How long a fork that was found, also before the agent started, counts while the peer's orders are
/// not read: until peers that are seldom walked are due for the third time.
const FORK_COUNTS_FOR: Duration = Duration::from_secs(1800);

/// What orders and beliefs have shown, and the verdict on it.
#[derive(Debug, Default)]
pub(super) struct Consensus {
    /// Rounds that are not taken yet.
    pub(super) rounds: Vec<Round>,
    pub(super) watch: Arc<ConsensusWatch>,
    pub(super) verdict: Arc<ConsensusVerdict>,
    /// When something in the verdict becomes too old to count.
    expiry: Option<Instant>,
    /// Whether the verdict lacks something.
    outdated: bool,
}

/// What orders and beliefs say about one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::fleet) struct Standing {
    /// The first block at which its history leaves that of the majority.
    pub(in crate::fleet) forked_at: Option<u64>,
    /// Whether it does not hear the others.
    pub(in crate::fleet) is_isolated: bool,
    /// Whether the others do not hear it.
    pub(in crate::fleet) is_unheard: bool,
}

impl Standing {
    /// Whether its stake is missing from the majority.
    pub(super) const fn is_apart(self) -> bool {
        self.forked_at.is_some() || self.is_isolated || self.is_unheard
    }
}

impl Consensus {
    /// Takes rounds, which count with the next comparison, and what was known before the agent
    /// started.
    pub(super) fn take(&mut self, rounds: Vec<Round>, registered: &[SavedRegistrations]) {
        self.rounds.extend(rounds);
        if !registered.is_empty() {
            Arc::make_mut(&mut self.watch).restore_registrations(registered);
        }
    }

    /// Returns when the verdict changes without another round.
    pub(super) const fn next_expiry(&self) -> Option<Instant> {
        self.expiry
    }
}

impl NetworkWatch {
    /// Takes the registered stake and the configured keys as they are now.
    pub(super) fn update_consensus_stakes(&mut self) {
        let pinned = self.pinned_keys();
        let configured = self.members.values().filter(|member| member.configured);
        let configured: BTreeSet<Hash> = configured
            .filter_map(|member| member.own_key(&pinned))
            .collect();
        let registry = self.registry.as_ref().map(|registry| registry.registry());
        Arc::make_mut(&mut self.consensus.watch).set_stakes(registry, &configured);
        self.consensus.outdated = true;
    }

    /// Takes the rounds since the last comparison, and finds out what they say at `now`.
    pub(super) fn compare_orders(&mut self, now: Instant) {
        let rounds = std::mem::take(&mut self.consensus.rounds);
        if !rounds.is_empty() {
            let pinned = self.pinned_keys();
            let members = self.members.values();
            let peers: BTreeMap<&str, WalkedPeer> = members
                .map(|member| {
                    let peer = WalkedPeer {
                        key: member.own_key(&pinned),
                        behind: member.clock_behind,
                    };
                    (member.name.as_str(), peer)
                })
                .collect();
            let watch = Arc::make_mut(&mut self.consensus.watch);
            for round in &rounds {
                watch.take(round, &peers);
            }
            self.consensus.outdated = true;
        }
        let consensus = &mut self.consensus;
        let is_expired = consensus.expiry.is_some_and(|expiry| expiry <= now);
        if std::mem::take(&mut consensus.outdated) || is_expired {
            consensus.verdict = Arc::new(consensus.watch.verdict(now));
            consensus.expiry = consensus.watch.next_expiry(now);
        }
        self.update_standings(now);
    }

    fn update_standings(&mut self, now: Instant) {
        let verdict = Arc::clone(&self.consensus.verdict);
        let pinned = self.pinned_keys();
        for member in self.members.values_mut() {
            let mut hearing = verdict.hearing.iter();
            let hearing = hearing.find(|hearing| hearing.name == member.name);
            let key = member.own_key(&pinned);
            let forked_at = match key.and_then(|key| is_forked(&verdict, &key)) {
                Some(forked) => {
                    member.last_fork = forked.map(|block| (block, None));
                    forked
                }
                None => member.last_fork(now),
            };
            member.standing = Standing {
                forked_at,
                is_isolated: hearing.is_some_and(|hearing| hearing.is_isolated),
                is_unheard: hearing.is_some_and(|hearing| hearing.is_unheard),
            };
        }
    }

    /// Adds what signed orders prove about the stake of registered peers that are not watched.
    pub(super) fn classify_unwatched(&self, classes: &mut HashMap<Hash, StakeClass>, now: Instant) {
        let Some(histories) = &self.consensus.verdict.histories else {
            return;
        };
        let Some(majority) = histories.groups.first().filter(|first| first.is_majority) else {
            return;
        };
        for key in self.consensus.watch.changed_lately(now) {
            let class = if majority.peers.contains(&key) {
                StakeClass::Majority
            } else if self.consensus.verdict.fork_of(&key).is_some() {
                StakeClass::Minority
            } else {
                continue;
            };
            classes.entry(key).or_insert(class);
        }
    }

    /// Whether histories prove a split: there are several with registered stake, and none has more
    /// than half of it.
    pub(super) fn split_of_histories(&self) -> Evidence {
        let Some(histories) = &self.consensus.verdict.histories else {
            return Evidence::None;
        };
        let staked = histories
            .groups
            .iter()
            .filter(|group| group.stake > Some(0.0));
        if staked.count() > 1 && !histories.groups.iter().any(|group| group.is_majority) {
            return Evidence::Proven;
        }
        Evidence::None
    }
}

/// Returns where the history of the peer with `key` leaves that of the majority, or that it does not;
/// none if that is not known.
#[expect(
    clippy::option_option,
    reason = "unknown, no fork, or a fork at a block"
)]
fn is_forked(verdict: &ConsensusVerdict, key: &Hash) -> Option<Option<u64>> {
    let histories = verdict.histories.as_ref()?;
    let mut groups = histories.groups.iter();
    groups.find(|group| group.peers.contains(key))?;
    Some(verdict.fork_of(key).map(|fork| fork.block))
}

impl Member {
    /// Returns the fork that was known when its orders were last read, while that counts.
    fn last_fork(&mut self, now: Instant) -> Option<u64> {
        let (block, until) = self.last_fork.as_mut()?;
        let until = *until.get_or_insert(now + FORK_COUNTS_FOR);
        let block = *block;
        if until <= now {
            self.last_fork = None;
            return None;
        }
        Some(block)
    }
}
