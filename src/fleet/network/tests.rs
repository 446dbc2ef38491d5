use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::fleet::OrderState;
use crate::fleet::slot::SlotId;

use super::head::Lag;
use super::member::{Divergence, Heard, Member};
use super::watch::NetworkWatch;

/// How a peer compares with its network.
struct Compared {
    lag: Option<Lag>,
    divergence: Divergence,
}

/// An id for each name.
fn id(name: &str) -> SlotId {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    SlotId(hasher.finish())
}

/// A network whose peers answer at given seconds.
struct Scenario {
    watch: NetworkWatch,
    start: Instant,
}

impl Scenario {
    fn new() -> Self {
        Self {
            watch: NetworkWatch::default(),
            start: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn add(&mut self, name: &str, represents: u64) {
        let member = Member::new(represents, Divergence::Unknown);
        self.watch.members.insert(id(name), member);
    }

    /// Records a state at `block`, of the honest history 0 or of another one, and compares.
    fn answer(&mut self, seconds: u64, name: &str, block: i64, history: u8) -> Compared {
        let now = self.at(seconds);
        if !self.watch.members.contains_key(&id(name)) {
            self.add(name, 1);
        }
        let mut hash = [history; 32];
        hash[..8].copy_from_slice(&block.to_be_bytes());
        let NetworkWatch {
            members, counts, ..
        } = &mut self.watch;
        let member = members.get_mut(&id(name)).expect("just added");
        member.add_state((block, Hash::new(hash).into()), counts);
        member.awaited = false;
        member.latest = Some(Heard {
            block,
            until: now + Duration::from_secs(45),
        });
        self.watch.compare(now);
        Compared {
            lag: self.watch.judgement(now).lag(id(name), block, now),
            divergence: self.watch.divergence(id(name)),
        }
    }

    fn lag(&mut self, seconds: u64, name: &str, block: i64) -> Option<(i64, u64)> {
        let lag = self.answer(seconds, name, block, 0).lag;
        lag.map(|lag| (lag.blocks, lag.time.as_secs()))
    }
}

#[test]
fn the_only_peer_that_answers_has_no_lag() {
    let mut scenario = Scenario::new();
    assert_eq!(scenario.lag(0, "a", 5), None);
    assert_eq!(scenario.lag(1, "b", 5), Some((0, 0)));
    assert_eq!(
        scenario.lag(60, "b", 6),
        None,
        "the answer of the other one is outdated"
    );
}

#[test]
fn polls_spread_over_the_interval_on_a_busy_network_cause_no_lag() {
    let mut scenario = Scenario::new();
    for seconds in 0..300_u64 {
        // One block per second; peer i is polled at second i of every 15.
        let name = format!("peer-{}", seconds % 15);
        let block = i64::try_from(seconds).unwrap();
        let lag = scenario.lag(seconds, &name, block);
        assert!(
            lag.is_none_or(|(blocks, _)| blocks == 0),
            "{name} at {seconds} s: {lag:?}"
        );
    }
}

#[test]
fn a_peer_that_stays_behind_lags_since_the_head_passed_it() {
    let mut scenario = Scenario::new();
    for seconds in [0, 15, 30, 45] {
        let block = i64::try_from(seconds).unwrap() + 100;
        scenario.answer(seconds, "a", block, 0);
        scenario.answer(seconds + 1, "b", block, 0);
    }
    assert_eq!(
        scenario.lag(47, "behind", 100),
        Some((45, 32)),
        "the head is beyond 100 since second 15"
    );
    assert_eq!(scenario.lag(48, "behind", 145), Some((0, 0)));
}

#[test]
fn the_leading_one_of_two_peers_is_the_head() {
    let mut scenario = Scenario::new();
    scenario.answer(0, "a", 100, 0);
    assert_eq!(scenario.lag(5, "b", 60), Some((40, 5)));
}

#[test]
fn a_liar_does_not_move_the_head() {
    let mut scenario = Scenario::new();
    for seconds in (0..60).step_by(15) {
        for name in ["a", "b", "c"] {
            let lag = scenario.lag(seconds, name, 100);
            assert!(lag.is_none_or(|(blocks, _)| blocks == 0), "{name}: {lag:?}");
        }
        scenario.answer(seconds + 1, "liar", 1 << 62, 9);
    }
    assert_eq!(scenario.watch.verdict(scenario.at(60)).head, Some(100));
}

#[test]
fn a_peer_of_a_sample_weighs_as_many_as_it_represents() {
    let mut scenario = Scenario::new();
    for (name, represents) in [("a", 1), ("b", 1), ("c", 1), ("sampled", 4)] {
        scenario.add(name, represents);
        scenario.watch.members.get_mut(&id(name)).unwrap().awaited = false;
    }
    for (name, history) in [("a", 0), ("b", 0), ("c", 0), ("sampled", 1)] {
        scenario.answer(0, name, 5, history);
    }
    let [first, sampled] =
        [("a", 0), ("sampled", 1)].map(|(name, history)| scenario.answer(1, name, 5, history));
    assert_eq!(
        (first.divergence.diverged(), sampled.divergence.diverged()),
        (Some(true), None),
        "four against three"
    );
}

#[test]
fn a_liar_that_answers_first_does_not_move_the_head() {
    let mut scenario = Scenario::new();
    for name in ["a", "b", "c", "liar"] {
        scenario.add(name, 1);
    }
    assert_eq!(scenario.lag(0, "liar", 1 << 62), None);
    for name in ["a", "b", "c"] {
        let lag = scenario.lag(1, name, 100);
        assert!(lag.is_none_or(|(blocks, _)| blocks == 0), "{name}: {lag:?}");
    }
    assert_eq!(scenario.watch.verdict(scenario.at(1)).head, Some(100));
}

#[test]
fn a_divergence_is_latched_until_the_states_are_seen_equal() {
    let mut scenario = Scenario::new();
    for name in ["a", "b", "c"] {
        scenario.answer(0, name, 5, 0);
    }
    let forked = Divergence::Diverged { first_block: 5 };
    assert_eq!(scenario.answer(1, "fork", 5, 1).divergence, forked);
    for name in ["a", "b", "c"] {
        assert_eq!(
            scenario.answer(2, name, 6, 0).divergence,
            Divergence::Agrees,
            "{name}"
        );
    }
    assert_eq!(
        scenario.answer(3, "fork", 7, 1).divergence,
        forked,
        "without a newer common block it stays diverged"
    );
    assert_eq!(
        scenario.answer(4, "fork", 6, 0).divergence,
        Divergence::Agrees
    );
}

#[test]
fn two_disagreeing_halves_are_a_split() {
    let mut scenario = Scenario::new();
    for (name, history) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        scenario.answer(0, name, 5, history);
    }
    let verdict = scenario.watch.verdict(scenario.at(0));
    assert_eq!((verdict.split, verdict.groups), (true, 2));
    assert_eq!(
        scenario.answer(1, "a", 5, 0).divergence,
        Divergence::Unknown,
        "without a majority no peer is diverged"
    );
}

#[test]
fn a_network_stalls_with_a_third_of_the_registered_or_all_watched_peers() {
    for (registered, stalled, moving, expected) in [
        (3, 1, 2, OrderState::Stalled),
        (4, 1, 3, OrderState::Advancing),
        (20, 1, 1, OrderState::Advancing),
        (20, 2, 0, OrderState::Stalled),
    ] {
        let mut scenario = Scenario::new();
        scenario.watch.registered = registered;
        for i in 0..stalled + moving {
            let name = format!("peer-{i}");
            scenario.answer(0, &name, 5, 0);
            let state = if i < stalled {
                OrderState::Stalled
            } else {
                OrderState::Advancing
            };
            scenario
                .watch
                .record_order(id(&name), state, Some(6), SystemTime::UNIX_EPOCH);
        }
        let verdict = scenario.watch.verdict(scenario.at(1));
        assert_eq!(
            verdict.order, expected,
            "{stalled} of {registered} stalled, {moving} moving"
        );
    }
}

proptest! {
    #[test]
    fn the_order_of_answers_changes_neither_the_head_nor_the_diverged_peers(
        steps in prop::collection::vec((0_usize..4, 0_i64..4, any::<u64>()), 1..40),
        forked in any::<bool>(),
    ) {
        // The blocks of each peer grow; peer 3 may have another history.
        let mut blocks = [100_i64; 4];
        let mut answers = Vec::new();
        for (peer, growth, position) in &steps {
            blocks[*peer] += growth;
            answers.push((*position, *peer, blocks[*peer]));
        }
        let replay = |answers: &[(u64, usize, i64)]| {
            let mut scenario = Scenario::new();
            for peer in 0..4 {
                scenario.add(&peer.to_string(), 1);
            }
            for (_, peer, block) in answers {
                scenario.answer(0, &peer.to_string(), *block, u8::from(forked && *peer == 3));
            }
            for (peer, block) in blocks.iter().enumerate() {
                scenario.answer(0, &peer.to_string(), *block, u8::from(forked && peer == 3));
            }
            let members = scenario.watch.members.values();
            let diverged: Vec<_> = members.map(|member| member.divergence(false).is_diverged()).collect();
            // How far a peer could move the head before it was found diverged depends on earlier
            // answers.
            (scenario.watch.head.block().filter(|_| !forked), diverged)
        };
        let original = replay(&answers);
        // Another order, in which the blocks of each peer still grow.
        let mut reordered: Vec<_> = (0..4)
            .flat_map(|peer| {
                let own = answers.iter().filter(move |(_, of, _)| *of == peer);
                let mut positions: Vec<_> = own.clone().map(|(position, ..)| *position).collect();
                positions.sort_unstable();
                positions.into_iter().zip(own.copied()).map(|(position, (_, of, block))| (position, of, block))
            })
            .collect();
        reordered.sort_by_key(|(position, ..)| *position);
        prop_assert_eq!(replay(&reordered), original);
    }
}
