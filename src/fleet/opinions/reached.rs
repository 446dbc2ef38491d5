//! How much of a network's stake is reached.

use std::collections::HashMap;

use cad3::Hash;

use crate::fleet::{NetworkSnapshot, PeerRecord, Snapshot};

/// Knowledge about the stake under one key.
#[derive(Default)]
struct Holding {
    copper: i128,
    /// Whether the configuration gives the key to a peer. Others that claim it do not count then.
    pinned: bool,
    reached: bool,
}

/// Returns the share of the registered stake of the peers that this agent polls and has reached
/// with a good poll within two intervals; none while the stake is unknown.
#[must_use]
pub(crate) fn reached_stake_ratio(network: &NetworkSnapshot, snapshot: &Snapshot) -> Option<f64> {
    share_of_stake(network, snapshot, |record| record.is_reached(snapshot.now))
}

/// Returns the share of the registered stake of the polled peers that `is_reached` accepts. Each
/// key counts once.
pub(super) fn share_of_stake(
    network: &NetworkSnapshot,
    snapshot: &Snapshot,
    is_reached: impl Fn(&PeerRecord) -> bool,
) -> Option<f64> {
    let total = network.verdict.stake_copper.filter(|total| *total > 0)?;
    let mut holdings: HashMap<Hash, Holding> = HashMap::new();
    let peers = snapshot.peers.iter().chain(&snapshot.others);
    for record in peers.filter(|record| record.peer.network == network.name) {
        let Some((key, stake)) = record.own_key().zip(record.stake.as_ref()) else {
            continue;
        };
        let pinned = record.peer.key.is_some();
        let holding = holdings.entry(key).or_default();
        if holding.pinned && !pinned {
            continue;
        }
        let registered = &stake.registered;
        let reached = is_reached(record) || (holding.reached && holding.pinned == pinned);
        *holding = Holding {
            copper: i128::from(registered.own_copper) + i128::from(registered.delegated_copper),
            pinned,
            reached,
        };
    }
    let reached = holdings.values().filter(|holding| holding.reached);
    let reached: i128 = reached.map(|holding| holding.copper.max(0)).sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio needs no more than 53 bits"
    )]
    let ratio = reached as f64 / total as f64;
    Some(ratio.min(1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::fleet::example;

    use super::*;

    /// A network of ten coins, of which each of the two watched peers has three.
    fn snapshot() -> Snapshot {
        let mut snapshot = example::snapshot(4, 2);
        example::change(&mut snapshot, |verdict| verdict.stake_copper = Some(10));
        snapshot.now += Duration::from_secs(1_000);
        for record in &mut snapshot.peers {
            let record = Arc::make_mut(record);
            let peer = Arc::make_mut(&mut record.peer);
            record.identity.key = peer.key.take();
            record.stake = Some(example::stake(2, 1, None));
        }
        snapshot
    }

    fn reach(snapshot: &mut Snapshot, peer: usize, seconds_ago: u64) {
        let at = snapshot.now - Duration::from_secs(seconds_ago);
        Arc::make_mut(&mut snapshot.peers[peer]).last_good_poll = Some(at);
    }

    fn ratio(snapshot: &Snapshot) -> Option<f64> {
        reached_stake_ratio(&snapshot.networks[0], snapshot)
    }

    #[test]
    fn peers_count_while_a_good_poll_is_at_most_two_intervals_old() {
        let mut snapshot = snapshot();
        assert_eq!(ratio(&snapshot), Some(0.0), "none was reached yet");
        let two_intervals = 2 * snapshot.peers[0].peer.polling.interval.as_secs();
        reach(&mut snapshot, 0, two_intervals);
        assert_eq!(ratio(&snapshot), Some(0.3));
        reach(&mut snapshot, 1, two_intervals + 1);
        assert_eq!(ratio(&snapshot), Some(0.3));
        reach(&mut snapshot, 1, 0);
        assert_eq!(ratio(&snapshot), Some(0.6));
        // A shard also polls peers of others.
        snapshot.others = vec![snapshot.peers.pop().unwrap()];
        assert_eq!(ratio(&snapshot), Some(0.6));
        example::change(&mut snapshot, |verdict| verdict.stake_copper = None);
        assert_eq!(ratio(&snapshot), None, "the whole is unknown");
    }

    #[test]
    fn stake_counts_once_and_not_for_peers_that_claim_a_pinned_key() {
        let mut snapshot = snapshot();
        let key = snapshot.peers[0].own_key();
        Arc::make_mut(&mut snapshot.peers[1]).identity.key = key;
        reach(&mut snapshot, 0, 0);
        reach(&mut snapshot, 1, 0);
        assert_eq!(ratio(&snapshot), Some(0.3), "two endpoints of one peer");
        for order in [[0, 1], [1, 0]] {
            let mut pinned = snapshot.clone();
            pinned.peers = order.map(|peer| pinned.peers[peer].clone()).to_vec();
            let owner = order.iter().position(|peer| *peer == 0).unwrap();
            let record = Arc::make_mut(&mut pinned.peers[owner]);
            record.last_good_poll = None;
            Arc::make_mut(&mut record.peer).key = key;
            assert_eq!(ratio(&pinned), Some(0.0), "only a stranger answers");
        }
    }
}
