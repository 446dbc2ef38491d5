use proptest::prelude::*;

use super::*;

/// A network whose peers answer at given seconds.
struct Story {
    watch: NetworkWatch,
    start: Instant,
}

impl Story {
    fn new() -> Self {
        Self {
            watch: NetworkWatch::default(),
            start: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// An honest state at `block`, or one of another history.
    fn answer(&mut self, seconds: u64, name: &str, block: i64, history: u8) -> Standing {
        let mut hash = [history; 32];
        hash[..8].copy_from_slice(&block.to_be_bytes());
        let shown = ShownState {
            block,
            hash: Hash::new(hash),
            key: None,
            registered: None,
            fresh: Duration::from_secs(45),
        };
        let now = self.at(seconds);
        self.watch.shown(name, shown, now)
    }

    fn lag(&mut self, seconds: u64, name: &str, block: i64) -> Option<(i64, u64)> {
        let lag = self.answer(seconds, name, block, 0).lag;
        lag.map(|lag| (lag.blocks, lag.time.as_secs()))
    }
}

#[test]
fn a_peer_that_is_heard_alone_has_no_lag() {
    let mut story = Story::new();
    assert_eq!(story.lag(0, "a", 5), None);
    assert_eq!(story.lag(1, "b", 5), Some((0, 0)));
    assert_eq!(
        story.lag(60, "b", 6),
        None,
        "the other one's word is too old"
    );
}

#[test]
fn polls_spread_over_the_interval_on_a_moving_network_make_nobody_lag() {
    let mut story = Story::new();
    for seconds in 0..300_u64 {
        // A block a second; peer i is asked at second i of each 15.
        let name = format!("peer-{}", seconds % 15);
        let block = i64::try_from(seconds).unwrap();
        let lag = story.lag(seconds, &name, block);
        assert!(
            lag.is_none_or(|(blocks, _)| blocks == 0),
            "{name} at {seconds} s: {lag:?}"
        );
    }
}

#[test]
fn a_peer_that_stays_behind_lags_since_the_head_went_past_it() {
    let mut story = Story::new();
    for seconds in [0, 15, 30, 45] {
        let block = i64::try_from(seconds).unwrap() + 100;
        story.answer(seconds, "a", block, 0);
        story.answer(seconds + 1, "b", block, 0);
    }
    assert_eq!(
        story.lag(47, "behind", 100),
        Some((45, 32)),
        "the head was beyond 100 from second 15 on"
    );
    assert_eq!(story.lag(48, "behind", 145), Some((0, 0)));
}

#[test]
fn of_two_peers_the_one_ahead_is_the_head() {
    let mut story = Story::new();
    story.answer(0, "a", 100, 0);
    assert_eq!(story.lag(5, "b", 60), Some((40, 5)));
}

#[test]
fn a_liar_never_moves_the_head() {
    let mut story = Story::new();
    for seconds in (0..60).step_by(15) {
        for name in ["a", "b", "c"] {
            let lag = story.lag(seconds, name, 100);
            assert!(lag.is_none_or(|(blocks, _)| blocks == 0), "{name}: {lag:?}");
        }
        story.answer(seconds + 1, "liar", 1 << 62, 9);
    }
    assert_eq!(story.watch.verdict(story.at(60)).head, Some(100));
}

#[test]
fn a_peer_of_a_sample_weighs_what_it_stands_for() {
    let mut story = Story::new();
    for (name, stands_for) in [("a", 1), ("b", 1), ("c", 1), ("sampled", 4)] {
        story.watch.expect(name, stands_for);
        story.watch.members.get_mut(name).unwrap().awaited = false;
    }
    for (name, history) in [("a", 0), ("b", 0), ("c", 0), ("sampled", 1)] {
        story.answer(0, name, 5, history);
    }
    let [first, sampled] =
        [("a", 0), ("sampled", 1)].map(|(name, history)| story.answer(1, name, 5, history));
    assert_eq!(
        (first.diverged, sampled.diverged),
        (Some(true), None),
        "four against three"
    );
}

#[test]
fn a_liar_that_is_heard_first_moves_no_head() {
    let mut story = Story::new();
    for name in ["a", "b", "c", "liar"] {
        story.watch.expect(name, 1);
    }
    assert_eq!(story.lag(0, "liar", 1 << 62), None);
    for name in ["a", "b", "c"] {
        let lag = story.lag(1, name, 100);
        assert!(lag.is_none_or(|(blocks, _)| blocks == 0), "{name}: {lag:?}");
    }
    assert_eq!(story.watch.verdict(story.at(1)).head, Some(100));
}

#[test]
fn a_divergence_is_latched_until_the_states_are_seen_equal() {
    let mut story = Story::new();
    for name in ["a", "b", "c"] {
        story.answer(0, name, 5, 0);
    }
    assert_eq!(story.answer(1, "fork", 5, 1).diverged, Some(true));
    for name in ["a", "b", "c"] {
        assert_eq!(story.answer(2, name, 6, 0).diverged, Some(false), "{name}");
    }
    let alone = story.answer(3, "fork", 7, 1);
    assert_eq!(
        (alone.diverged, alone.first_block),
        (Some(true), Some(5)),
        "no newer common block changes that"
    );
    assert_eq!(story.answer(4, "fork", 6, 0).diverged, Some(false));
}

#[test]
fn two_halves_that_contradict_each_other_are_a_split() {
    let mut story = Story::new();
    for (name, history) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        story.answer(0, name, 5, history);
    }
    let verdict = story.watch.verdict(story.at(0));
    assert_eq!((verdict.split, verdict.groups), (true, 2));
    assert_eq!(
        story.answer(1, "a", 5, 0).diverged,
        None,
        "without a majority nobody is told to be wrong"
    );
}

#[test]
fn the_networks_order_stalls_with_a_third_of_what_is_registered_or_with_all_that_are_watched() {
    for (registered, stalled, moving, expected) in [
        (3, 1, 2, OrderState::Stalled),
        (4, 1, 3, OrderState::Advancing),
        (20, 1, 1, OrderState::Advancing),
        (20, 2, 0, OrderState::Stalled),
    ] {
        let mut story = Story::new();
        story.watch.registered = registered;
        for i in 0..stalled + moving {
            let name = format!("peer-{i}");
            story.answer(0, &name, 5, 0);
            let state = if i < stalled {
                OrderState::Stalled
            } else {
                OrderState::Advancing
            };
            story
                .watch
                .order(&name, state, Some(6), SystemTime::UNIX_EPOCH);
        }
        let verdict = story.watch.verdict(story.at(1));
        assert_eq!(
            verdict.order, expected,
            "{stalled} of {registered} stalled, {moving} moving"
        );
    }
}

proptest! {
    #[test]
    fn the_order_in_which_peers_are_heard_changes_neither_the_head_nor_who_is_diverged(
        steps in prop::collection::vec((0_usize..4, 0_i64..4, any::<u64>()), 1..40),
        forked in any::<bool>(),
    ) {
        // Each peer goes on from its own last block; peer 3 may have another history.
        let mut blocks = [100_i64; 4];
        let mut told = Vec::new();
        for (peer, more, place) in &steps {
            blocks[*peer] += more;
            told.push((*place, *peer, blocks[*peer]));
        }
        let hear = |told: &[(u64, usize, i64)]| {
            let mut story = Story::new();
            for peer in 0..4 {
                story.watch.expect(&peer.to_string(), 1);
            }
            for (_, peer, block) in told {
                story.answer(0, &peer.to_string(), *block, u8::from(forked && *peer == 3));
            }
            for (peer, block) in blocks.iter().enumerate() {
                story.answer(0, &peer.to_string(), *block, u8::from(forked && peer == 3));
            }
            let members = story.watch.members.values();
            let diverged: Vec<_> = members.map(|member| member.diverged.is_some()).collect();
            // How far a peer could raise the head before it was found out depends on who was heard before.
            (story.watch.head().filter(|_| !forked), diverged)
        };
        let straight = hear(&told);
        // Another order, in which each peer's own blocks keep theirs.
        let mut turned: Vec<_> = (0..4)
            .flat_map(|peer| {
                let own = told.iter().filter(move |(_, of, _)| *of == peer);
                let mut places: Vec<_> = own.clone().map(|(place, ..)| *place).collect();
                places.sort_unstable();
                places.into_iter().zip(own.copied()).map(|(place, (_, of, block))| (place, of, block))
            })
            .collect();
        turned.sort_by_key(|(place, ..)| *place);
        prop_assert_eq!(hear(&turned), straight);
    }
}
