//! Which peers are walked in a round: each own peer every time, others seldom and in rotation.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convex_client::{Endpoint, Transport};
use tokio::time::Instant;

use crate::config::{Peer, Role};
use crate::fleet::{PeerRecord, Snapshot};

/// Minimum time between two walks of a peer that is not the operator's own.
const OTHERS_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum number of peers in a round that are not the operator's own.
const MAX_OTHERS: usize = 5;

/// How long a walk of such a peer is remembered: those that wait longest come first.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// A peer to walk.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) peer: Arc<Peer>,
    /// How long after this walk it is walked next.
    pub(super) every: Duration,
    /// Why it cannot be walked, if so.
    pub(super) obstacle: Option<&'static str>,
}

/// When peers that are not the operator's own were last walked, by their endpoints: outlives a
/// reload and is shared by all networks.
#[derive(Debug, Default)]
pub struct OthersWalked(Mutex<HashMap<String, Instant>>);

impl OthersWalked {
    /// Returns the peers of a network to walk in the round that is `due`: its own ones of this
    /// shard, whether they can be walked or not, and the other peers whose turn it is.
    pub(super) fn targets(
        &self,
        snapshot: &Snapshot,
        network: &str,
        interval: Duration,
        due: Instant,
    ) -> Vec<Target> {
        let records = snapshot.peers.iter().chain(&snapshot.others);
        let (own, others): (Vec<_>, Vec<_>) = records
            .filter(|record| record.peer.network == network)
            .partition(|record| record.peer.role == Role::Own && record.peer.sampled.is_none());
        let own = own.into_iter().map(|record| Target {
            peer: Arc::clone(&record.peer),
            every: interval,
            obstacle: obstacle(record),
        });
        own.chain(self.others(&others, interval, due)).collect()
    }

    /// Takes the others whose turn it is: those first that wait longest, of these the heaviest.
    fn others(&self, others: &[&Arc<PeerRecord>], interval: Duration, due: Instant) -> Vec<Target> {
        let least = OTHERS_INTERVAL.max(interval);
        // A panic leaves the map consistent.
        let mut walked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        walked.retain(|_, at| due.saturating_duration_since(*at) < REMEMBERED.max(least));
        let walkable = others.iter().filter(|record| obstacle(record).is_none());
        // By endpoint, because two peers at one endpoint are one stranger.
        let walkable: HashMap<String, _> = walkable
            .filter_map(|record| Some((place(&record.peer)?, record)))
            .collect();
        let rounds = u32::try_from(walkable.len().div_ceil(MAX_OTHERS)).unwrap_or(u32::MAX);
        let every = least.max(interval.saturating_mul(rounds));
        let mut turns: Vec<_> = walkable
            .into_iter()
            .map(|(place, record)| (walked.get(&place).copied(), place, record))
            .filter(|(last, ..)| last.is_none_or(|last| due >= last + least))
            .collect();
        turns.sort_by_key(|(last, place, record)| {
            let stake = record.stake.as_ref();
            let stake = Reverse(stake.map(|stake| stake.registered.stake_copper()));
            (*last, stake, place.clone())
        });
        turns.truncate(MAX_OTHERS);
        let targets = turns.into_iter().map(|(_, place, record)| {
            walked.insert(place, due);
            Target {
                peer: Arc::clone(&record.peer),
                every,
                obstacle: None,
            }
        });
        targets.collect()
    }
}

/// Returns why a peer cannot be walked.
fn obstacle(record: &PeerRecord) -> Option<&'static str> {
    if place(&record.peer).is_none() {
        return Some("it has no tcp:// endpoint, and only the binary protocol has beliefs");
    }
    (!record.last_poll.is_good()).then_some("it did not answer the last poll")
}

/// Returns the endpoint at which a peer is walked.
fn place(peer: &Peer) -> Option<String> {
    let is_tcp = |endpoint: &&Endpoint| endpoint.transport() == Transport::Tcp;
    peer.endpoints.iter().find(is_tcp).map(Endpoint::to_string)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::config::shard::Shard;
    use crate::fleet::{Fleet, LastPoll, example};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The record of a peer that answered its last poll.
    fn record(name: &str, role: Role, stake: i64) -> PeerRecord {
        let endpoint = Endpoint::parse(&format!("tcp://{name}.example")).unwrap();
        let peer = Peer {
            name: name.to_owned(),
            network: "n".to_owned(),
            role,
            ..Peer::from_endpoint(endpoint)
        };
        let mut record = PeerRecord::new(Arc::new(peer));
        record.last_poll = LastPoll::Good;
        record.stake = Some(example::stake(stake, 0, None));
        record
    }

    fn snapshot(peers: Vec<PeerRecord>) -> Snapshot {
        let mut snapshot = Fleet::default().snapshot();
        let all = peers.into_iter().map(Arc::new);
        (snapshot.peers, snapshot.others) = all.partition(|record| record.peer.sampled.is_none());
        (snapshot.now, snapshot.wall) = (Instant::now(), SystemTime::now());
        snapshot
    }

    fn names(targets: &[Target]) -> String {
        let names: Vec<&str> = targets.iter().map(|target| &*target.peer.name).collect();
        names.join(" ")
    }

    /// Reference peers from `a` on, each lighter than the one before.
    fn references(count: u8) -> Vec<PeerRecord> {
        let letters = (b'a'..).take(count.into()).map(char::from);
        letters
            .zip(0..)
            .map(|(letter, i)| record(&letter.to_string(), Role::Reference, 100 - i))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn own_peers_are_walked_each_time_and_others_in_rotation_by_stake() {
        let mut peers = references(12);
        peers.push(record("own", Role::Own, 1));
        let snapshot = snapshot(peers);
        let walked = OthersWalked::default();
        let mut rounds = Vec::new();
        for _ in 0..14 {
            let targets = walked.targets(&snapshot, "n", MINUTE, Instant::now());
            rounds.push(names(&targets));
            tokio::time::advance(MINUTE).await;
        }
        let expected = ["own a b c d e", "own f g h i j", "own k l"];
        assert_eq!(rounds[..3], expected);
        assert!(
            rounds[3..10].iter().all(|round| round == "own"),
            "{rounds:?}"
        );
        assert_eq!(rounds[10..13], expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_counts_for_as_long_as_it_takes_until_the_next_one() {
        for (others, interval, own, other) in [
            (5, MINUTE, MINUTE, 10 * MINUTE),
            (20, MINUTE, MINUTE, 10 * MINUTE),
            (20, 5 * MINUTE, 5 * MINUTE, 20 * MINUTE),
            (1, 60 * MINUTE, 60 * MINUTE, 60 * MINUTE),
        ] {
            let mut peers = references(others);
            peers.push(record("own", Role::Own, 1));
            let targets =
                OthersWalked::default().targets(&snapshot(peers), "n", interval, Instant::now());
            let every: Vec<_> = targets.iter().map(|target| target.every).collect();
            assert_eq!((every[0], every[1]), (own, other), "{others} {interval:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_peers_and_two_networks_at_one_endpoint_are_one_stranger() {
        let [one, mut same, mut elsewhere] =
            ["a", "a", "a"].map(|name| record(name, Role::Reference, 1));
        let rename = |record: &mut PeerRecord, network: &str| {
            let peer = Arc::make_mut(&mut record.peer);
            (peer.name, peer.network) = ("b".to_owned(), network.to_owned());
        };
        rename(&mut same, "n");
        rename(&mut elsewhere, "m");
        let snapshot = snapshot(vec![one, same, elsewhere]);
        let walked = OthersWalked::default();
        assert_eq!(
            walked.targets(&snapshot, "n", MINUTE, Instant::now()).len(),
            1
        );
        assert_eq!(
            walked.targets(&snapshot, "n", MINUTE, Instant::now()).len(),
            0
        );
        assert_eq!(
            walked.targets(&snapshot, "m", MINUTE, Instant::now()).len(),
            0
        );
    }

    #[tokio::test(start_paused = true)]
    async fn own_peers_that_cannot_be_walked_are_named_and_others_left_out() {
        let tcp = |role| record("tcp", role, 1);
        let http = |role| {
            let mut http = record("http", role, 1);
            let endpoints = vec![Endpoint::parse("http://a.example").unwrap()];
            Arc::make_mut(&mut http.peer).endpoints = endpoints;
            http
        };
        let silent = |role| {
            let mut silent = record("silent", role, 1);
            silent.last_poll = LastPoll::None;
            silent
        };
        for (role, expected) in [(Role::Own, "tcp http silent"), (Role::Reference, "tcp")] {
            let snapshot = snapshot(vec![tcp(role), http(role), silent(role)]);
            let targets = OthersWalked::default().targets(&snapshot, "n", MINUTE, Instant::now());
            assert_eq!(names(&targets), expected);
            let obstacles = targets.iter().map(|target| target.obstacle.is_some());
            assert!(obstacles.eq([false, true, true].into_iter().take(targets.len())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn own_peers_of_other_shards_are_others() {
        let mut sampled = record("sampled", Role::Own, 1);
        let shard: Shard = "1/2".parse().unwrap();
        let peer = Peer::clone(&sampled.peer);
        sampled.peer = Arc::new(shard.sampled(peer, std::num::NonZeroU32::MIN));
        let snapshot = snapshot(vec![sampled]);
        let walked = OthersWalked::default();
        assert_eq!(
            walked.targets(&snapshot, "n", MINUTE, Instant::now()).len(),
            1
        );
        assert_eq!(
            walked.targets(&snapshot, "n", MINUTE, Instant::now()).len(),
            0
        );
    }
}
