//! What orders and beliefs say about the members of a network, and what that means for its stake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::consensus::{ConsensusWatch, WalkedPeer};
use crate::fleet::{ConsensusVerdict, Evidence, Hearing, Round, SavedRegistrations};

use super::member::Member;
use super::stake::StakeClass;
use super::watch::NetworkWatch;

/// How long a fork that was found, also before the agent started, counts while the peer's orders
/// are not read: until peers that are seldom walked are due for the third time.
const FORK_COUNTS_FOR: Duration = Duration::from_secs(1800);

/// What orders and beliefs have shown, and the verdict on it.
#[derive(Debug, Default)]
pub(super) struct Consensus {
    /// Rounds that are not taken yet.
    pub(super) rounds: Vec<Arc<Round>>,
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
    /// Whether another configured peer signs with its key.
    pub(in crate::fleet) shares_key: bool,
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
    pub(super) fn take(&mut self, rounds: Vec<Arc<Round>>, registered: &[SavedRegistrations]) {
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
                        is_configured: member.configured,
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
            self.update_standings(now);
            let members = self.members.values();
            let forks = members.filter_map(|member| member.last_fork?.1);
            let expiry = self.consensus.watch.next_expiry(now);
            self.consensus.expiry = forks.chain(expiry).min();
        }
    }

    fn update_standings(&mut self, now: Instant) {
        let verdict = Arc::clone(&self.consensus.verdict);
        let pinned = self.pinned_keys();
        let hearing = verdict.hearing.iter();
        let hearing: HashMap<&str, &Hearing> = hearing.map(|it| (it.name.as_str(), it)).collect();
        let forks: HashMap<Hash, Option<u64>> = verdict
            .forks()
            .map(|(key, fork)| (key, fork.map(|fork| fork.block)))
            .collect();
        let sharing = verdict.duplicate_keys.iter().flat_map(|it| &it.peers);
        let sharing: BTreeSet<&str> = sharing.map(String::as_str).collect();
        for member in self.members.values_mut() {
            let hearing = hearing.get(member.name.as_str());
            // Another network has another history.
            let key = member.own_key(&pinned).filter(|_| !member.is_elsewhere);
            let forked_at = match key.and_then(|key| forks.get(&key).copied()) {
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
                shares_key: sharing.contains(member.name.as_str()),
            };
        }
    }

    /// Adds what signed orders prove about the stake of registered peers that are not watched.
    pub(super) fn classify_unwatched(&self, classes: &mut HashMap<Hash, StakeClass>, now: Instant) {
        let known = classes_of_histories(&self.consensus.verdict);
        for key in self.consensus.watch.changed_recently(now) {
            if let Some(class) = known.get(&key) {
                classes.entry(key).or_insert(*class);
            }
        }
    }
}

/// Returns whether each peer whose history is known has that of the majority, or another one; of
/// nobody without a majority.
fn classes_of_histories(verdict: &ConsensusVerdict) -> HashMap<Hash, StakeClass> {
    let groups = verdict.histories.as_ref().map_or(&[][..], |it| &it.groups);
    let majority = groups.first().filter(|first| first.is_majority);
    let majority = majority.into_iter().flat_map(|group| &group.peers);
    let majority = majority.map(|key| (*key, StakeClass::Majority));
    let forked = verdict.forks().filter(|(_, fork)| fork.is_some());
    let minority = forked.map(|(key, _)| (key, StakeClass::Minority));
    majority.chain(minority).collect()
}

/// Whether histories prove a split: there are several with registered stake, and none has more than
/// half of it.
pub(super) fn split_of_histories(verdict: &ConsensusVerdict) -> Evidence {
    let groups = verdict.histories.iter().flat_map(|it| &it.groups);
    let staked = groups.clone().filter(|group| group.stake > Some(0.0));
    if staked.count() > 1 && !groups.clone().any(|group| group.is_majority) {
        return Evidence::Proven;
    }
    Evidence::None
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

#[cfg(test)]
mod tests {
    use crate::fleet::{Fork, ForkedBlock, Histories, History};

    use super::*;

    fn key(name: char) -> Hash {
        Hash::new([name as u8; 32])
    }

    /// A verdict of these histories: the peers of each, and its stake in percent.
    fn histories(groups: &[(&str, u8)]) -> ConsensusVerdict {
        let fork = || Fork {
            block: 7,
            blocks: ['a', 'b'].map(|name| ForkedBlock {
                hash: key(name),
                made: None,
            }),
        };
        let groups = groups
            .iter()
            .enumerate()
            .map(|(i, (peers, percent))| History {
                peers: peers.chars().map(key).collect(),
                stake: Some(f64::from(*percent) / 100.0),
                is_majority: *percent > 50,
                fork: (i > 0).then(fork),
            });
        let histories = Histories {
            groups: groups.collect(),
            ..Histories::default()
        };
        ConsensusVerdict {
            histories: Some(histories),
            ..ConsensusVerdict::default()
        }
    }

    #[test]
    fn several_histories_are_a_split_unless_one_has_most_of_the_stake() {
        for (groups, expected) in [
            (&[("ab", 100)][..], Evidence::None),
            (&[("ab", 50), ("cd", 50)], Evidence::Proven),
            (&[("ab", 40), ("c", 30), ("d", 30)], Evidence::Proven),
            (&[("abc", 75), ("d", 25)], Evidence::None),
            // A peer without stake is no side of a split.
            (&[("ab", 40), ("c", 0)], Evidence::None),
            (&[], Evidence::None),
        ] {
            assert_eq!(
                split_of_histories(&histories(groups)),
                expected,
                "{groups:?}"
            );
        }
        let unknown = ConsensusVerdict::default();
        assert_eq!(split_of_histories(&unknown), Evidence::None);
    }

    #[test]
    fn signed_orders_classify_stake_only_beside_a_majority() {
        let class = |groups: &[(&str, u8)], name| {
            let classes = classes_of_histories(&histories(groups));
            classes.get(&key(name)).copied()
        };
        let majority: &[(&str, u8)] = &[("abc", 75), ("d", 25)];
        assert_eq!(class(majority, 'a'), Some(StakeClass::Majority));
        assert_eq!(class(majority, 'd'), Some(StakeClass::Minority));
        assert_eq!(class(majority, 'e'), None);
        assert_eq!(class(&[("ab", 50), ("cd", 50)], 'a'), None);
    }

    #[test]
    fn a_fork_lasts_while_the_orders_of_the_peer_are_not_read_but_not_for_ever() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut watch = NetworkWatch::default();
        let id = crate::fleet::slot::SlotId(1);
        let restored = Standing {
            forked_at: Some(7),
            ..Standing::default()
        };
        let mut member = Member::new(crate::fleet::Comparison::NotCompared, restored);
        member.key = Some(key('d'));
        watch.members.insert(id, member);
        let mut forked_at = |verdict: ConsensusVerdict, seconds| {
            watch.consensus.verdict = Arc::new(verdict);
            watch.update_standings(at(seconds));
            watch.members[&id].standing.forked_at
        };
        let unknown = ConsensusVerdict::default;
        assert_eq!(forked_at(unknown(), 0), Some(7), "known before the start");
        assert_eq!(forked_at(histories(&[("abcd", 100)]), 60), None);
        assert_eq!(forked_at(unknown(), 120), None, "refuted");
        let forked = || histories(&[("abc", 75), ("d", 25)]);
        assert_eq!(forked_at(forked(), 180), Some(7));
        assert_eq!(forked_at(unknown(), 240), Some(7), "not read");
        assert_eq!(forked_at(forked(), 2_000), Some(7));
        assert_eq!(forked_at(unknown(), 2_060), Some(7));
        assert_eq!(forked_at(unknown(), 3_859), Some(7));
        assert_eq!(forked_at(unknown(), 3_860), None);
        watch.members.get_mut(&id).unwrap().is_elsewhere = true;
        watch.consensus.verdict = Arc::new(forked());
        watch.update_standings(at(4_000));
        assert_eq!(watch.members[&id].standing.forked_at, None, "elsewhere");
    }
}
