//! How far a peer is behind: it is compared with what the agent knew when it asked.

use std::time::Duration;

use cad3::Hash;
use convex_client::{PollAnswer, Transport};
use convex_peer_monitor::fleet::{Condition, Fleet, Observation};
use tokio::time::{Instant, advance};

use crate::support::fleet::{equal_stakes, fleet};
use crate::support::polls;

const PEERS: u8 = 3;
const SECOND: Duration = Duration::from_secs(1);

/// Peers with equal stakes that were polled at block 100.
fn network() -> Fleet {
    let peer =
        |i| format!("  - {{ name: p{i}, network: n, endpoints: ['tcp://192.0.2.{i}:1'] }}\n");
    let peers: String = (1..=PEERS).map(peer).collect();
    let fleet = fleet(&format!("networks: [{{ name: n }}]\npeers:\n{peers}"));
    let registry = equal_stakes((1..=PEERS).map(|key| Hash::new([key; 32])));
    fleet.record_registry("n", Some((registry, "p1".to_owned(), false)));
    // The head is known only after the first polls.
    for peer in (1..=PEERS).chain(1..=PEERS) {
        poll(&fleet, peer, Instant::now(), 100);
    }
    fleet
}

/// Records that a peer which was asked at `asked` has answered now with this final block.
fn poll(fleet: &Fleet, peer: u8, asked: Instant, block: i64) {
    let answer = PollAnswer {
        state_block: Some(block),
        state_hash: Some(Hash::new([1; 32])),
        ..PollAnswer::default()
    };
    let status = polls::status(peer, polls::points([block + 1; 4]));
    let slot = &fleet.slots()[usize::from(peer) - 1];
    let poll = polls::of_one(Transport::Tcp, polls::good(status, answer));
    fleet.record(slot, &Observation { asked, ..poll });
    fleet.judge_all();
}

/// Returns how many blocks the first peer is behind, and whether it is called lagging.
fn first_peer(fleet: &Fleet) -> (i64, bool) {
    let record = &fleet.snapshot().peers[0];
    let blocks = record.lag(Instant::now()).unwrap().blocks;
    (blocks, record.conditions.contains(&Condition::Lagging))
}

#[tokio::test(start_paused = true)]
async fn what_became_final_while_a_peer_answered_is_not_held_against_it() {
    let fleet = network();
    advance(SECOND).await;
    let asked = Instant::now();
    advance(4 * SECOND).await;
    for other in 2..=PEERS {
        poll(&fleet, other, Instant::now(), 200);
    }
    poll(&fleet, 1, asked, 110);
    assert_eq!(first_peer(&fleet), (0, false));
    poll(&fleet, 1, Instant::now(), 110);
    assert_eq!(
        first_peer(&fleet),
        (90, false),
        "asked when the others had it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_between_two_polls_puts_no_peer_behind() {
    let fleet = network();
    advance(10 * SECOND).await;
    for other in 2..=PEERS {
        poll(&fleet, other, Instant::now(), 200);
    }
    fleet.record_sample(&fleet.slots()[0], (200, Hash::new([1; 32]).into()));
    fleet.judge_all();
    assert_eq!(first_peer(&fleet), (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_peer_lags_once_it_was_asked_again_and_is_still_behind() {
    let fleet = network();
    let poll_others = || {
        for other in 2..=PEERS {
            poll(&fleet, other, Instant::now(), 200);
        }
    };
    poll_others();
    poll(&fleet, 1, Instant::now(), 100);
    advance(31 * SECOND).await;
    poll_others();
    fleet.record_sample(&fleet.slots()[0], (100, Hash::new([1; 32]).into()));
    fleet.judge_all();
    assert_eq!(first_peer(&fleet), (100, false), "it was not asked again");
    poll(&fleet, 1, Instant::now(), 150);
    assert_eq!(first_peer(&fleet), (50, true));
}
