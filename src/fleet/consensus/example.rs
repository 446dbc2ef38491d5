//! Networks whose orders and beliefs were read, for tests of what presents them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::RegisteredPeer;
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
use convex_client::{Endpoint, OrderPoints};
use tokio::time::Instant;

use crate::config::Peer;
use crate::fleet::peer::endpoint::Measured;
use crate::fleet::{
    ConsensusVerdict, Evidence, Fork, ForkedBlock, Health, Heard, Hearing, HearingCell, Histories,
    History, LastBlock, LastPoll, NetworkSnapshot, NetworkVerdict, OrderState, PeerRecord, Pending,
    PendingUpgrade, Production, ProtocolVerdict, RegisteredStake, Snapshot, Stake, Throughput,
    ThroughputSource, Vantages, Vote, WalkResult,
};

/// Time of the snapshots, in milliseconds since the epoch.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// Returns the key of the peer `i`.
pub(crate) fn key(i: u8) -> Hash {
    Hash::new([i; 32])
}

/// A sound network `n` of `peers` registered peers with equal stake. The first `watched` of them
/// are watched as `p1`, `p2` and so on, and walked.
pub(crate) fn snapshot(peers: u8, watched: u8) -> Snapshot {
    let (now, wall) = (
        Instant::now(),
        SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS.unsigned_abs()),
    );
    let verdict = NetworkVerdict {
        order: OrderState::Advancing,
        head: Some(999),
        split: Evidence::Disproven,
        registered_peers: (1..=peers).map(|i| registered(i, peers)).collect(),
        consensus: Arc::new(verdict(peers, watched, now, wall)),
        ..NetworkVerdict::default()
    };
    let peers = (1..=watched).map(|i| Arc::new(record(i))).collect();
    snapshot_of((now, wall), peers, verdict)
}

/// A snapshot at this moment of these peers of a network `n` with this verdict.
pub(crate) fn snapshot_of(
    (now, wall): (Instant, SystemTime),
    peers: Vec<Arc<PeerRecord>>,
    verdict: NetworkVerdict,
) -> Snapshot {
    Snapshot {
        wall,
        now,
        peers,
        others: Vec::new(),
        networks: vec![NetworkSnapshot {
            name: "n".to_owned(),
            throughput: Some(Throughput {
                transactions_per_second: 1.5,
                source: ThroughputSource::Orders,
            }),
            verdict: Arc::new(verdict),
            ..NetworkSnapshot::default()
        }],
        checks: crate::self_check::Checks::default(),
        clock_dispute: None,
        vantages: Vantages::default(),
        firing: Arc::default(),
        acknowledged: Arc::default(),
    }
}

/// What a registry without controllers and blocks has of a peer: own and delegated stake in copper,
/// and the share of the weight.
pub(crate) fn stake(own_copper: i64, delegated_copper: i64, weight: Option<f64>) -> Stake {
    Stake {
        registered: RegisteredPeer {
            controller: None,
            own_copper,
            delegated_copper,
            shares: 0,
            last_block_ms: None,
            url: None,
        },
        state_time_ms: 0,
        decay: 1.0,
        weight,
        controller_balance: None,
    }
}

/// Changes the verdict on the only network.
pub(crate) fn change(snapshot: &mut Snapshot, change_it: impl FnOnce(&mut NetworkVerdict)) {
    change_it(Arc::make_mut(&mut snapshot.networks[0].verdict));
}

/// Changes what orders and beliefs say of the only network.
pub(crate) fn change_consensus(
    snapshot: &mut Snapshot,
    change_it: impl FnOnce(&mut ConsensusVerdict),
) {
    change(snapshot, |verdict| {
        change_it(Arc::make_mut(&mut verdict.consensus));
    });
}

/// Moves the last of four peers to a history of its own, which begins at block 137.
pub(crate) fn fork_last(snapshot: &mut Snapshot) {
    let last = snapshot.peers.last_mut().expect("there are peers");
    Arc::make_mut(last).standing.forked_at = Some(137);
    let fork = Fork {
        block: 137,
        blocks: [
            ForkedBlock {
                hash: Hash::new([0xaa; 32]),
                made: Some((key(1), NOW_MS - 60_000)),
            },
            ForkedBlock {
                hash: Hash::new([0xbb; 32]),
                made: None,
            },
        ],
    };
    change_consensus(snapshot, |verdict| {
        let histories = verdict.histories.as_mut().expect("a sound network has one");
        let first = &mut histories.groups[0];
        let last = first.peers.pop().expect("there are peers");
        first.stake = Some(0.75);
        histories.fork = Some(fork.clone());
        histories.groups.push(History {
            peers: vec![last],
            stake: Some(0.25),
            is_majority: false,
            fork: Some(fork),
        });
    });
}

/// Schedules version 1 of the protocol for this many seconds after the time of the snapshot. Of the
/// weight 60 % can execute it, 30 % cannot, and of 10 % it is not known.
pub(crate) fn schedule_upgrade(snapshot: &mut Snapshot, seconds: i64) {
    change(snapshot, |verdict| {
        verdict.protocol = Some(ProtocolVerdict {
            pending: vec![PendingUpgrade {
                version: 1,
                takes_effect_ms: NOW_MS + seconds * 1_000,
                readiness: Some([0.6, 0.3, 0.1]),
            }],
            ..ProtocolVerdict::default()
        });
    });
}

/// Polls a peer at `now`, which answers, fails or is excused as its health says.
pub(crate) fn poll_by_health(record: &mut PeerRecord, now: Instant) {
    record.last_poll = match record.health {
        Health::Unknown => LastPoll::Excused,
        Health::Up | Health::Degraded => LastPoll::Good,
        Health::Down => LastPoll::Failed,
    };
    match record.last_poll.up() {
        Some(true) => answer(record, now),
        Some(false) => {
            record.polls += 1;
            record.poll_failures += 1;
        }
        None => {}
    }
}

/// Polls a peer at `now`, which answers.
pub(crate) fn answer(record: &mut PeerRecord, now: Instant) {
    record.last_poll = LastPoll::Good;
    record.polls += 1;
    record.order = Some(Measured {
        value: OrderPoints {
            block: 8,
            proposal: 8,
            consensus: 8,
            finality: 8,
        },
        obtained: now,
        via: None,
    });
}

/// Lets a peer say at `now` that it can execute versions up to this one.
pub(crate) fn support(record: &mut PeerRecord, version: i64, now: Instant) {
    record.supported = Some(Measured {
        value: version,
        obtained: now,
        via: None,
    });
}

/// The entry of the peer `i` of so many with equal stake.
fn registered(i: u8, peers: u8) -> RegisteredStake {
    let share = Some(1.0 / f64::from(peers));
    RegisteredStake {
        key: key(i),
        share,
        stake: stake(MINIMUM_OWN_STAKE_COPPER, MINIMUM_OWN_STAKE_COPPER, share),
    }
}

fn record(i: u8) -> PeerRecord {
    let endpoint = Endpoint::parse("tcp://192.0.2.1").expect("an address is an endpoint");
    let mut peer = Peer::from_endpoint(endpoint);
    peer.name = format!("p{i}");
    "n".clone_into(&mut peer.network);
    peer.key = Some(key(i));
    PeerRecord::new(Arc::new(peer))
}

fn verdict(peers: u8, watched: u8, now: Instant, wall: SystemTime) -> ConsensusVerdict {
    let stake = Some(1.0 / f64::from(peers));
    let keys = || (1..=peers).map(key);
    let cell = HearingCell {
        heard: Heard::Current,
        is_judged: true,
    };
    let vote = |key| Vote {
        key,
        stake,
        points: OrderPoints {
            block: 1_001,
            proposal: 1_001,
            consensus: 1_000,
            finality: 1_000,
        },
        signed_ms: NOW_MS - 2_000,
        first_seen: now,
        held_by: (watched.into(), watched.into()),
    };
    ConsensusVerdict {
        walks: (1..=watched)
            .map(|i| {
                let result = WalkResult {
                    read: Some((now, wall)),
                    failure: None,
                };
                (format!("p{i}"), result)
            })
            .collect(),
        votes: keys().map(vote).collect(),
        unread: 0,
        levels: Some([1.0, 1.0, 0.5, 0.0]),
        deciding: Some(1_000),
        histories: Some(Histories {
            groups: vec![History {
                peers: keys().collect(),
                stake: Some(1.0),
                is_majority: true,
                fork: None,
            }],
            fork: None,
            not_compared: Vec::new(),
            compared_stake: Some(1.0),
        }),
        hearing: (1..=watched)
            .map(|i| Hearing {
                key: key(i),
                name: format!("p{i}"),
                read: now,
                cells: keys().map(|key| (key, cell)).collect(),
                heard_stake: Some(1.0),
                is_isolated: false,
                is_unheard: false,
            })
            .collect(),
        production: Some(production()),
        duplicate_keys: Vec::new(),
    }
}

/// The last four blocks, made by the first two peers in turn; the newest waits.
fn production() -> Production {
    let block = |index: u64| LastBlock {
        index,
        maker: key(if index.is_multiple_of(2) { 1 } else { 2 }),
        timestamp_ms: NOW_MS - 1_000 * (1_001 - i64::try_from(index).expect("it is small")),
        transactions: 3,
        of_canary: 0,
        is_final: index < 1_000,
        finality_seconds: (index == 999).then_some(0.25),
    };
    Production {
        last: (997..=1_000).map(block).collect(),
        pending: Some(Pending {
            block: block(1_000),
            age_seconds: 1.0,
        }),
        transactions: 2_997,
        made: BTreeMap::from([(key(1), 499), (key(2), 500)]),
        skipped: 7,
        transactions_per_second: Some(1.5),
        finality_seconds: Some(0.25),
    }
}
