//! The registered peers of a network, watched or not: the stake of each, how far its order is, and
//! what it has executed.

use std::collections::{HashMap, HashSet};

use cad3::Hash;
use convex_client::OrderPoints;

use crate::fleet::{NetworkSnapshot, PeerRecord, RegisteredStake, Snapshot, Vote};

use super::peer_names::PeerNames;

/// A registered peer. Of one that is not watched only stake and signed orders are known.
#[derive(Debug)]
pub(super) struct RegisteredPeer<'a> {
    pub(super) key: Hash,
    /// Its entry in the registry; none if that was not read.
    pub(super) entry: Option<&'a RegisteredStake>,
    /// The watched peer with its key.
    pub(super) record: Option<&'a PeerRecord>,
    /// Its newest signed order that was read.
    pub(super) vote: Option<&'a Vote>,
    /// Number of blocks at each level: by the last poll of a watched peer, or else by its newest
    /// signed order.
    pub(super) order: Option<OrderPoints>,
    /// Number of blocks that it has executed, by its last poll.
    pub(super) executed: Option<i64>,
}

impl<'a> RegisteredPeer<'a> {
    /// Returns the peers of a network, the one with the most stake first: those in the registry,
    /// and where that was not read, those of which an order was read or that are watched.
    pub(super) fn all(
        network: &'a NetworkSnapshot,
        snapshot: &'a Snapshot,
        names: &PeerNames<'a>,
    ) -> Vec<Self> {
        let verdict = &network.verdict;
        let votes = &verdict.consensus.votes;
        let by_key: HashMap<Hash, &Vote> = votes.iter().map(|vote| (vote.key, vote)).collect();
        let registry = verdict.registered_peers.iter();
        let mut peers: Vec<Self> = registry
            .map(|entry| Self::new(entry.key, Some(entry), &by_key, snapshot, names))
            .collect();
        let mut known: HashSet<Hash> = peers.iter().map(|peer| peer.key).collect();
        let voting = votes.iter().map(|vote| vote.key);
        for key in voting.chain(names.keys()) {
            if known.insert(key) {
                peers.push(Self::new(key, None, &by_key, snapshot, names));
            }
        }
        peers
    }

    fn new(
        key: Hash,
        entry: Option<&'a RegisteredStake>,
        votes: &HashMap<Hash, &'a Vote>,
        snapshot: &Snapshot,
        names: &PeerNames<'a>,
    ) -> Self {
        let record = names.get(&key);
        let vote = votes.get(&key).copied();
        let polled = record.and_then(|record| record.order(snapshot.now));
        let state = record.and_then(|record| record.poll_answer(snapshot.now)?.state_block);
        Self {
            key,
            entry,
            record,
            vote,
            order: polled.or(vote.map(|vote| vote.points)),
            // The state that a peer has is that after this block.
            executed: state.map(|block| block.saturating_add(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::example;

    fn listed(snapshot: &Snapshot) -> Vec<String> {
        let names = PeerNames::of("n", snapshot);
        let peers = RegisteredPeer::all(&snapshot.networks[0], snapshot, &names);
        let peers = peers.iter().map(|peer| {
            let watched = peer.record.map_or("-", |record| record.peer.name.as_str());
            let order = peer.order.map(|order| order.block);
            let share = peer.entry.and_then(|entry| entry.share);
            format!("{watched} {share:?} {order:?}")
        });
        peers.collect()
    }

    #[test]
    fn peers_that_are_not_watched_are_listed_with_their_signed_orders() {
        let mut snapshot = example::snapshot(3, 1);
        let now = snapshot.now;
        example::answer(Arc::make_mut(&mut snapshot.peers[0]), now);
        example::change(&mut snapshot, |verdict| {
            let mut peers = verdict.registered_peers.to_vec();
            for (peer, share) in peers.iter_mut().zip([0.5, 0.3, 0.2]) {
                peer.share = Some(share);
            }
            verdict.registered_peers = peers.into();
        });
        assert_eq!(
            listed(&snapshot),
            [
                "p1 Some(0.5) Some(8)",
                "- Some(0.3) Some(1001)",
                "- Some(0.2) Some(1001)"
            ]
        );
    }

    #[test]
    fn without_a_registry_those_that_vote_or_are_watched_are_listed_once() {
        let mut snapshot = example::snapshot(3, 3);
        example::change(&mut snapshot, |verdict| {
            verdict.registered_peers = Arc::default();
            let consensus = Arc::make_mut(&mut verdict.consensus);
            consensus.votes.truncate(2);
        });
        assert_eq!(
            listed(&snapshot),
            ["p1 None Some(1001)", "p2 None Some(1001)", "p3 None None"]
        );
    }
}
