//! What the peers of a network know at a given time.

use super::*;

const START_MS: i64 = 1_800_000_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn world(faults: &[&str], traffic: bool) -> World {
    let traffic = traffic.then(|| Traffic {
        period: SECOND,
        random: false,
        makers: PeerSet::all(4),
    });
    let options = Options {
        peers: 4,
        seed: 7,
        script: Script::parse(faults.iter().copied(), 4).unwrap(),
        traffic,
        ..Options::default()
    };
    World::new(options, START_MS)
}

/// The levels, the last executed block and the state hash of a peer.
fn status(world: &mut World, peer: usize, seconds: u64) -> ([i64; 4], i64, Hash) {
    let view = world.view(peer, SECOND * u32::try_from(seconds).unwrap());
    (view.levels, executed(&view), view.state.hash)
}

/// Index of the last executed block.
fn executed(view: &View) -> i64 {
    let globals = view.state.field("globals").unwrap();
    globals
        .as_elements()
        .unwrap()
        .get(5)
        .unwrap()
        .as_i64()
        .unwrap()
}

#[test]
fn an_idle_network_does_not_move_and_all_peers_agree() {
    let mut world = world(&[], false);
    let first = status(&mut world, 0, 1);
    assert_eq!((first.0, first.1), ([1000; 4], 999));
    for peer in 0..4 {
        assert_eq!(status(&mut world, peer, 3600), first);
    }
}

#[test]
fn a_block_passes_all_levels_before_it_is_executed() {
    let mut world = world(&[], false);
    world.make_block(2, SECOND);
    let mut seen = Vec::new();
    for ms in (1000..1500).step_by(5) {
        let view = world.view(0, Duration::from_millis(ms));
        let [block, proposal, consensus, finality] = view.levels;
        assert!(block >= proposal && proposal >= consensus && consensus >= finality);
        assert!(finality > executed(&view));
        let step = (view.levels, executed(&view));
        if seen.last() != Some(&step) {
            seen.push(step);
        }
    }
    assert_eq!(
        seen,
        [
            ([1000, 1000, 1000, 1000], 999),
            ([1001, 1000, 1000, 1000], 999),
            ([1001, 1001, 1000, 1000], 999),
            ([1001, 1001, 1001, 1000], 999),
            ([1001, 1001, 1001, 1001], 999),
            ([1001, 1001, 1001, 1001], 1000),
        ]
    );
}

#[test]
fn traffic_makes_a_block_per_period_and_the_peers_take_turns() {
    let mut world = world(&[], true);
    assert_eq!(status(&mut world, 1, 10).1, 999 + 9);
    let entry =
        |world: &World, peer| world.entry(peer, 1009, 0, None).unwrap().timestamp - START_MS;
    let mut last: Vec<_> = (0..4).map(|peer| entry(&world, peer)).collect();
    last.sort_unstable();
    assert_eq!(last, [7000, 8000, 9000, 10_000]);
}

#[test]
fn a_seed_always_gives_the_same_network_and_another_seed_a_different_one() {
    let identity = |seed, start_ms| {
        let options = Options {
            peers: 4,
            seed,
            ..Options::default()
        };
        let mut world = World::new(options, start_ms);
        (world.genesis(), world.key(3))
    };
    assert_eq!(identity(7, START_MS), identity(7, START_MS + 1));
    assert_ne!(identity(7, START_MS).0, identity(8, START_MS).0);
    assert_ne!(identity(7, START_MS).1, identity(8, START_MS).1);
    let mut worlds = [world(&["fork:2:5s"], true), world(&["fork:2:5s"], true)];
    let [first, second] = worlds.each_mut().map(|world| status(world, 1, 60));
    assert_eq!(first, second);
}

#[test]
fn a_stalled_peer_collects_blocks_that_do_not_become_final_and_recovers() {
    let mut world = world(&["stall:1:10s..100s"], true);
    let (before, ..) = status(&mut world, 0, 10);
    let (early, block, _) = status(&mut world, 0, 11);
    let (late, late_block, _) = status(&mut world, 0, 90);
    assert_eq!((early[3], late[3]), (before[3], before[3]));
    assert_eq!((block, late_block), (before[3] - 1, before[3] - 1));
    assert!(early[0] > early[3] && late[0] > early[0]);
    assert_eq!(status(&mut world, 0, 101), status(&mut world, 1, 101));
}

#[test]
fn a_stall_of_an_idle_network_is_visible_too() {
    let mut world = world(&["stall:all"], false);
    assert_eq!(status(&mut world, 0, 1).0, [1001, 1000, 1000, 1000]);
    assert_eq!(status(&mut world, 0, 17).0, [1003, 1000, 1000, 1000]);
}

#[test]
fn lag_keeps_its_distance_and_recede_stays_where_it_fell_back_to() {
    let mut world = world(&["lag=40:1", "recede=5:2:10s"], true);
    for at in [5, 50] {
        let honest = status(&mut world, 3, at).1;
        assert_eq!(status(&mut world, 0, at).1, honest - 40);
    }
    let fell = status(&mut world, 1, 10);
    assert_eq!(fell.1, status(&mut world, 3, 10).1 - 5);
    assert_eq!(status(&mut world, 1, 60), fell);
    assert_eq!(
        status(&mut world, 0, 60).2,
        status(&mut world, 3, 20).2,
        "the chain is the same"
    );
}

#[test]
fn a_fork_starts_with_its_block_and_not_before() {
    let mut world = world(&["fork:1:10s", "fork=990:2"], true);
    assert_eq!(status(&mut world, 0, 10), status(&mut world, 3, 10));
    let (levels, block, hash) = status(&mut world, 0, 12);
    let honest = status(&mut world, 3, 12);
    assert_eq!((levels, block), (honest.0, honest.1));
    assert_ne!(hash, honest.2);
    assert_ne!(status(&mut world, 1, 12).2, honest.2);
    assert_ne!(status(&mut world, 1, 12).2, hash, "two different forks");
}

#[test]
fn wrong_genesis_changes_genesis_and_state_and_wrong_key_only_the_key() {
    let mut world = world(&["wrong-genesis:1", "wrong-key:2"], false);
    let [foreign, masked, honest] = [0, 1, 3].map(|peer| world.view(peer, SECOND));
    assert_ne!(foreign.genesis, honest.genesis);
    assert_ne!(foreign.state.hash, honest.state.hash);
    assert_eq!(masked.genesis, honest.genesis);
    assert_ne!(masked.key, world.key(1));
}

#[test]
fn a_change_of_stake_takes_a_block_and_all_peers_report_it() {
    let mut world = world(&["low-stake:1:5s", "silent-stake:2"], false);
    let before = status(&mut world, 3, 4);
    let after = status(&mut world, 3, 7);
    assert_eq!(after.1, before.1 + 1);
    assert_eq!(status(&mut world, 0, 7), after);
    let at = Some(SECOND * 5);
    assert_eq!(
        world.entry(0, 1000, START_MS, at).unwrap().stake,
        500_000_000_000
    );
    assert_eq!(
        world.entry(1, 1000, START_MS, at).unwrap().timestamp,
        START_MS - SILENT_STAKE_AGE_MS
    );
    assert_eq!(world.entry(2, 1000, START_MS, at).unwrap().stake, STAKE);
    assert!(world.made_by[1].is_empty(), "a silent peer makes no blocks");
}

#[test]
fn a_minority_fork_stands_at_its_block_and_collects_blocks_that_do_not_become_final() {
    let mut world = world(&["minority-fork:1:10s", "minority-fork=990:2"], true);
    assert_eq!(status(&mut world, 0, 10), status(&mut world, 3, 10));
    let early = status(&mut world, 0, 13);
    let late = status(&mut world, 0, 60);
    assert_eq!((early.1, late.1), (1010, 1010));
    assert_eq!(early.2, late.2);
    assert_eq!((early.0[3], late.0[3]), (1011, 1011));
    assert!(late.0[0] > early.0[0] && early.0[0] >= 1011, "{late:?}");
    assert_eq!(status(&mut world, 3, 60).1, 1000 + 58);
    let honest = world.view(3, Duration::from_millis(11_900)).state_pair();
    assert_eq!(honest.block, 1010);
    assert_ne!(honest.hash, late.2);
    assert_eq!(status(&mut world, 1, 60).1, 990);
}

#[test]
fn halves_that_are_late_and_forked_show_no_common_block_at_a_time() {
    let mut world = world(&["fork:50%:10s", "late=500ms:50%"], true);
    for ms in (20_450..30_000).step_by(1000) {
        let [one, other] =
            [0, 3].map(|peer| world.view(peer, Duration::from_millis(ms)).state_pair());
        assert_eq!(one.block, other.block + 1, "{ms}");
        let [one, other] = [(0, 0), (3, 500)].map(|(peer, later)| {
            world
                .view(peer, Duration::from_millis(ms + later))
                .state_pair()
        });
        assert_eq!(one.block, other.block, "{ms}");
        assert_ne!(one.hash, other.hash, "{ms}");
    }
}

#[test]
fn nothing_becomes_final_before_the_date_of_a_block_that_is_ahead_of_the_clock() {
    // Peer 2 makes the block of second 2, which is dated one minute ahead.
    let mut world = world(&["ahead=60s:2:1500ms..2500ms"], true);
    for peer in 0..4 {
        let (levels, block, _) = status(&mut world, peer, 60);
        assert_eq!((levels, block), ([1059, 1001, 1001, 1001], 1000), "{peer}");
    }
    let (levels, block, _) = status(&mut world, 0, 63);
    assert_eq!(
        (levels[3], block),
        (1062, 1061),
        "all that were made meanwhile"
    );
    // The time of the network does not go back with the next block.
    let state = world.view(0, SECOND * 63).state;
    let globals = state.field("globals").unwrap();
    let timestamp = globals.as_elements().unwrap().get(0).unwrap().as_i64();
    assert_eq!(timestamp, Some(START_MS + 62_000));
    assert_eq!(world.blocks[1001].dated, 62_000);
}

#[test]
fn nothing_becomes_final_while_a_peer_dates_all_its_blocks_ahead() {
    let mut world = world(&["ahead=1h:2"], true);
    let (early, ..) = status(&mut world, 0, 10);
    let (late, ..) = status(&mut world, 0, 600);
    assert_eq!(early[1..], late[1..]);
    assert!(late[0] > early[0] + 500);
}

#[test]
fn a_restarted_peer_catches_up_from_an_older_state_with_its_order() {
    let mut world = world(&["restart=50:1:10s"], true);
    let honest = |world: &mut World, at| status(world, 3, at);
    assert_eq!(status(&mut world, 0, 9), honest(&mut world, 9));
    let (levels, block, hash) = status(&mut world, 0, 10);
    let (network, head, _) = honest(&mut world, 10);
    assert_eq!(
        (levels[0], levels[3], block),
        (network[0] - 50, network[3] - 50, head - 50)
    );
    assert!(status(&mut world, 0, 12).1 > block);
    assert_eq!(status(&mut world, 0, 16), honest(&mut world, 16));
    let at_that_block = world.view(3, Duration::from_secs(5)).state_pair();
    assert!(at_that_block.block > block && at_that_block.hash != hash);
}

#[test]
fn finality_of_all_goes_back_and_a_final_block_can_be_replaced() {
    let faults = ["restart=20:all:10s", "fork=1000:all:10s"];
    let mut world = world(&faults, true);
    let before: Vec<_> = (0..4).map(|peer| status(&mut world, peer, 9)).collect();
    let replaced = world.view(0, Duration::from_millis(9_400)).state_pair();
    for (peer, before) in before.iter().enumerate() {
        let (levels, block, _) = status(&mut world, peer, 10);
        assert!(
            levels[3] <= before.0[3] - 19 && block <= before.1 - 19,
            "peer {peer}"
        );
    }
    let after = (1..60).map(|tenth| {
        world
            .view(0, Duration::from_millis(10_000 + tenth * 100))
            .state_pair()
    });
    let again: Vec<_> = after.filter(|pair| pair.block == replaced.block).collect();
    assert!(again.iter().all(|pair| pair.hash != replaced.hash) && !again.is_empty());
}

#[test]
fn strangers_claim_a_block_that_does_not_exist() {
    const CLAIM: i64 = 1 << 62;
    let spec = format!("claim={CLAIM}:3-4");
    let mut world = world(&[&spec, "stake=0.01:3-4"], true);
    let [one, other] = [2, 3].map(|peer| status(&mut world, peer, 30));
    assert_eq!((one.0, one.1), ([CLAIM + 1; 4], CLAIM));
    assert_eq!(one, other, "they agree with each other");
    assert_eq!(status(&mut world, 0, 30).1, 1000 + 28);
    assert_eq!(
        world.entry(2, 1000, START_MS, Some(SECOND)).unwrap().stake,
        10_000_000
    );
}

#[test]
fn an_unregistered_peer_leaves_the_registry_of_all_and_answers_as_before() {
    let mut world = world(&["unregistered:2:5s"], true);
    let key = world.key(1);
    let registered = |world: &mut World, at| {
        let state = world.view(0, SECOND * at).state;
        (
            state.peer(&key).is_some(),
            state.field("peers").unwrap().count(),
        )
    };
    assert_eq!(registered(&mut world, 4), (true, Some(4)));
    assert_eq!(registered(&mut world, 8), (false, Some(3)));
    assert_eq!(status(&mut world, 1, 60), status(&mut world, 0, 60));
    let made = world.made_by[1].len();
    assert_eq!(status(&mut world, 1, 90), status(&mut world, 0, 90));
    assert_eq!(world.made_by[1].len(), made, "it makes no blocks");
}

#[test]
fn random_traffic_makes_blocks_at_the_same_times_at_each_start() {
    let times = || {
        let options = Options {
            peers: 4,
            traffic: Some(Traffic::parse("random:50ms", 4).unwrap()),
            ..Options::default()
        };
        let mut world = World::new(options, START_MS);
        world.advance(SECOND * 60);
        let blocks = world.blocks.split_off(INITIAL_BLOCKS);
        blocks.iter().map(|block| block.made).collect::<Vec<_>>()
    };
    let first = times();
    assert_eq!(first, times());
    assert!((1000..1400).contains(&first.len()), "{}", first.len());
    let gaps: Vec<i64> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().any(|gap| *gap < 10) && gaps.iter().any(|gap| *gap > 150));
}

/// The version and the number of upgrades in the state of a peer; none without them.
fn protocol(world: &mut World, peer: usize, seconds: u64) -> Option<(i64, usize)> {
    let view = world.view(peer, SECOND * u32::try_from(seconds).unwrap());
    let globals = view.state.field("globals").unwrap();
    let globals = globals.as_elements().unwrap();
    let version = globals.get(6)?.as_i64().unwrap();
    Some((
        version,
        globals.get(7).unwrap().as_elements().unwrap().len(),
    ))
}

#[test]
fn peers_that_cannot_execute_an_upgrade_freeze_at_its_first_block_and_others_go_on() {
    let mut world = world(&["upgrade=60s:1-3:10s"], true);
    assert_eq!(protocol(&mut world, 0, 9), None);
    assert_eq!(protocol(&mut world, 0, 59), Some((0, 1)));
    assert_eq!(status(&mut world, 0, 59), status(&mut world, 3, 59));
    assert_eq!(protocol(&mut world, 0, 90), Some((1, 1)));
    assert_eq!(protocol(&mut world, 3, 90), Some((0, 1)));
    let (levels, block, _) = status(&mut world, 3, 90);
    assert_eq!(status(&mut world, 3, 3_600).0, levels, "it votes no more");
    assert_eq!(levels[3], block + 2, "one final block is not executed");
    let (levels_of_others, block_of_others, _) = status(&mut world, 0, 90);
    assert!(levels_of_others[3] > levels[3] && block_of_others > block + 20);
    let view = world.view(3, 90 * SECOND);
    assert_eq!((view.protocol, world.view(0, 90 * SECOND).protocol), (0, 1));
    let made = world.made_by[3].last().copied();
    assert!(made <= Some(block + 1), "it makes no blocks: {made:?}");
}

#[test]
fn an_idle_network_passes_the_time_of_an_upgrade() {
    let mut world = world(&["upgrade=60s:1-3:10s"], false);
    assert_eq!(protocol(&mut world, 3, 3_600), Some((0, 1)));
    world.make_block(0, 3_601 * SECOND);
    assert_eq!(protocol(&mut world, 0, 3_602), Some((1, 1)));
    assert_eq!(protocol(&mut world, 3, 3_602), Some((0, 1)));
}

#[test]
fn a_frozen_peer_stands_at_the_block_before_the_fault_and_hears_nothing_more() {
    let mut world = world(&["frozen:2:10s..60s"], true);
    let (levels, block, _) = status(&mut world, 1, 20);
    assert_eq!(status(&mut world, 1, 59), status(&mut world, 1, 20));
    assert_eq!(levels[3], block + 2);
    assert_eq!(world.heard(1, 20 * SECOND), world.heard(1, 59 * SECOND));
    assert!(status(&mut world, 0, 59).1 > block + 30, "the others go on");
    assert_eq!(status(&mut world, 1, 61).1, status(&mut world, 0, 61).1);
}

#[test]
fn a_network_of_frozen_peers_makes_one_more_block() {
    let mut world = world(&["frozen:all:10s"], true);
    let (levels, block, _) = status(&mut world, 0, 3_600);
    assert_eq!((levels, levels[3]), ([block + 2; 4], block + 2));
}
