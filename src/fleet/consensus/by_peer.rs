//! What the orders and beliefs of networks say about each watched peer. Pure.

use std::collections::{BTreeMap, HashMap};

use cad3::Hash;

use crate::fleet::{NetworkVerdict, PeerRecord};

use super::verdict::{ConsensusVerdict, Fork, Hearing, Production, Vote, WalkResult};

/// The verdicts on networks, by the peers that they are about.
#[derive(Debug)]
pub struct ConsensusIndex<'a> {
    networks: HashMap<&'a str, NetworkIndex<'a>>,
}

#[derive(Debug)]
struct NetworkIndex<'a> {
    verdict: &'a ConsensusVerdict,
    hearing: HashMap<&'a str, &'a Hearing>,
    votes: HashMap<Hash, &'a Vote>,
    /// Only of peers that have another history than the majority.
    forks: HashMap<Hash, &'a Fork>,
    /// How many of the last blocks each peer made.
    last_made: BTreeMap<Hash, usize>,
}

/// Facts about one peer from orders and beliefs.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerConsensus<'a> {
    /// What came of the last walk of the peer; none if it was never walked.
    pub walk: Option<&'a WalkResult>,
    /// What the peer hears of the others.
    pub hearing: Option<&'a Hearing>,
    /// The newest order that the peer signed.
    pub vote: Option<&'a Vote>,
    /// Where the peer's history leaves that of the majority; none if it does not.
    pub fork: Option<&'a Fork>,
    /// Number of final blocks that the peer made and that were read since the agent started.
    pub blocks_made: Option<u64>,
    /// How many of the last blocks the peer made, and how many those are.
    pub last_blocks: Option<(usize, usize)>,
}

impl<'a> ConsensusIndex<'a> {
    /// Indexes verdicts, each with the name of its network.
    #[must_use]
    pub fn new(verdicts: impl IntoIterator<Item = (&'a str, &'a NetworkVerdict)>) -> Self {
        let verdicts = verdicts.into_iter();
        Self {
            networks: verdicts
                .map(|(network, verdict)| (network, NetworkIndex::new(&verdict.consensus)))
                .collect(),
        }
    }

    /// Returns what is known of a peer.
    #[must_use]
    pub fn of(&self, record: &PeerRecord) -> PeerConsensus<'a> {
        let network = self.networks.get(record.peer.network.as_str());
        network.map_or_else(PeerConsensus::default, |network| network.of(record))
    }
}

impl<'a> PeerConsensus<'a> {
    /// Returns what the verdict on the peer's network says about it.
    #[must_use]
    pub fn new(record: &PeerRecord, verdict: &'a ConsensusVerdict) -> Self {
        NetworkIndex::new(verdict).of(record)
    }
}

impl<'a> NetworkIndex<'a> {
    fn new(verdict: &'a ConsensusVerdict) -> Self {
        let forks = verdict.forks();
        Self {
            verdict,
            hearing: verdict
                .hearing
                .iter()
                .map(|hearing| (hearing.name.as_str(), hearing))
                .collect(),
            votes: verdict.votes.iter().map(|vote| (vote.key, vote)).collect(),
            forks: forks.filter_map(|(key, fork)| Some((key, fork?))).collect(),
            last_made: verdict
                .production
                .as_ref()
                .map(Production::last_made)
                .unwrap_or_default(),
        }
    }
    /// Walks are found by the name of the peer, orders and blocks by its key.
    fn of(&self, record: &PeerRecord) -> PeerConsensus<'a> {
        let name = record.peer.name.as_str();
        let key = record.own_key();
        let production = self.verdict.production.as_ref().zip(key);
        PeerConsensus {
            walk: self.verdict.walks.get(name),
            hearing: self.hearing.get(name).copied(),
            vote: key.and_then(|key| self.votes.get(&key).copied()),
            fork: key.and_then(|key| self.forks.get(&key).copied()),
            blocks_made: production
                .map(|(production, key)| production.made.get(&key).copied().unwrap_or(0)),
            last_blocks: production.map(|(production, key)| {
                let made = self.last_made.get(&key).copied();
                (made.unwrap_or(0), production.last.len())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::Snapshot;
    use crate::fleet::example;

    /// Checks what is known of the peer `i` by the index of all networks, and by its own alone.
    fn check(snapshot: &Snapshot, i: usize, holds: impl Fn(PeerConsensus<'_>) -> bool) {
        let record = &snapshot.peers[i - 1];
        let verdict = &snapshot.networks[0].verdict.consensus;
        assert!(holds(ConsensusIndex::new(snapshot.verdicts()).of(record)));
        assert!(holds(PeerConsensus::new(record, verdict)));
    }

    #[test]
    fn a_peer_is_found_by_its_name_and_by_its_key() {
        let snapshot = example::snapshot(4, 3);
        check(&snapshot, 2, |it| {
            it.walk.is_some() && it.hearing.is_some_and(|hearing| hearing.name == "p2")
        });
        check(&snapshot, 2, |it| {
            it.vote.is_some_and(|vote| vote.key == example::key(2))
        });
        check(&snapshot, 2, |it| it.blocks_made == Some(500));
        check(&snapshot, 2, |it| it.last_blocks == Some((2, 4)));
        check(&snapshot, 3, |it| {
            it.blocks_made == Some(0) && it.last_blocks == Some((0, 4))
        });
    }

    #[test]
    fn only_a_peer_outside_of_the_majority_has_a_fork() {
        let mut snapshot = example::snapshot(4, 4);
        check(&snapshot, 4, |it| it.fork.is_none());
        example::fork_last(&mut snapshot);
        check(&snapshot, 3, |it| it.fork.is_none());
        check(&snapshot, 4, |it| {
            it.fork.is_some_and(|fork| fork.block == 137)
        });
        example::change_consensus(&mut snapshot, |verdict| {
            let histories = verdict.histories.as_mut().unwrap();
            histories.groups[0].is_majority = false;
        });
        check(&snapshot, 4, |it| it.fork.is_none());
    }

    #[test]
    fn without_a_key_only_what_is_known_by_the_name_is_found() {
        let mut snapshot = example::snapshot(4, 4);
        let record = Arc::make_mut(&mut snapshot.peers[0]);
        Arc::make_mut(&mut record.peer).key = None;
        check(&snapshot, 1, |it| {
            it.walk.is_some() && it.vote.is_none() && it.blocks_made.is_none()
        });
    }

    #[test]
    fn nothing_is_known_of_a_peer_of_another_network() {
        let mut snapshot = example::snapshot(4, 4);
        "other".clone_into(&mut snapshot.networks[0].name);
        let found = ConsensusIndex::new(snapshot.verdicts()).of(&snapshot.peers[0]);
        assert!(found.walk.is_none() && found.vote.is_none() && found.blocks_made.is_none());
    }
}
