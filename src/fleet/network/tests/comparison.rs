//! Which peers have the same states.

use std::sync::Arc;

use convex_client::Endpoint;

use crate::config::Peer;
use crate::failure::Reason;
use crate::fleet::Condition;
use crate::fleet::network::record::NetworkRecord;
use crate::fleet::slot::Slot;

use super::*;

#[test]
fn a_divergence_is_latched_until_the_states_are_seen_equal() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "fork"]);
    for name in ["a", "b", "c"] {
        scenario.answer(0, name, 5, 0);
    }
    let forked = Comparison::Diverged { first_block: 5 };
    assert_eq!(scenario.answer(1, "fork", 5, 1).comparison, forked);
    for name in ["a", "b", "c"] {
        scenario.answer(2, name, 6, 0);
    }
    assert_eq!(scenario.comparison("a"), Comparison::Agrees);
    assert_eq!(
        scenario.answer(3, "fork", 7, 1).comparison,
        forked,
        "without a newer common block it stays diverged"
    );
    scenario.answer(4, "fork", 6, 0);
    assert_eq!(scenario.comparison("fork"), Comparison::Agrees);
}

#[test]
fn a_peer_that_turns_out_to_be_on_another_network_is_not_compared() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "other"]);
    for name in ["a", "b", "c"] {
        scenario.answer(0, name, 5, 0);
    }
    let compared = scenario.answer(1, "other", 5, 1).comparison;
    assert!(compared.is_diverged(), "its genesis hash was not read yet");
    scenario.member("other").standing.forked_at = Some(4);
    let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
    let slot = Slot::new(
        Arc::new(Peer::from_endpoint(endpoint)),
        Arc::new(NetworkRecord::default()),
    );
    let mut state = slot.state.lock().unwrap();
    let wrong = Condition::Failing(Reason::WrongNetwork);
    Arc::make_mut(&mut state.record).conditions.insert(wrong);
    let (now, wall) = (scenario.at(2), SystemTime::UNIX_EPOCH);
    scenario.watch.take_peer(id("other"), &mut state, now, wall);
    scenario.verdict(2);
    let verdict = scenario.watch.verdict_on(id("other"));
    assert_eq!(verdict.comparison, Comparison::NotCompared);
    assert_eq!(verdict.standing.forked_at, None);
    assert_eq!(scenario.verdict(2).state_groups(), Some(1));
}

#[test]
fn the_first_divergent_block_is_known_after_its_states_are_forgotten() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "fork"]);
    for (second, block) in (5..100).enumerate() {
        for (name, hash) in [("a", 0), ("b", 0), ("c", 0), ("fork", 1)] {
            scenario.answer(u64::try_from(second).unwrap(), name, block, hash);
        }
    }
    let forked = Comparison::Diverged { first_block: 5 };
    assert_eq!(scenario.comparison("fork"), forked);
}

#[test]
fn it_takes_more_than_half_of_the_registered_stake_to_say_who_is_wrong() {
    // Three watched peers against one, but most of the stake is not watched.
    let mut scenario = Scenario::new(&[
        ("a", 10),
        ("b", 10),
        ("c", 10),
        ("odd", 10),
        ("unwatched", 60),
    ]);
    scenario.watch.members.remove(&id("unwatched"));
    for name in ["a", "b", "c"] {
        scenario.answer(0, name, 5, 0);
    }
    scenario.answer(0, "odd", 5, 1);
    let verdict = scenario.verdict(10);
    for name in ["a", "b", "c", "odd"] {
        assert_eq!(scenario.comparison(name), Comparison::Differs, "{name}");
    }
    assert_eq!(verdict.state_groups(), Some(2));
    assert_eq!(
        verdict.split,
        Evidence::None,
        "most of the stake was not compared"
    );
    let difference = verdict.difference.expect("two states");
    assert_eq!((difference.block, difference.states.len()), (5, 2));
}

#[test]
fn nobody_is_accused_before_the_registry_was_read_or_cannot_be_read() {
    let dispute = |read: fn(&mut Scenario)| {
        let mut scenario = Scenario::new(&[]);
        scenario.watch.query_error = Evidence::None;
        for (name, history) in [("a", 0), ("b", 1)] {
            scenario.add(name);
            scenario.answer(0, name, 5, history);
        }
        scenario.verdict(30);
        assert_eq!(scenario.comparison("b"), Comparison::NotCompared);
        read(&mut scenario);
        for seconds in [30, 39] {
            for (name, history) in [("a", 0), ("b", 1)] {
                scenario.answer(seconds, name, 5, history);
            }
        }
        assert_eq!(scenario.comparison("b"), Comparison::NotCompared);
        scenario.verdict(40);
        scenario.comparison("b")
    };
    let cannot_be_read = |scenario: &mut Scenario| {
        scenario.watch.query_error = Evidence::Proven;
    };
    assert_eq!(dispute(cannot_be_read), Comparison::Differs);
    let shows_nobody_right = |scenario: &mut Scenario| {
        scenario.read_registry(&[("a", 1), ("b", 1)], "a");
    };
    assert_eq!(dispute(shows_nobody_right), Comparison::Differs);
}

#[test]
fn two_disagreeing_halves_are_a_split() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "d"]);
    for (name, history) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        scenario.answer(0, name, 5, history);
    }
    assert_eq!(scenario.verdict(9).split, Evidence::None);
    let verdict = scenario.verdict(10);
    assert_eq!(
        (verdict.split, verdict.state_groups()),
        (Evidence::Proven, Some(2))
    );
    assert_eq!(
        scenario.answer(11, "a", 5, 0).comparison,
        Comparison::Differs,
        "without a majority no peer is diverged"
    );
}

#[test]
fn the_whole_stake_is_compared_when_all_peers_are_whatever_is_lost_by_rounding() {
    for names in [&["a", "b", "c"][..], &["a", "b", "c", "d", "e", "f", "g"]] {
        let mut scenario = Scenario::equal(names);
        for (name, others) in names.iter().zip((0..names.len()).rev()) {
            scenario.answer(0, name, 5, 0);
            let expected = if others == 0 { 1.0..=1.0 } else { 0.0..=0.9 };
            let compared = scenario.verdict(0).compared.stake.unwrap();
            assert!(
                expected.contains(&compared),
                "{compared} without {others} others"
            );
        }
    }
}

#[test]
fn a_stranger_without_stake_raises_nothing() {
    let mut scenario = Scenario::equal(&["a", "b", "c"]);
    scenario.add("stranger");
    scenario.member("stranger").configured = false;
    scenario.answer(0, "stranger", 5, 1);
    for name in ["a", "b", "c"] {
        scenario.answer(0, name, 5, 0);
    }
    assert!(scenario.comparison("stranger").is_diverged());
    assert_eq!(scenario.comparison("a"), Comparison::Agrees);
    let verdict = scenario.verdict(0);
    assert_eq!(verdict.state_groups(), Some(1));
    assert_eq!(verdict.split, Evidence::Disproven);
}

#[test]
fn strangers_with_less_stake_than_a_vote_takes_raise_nothing_together() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "d"]);
    let mut registry = registry(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("stranger", 1)]);
    let stranger = registry.peers.get_mut(&key("stranger"));
    stranger.expect("registered").own_copper -= 1;
    scenario.watch.record_registry(RegistryReading {
        registry,
        reader: "a".to_owned(),
        only_reader: false,
        read: SystemTime::UNIX_EPOCH,
    });
    scenario.add("stranger");
    scenario.member("stranger").configured = false;
    scenario.answer(0, "a", 5, 0);
    scenario.answer(0, "stranger", 5, 1);
    let verdict = scenario.verdict(60);
    assert_eq!(verdict.difference, None);
    assert_ne!(scenario.comparison("a"), Comparison::Differs);
}

#[test]
fn a_dispute_of_little_stake_is_no_split() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "d", "e"]);
    for (name, block, history) in [
        ("a", 5, 0),
        ("b", 5, 1),
        ("c", 6, 0),
        ("d", 6, 0),
        ("e", 7, 0),
    ] {
        scenario.answer(0, name, block, history);
    }
    let verdict = scenario.verdict(10);
    assert_eq!(scenario.comparison("b"), Comparison::Differs);
    assert_eq!(verdict.split, Evidence::None);
}

#[test]
fn a_peer_that_stands_at_another_state_is_alone_once_the_others_agree_later() {
    let mut scenario = Scenario::equal(&["a", "b", "c", "odd"]);
    scenario.answer(0, "a", 5, 0);
    scenario.answer(1, "odd", 5, 1);
    for (second, name) in [(2, "a"), (3, "b"), (4, "c")] {
        scenario.answer(second, name, 6, 0);
    }
    let verdict = scenario.verdict(20);
    let found = ["a", "b", "c", "odd"].map(|name| scenario.comparison(name));
    let [agrees, differs] = [Comparison::Agrees, Comparison::Differs];
    assert_eq!(found, [agrees, agrees, agrees, differs]);
    assert_eq!(
        (verdict.split, verdict.state_groups()),
        (Evidence::Disproven, Some(2))
    );
}

#[test]
fn agreement_expires_when_one_side_has_not_shown_the_block_for_three_intervals() {
    let mut scenario = Scenario::equal(&["a", "b"]);
    scenario.answer(0, "a", 5, 0);
    scenario.answer(10, "b", 5, 0);
    assert_eq!(scenario.comparison("a"), Comparison::Agrees);
    for seconds in [15, 30, 40] {
        scenario.answer(seconds, "a", 5 + i64::try_from(seconds).unwrap(), 0);
    }
    scenario.answer(41, "b", 46, 0);
    assert_eq!(scenario.verdict(44).compared.peers, 2);
    let verdict = scenario.verdict(45);
    assert_eq!(scenario.comparison("a"), Comparison::NotCompared);
    assert_eq!(verdict.compared.peers, 0);
    assert_eq!(verdict.compared.answering, 2);
    assert_eq!(
        verdict.state_groups(),
        None,
        "not compared is not agreement"
    );
    assert_eq!(verdict.compared.last, Some(scenario.at(0)));
}

#[test]
fn a_difference_does_not_expire_while_both_answer() {
    let mut scenario = Scenario::equal(&["a", "b"]);
    scenario.answer(0, "a", 5, 0);
    scenario.answer(0, "b", 5, 1);
    for seconds in (15..300).step_by(15) {
        let block = i64::try_from(seconds).unwrap();
        scenario.answer(seconds, "a", 2 * block, 0);
        scenario.answer(seconds, "b", 2 * block + 1, 1);
        scenario.verdict(seconds);
        assert_eq!(scenario.comparison("a"), Comparison::Differs, "{seconds}");
    }
}

#[test]
fn after_a_restart_from_an_older_state_nothing_is_known_of_the_blocks_above() {
    let mut scenario = Scenario::equal(&["a", "b"]);
    scenario.answer(0, "a", 100, 0);
    scenario.answer(0, "b", 100, 0);
    assert_eq!(
        scenario.answer(1, "b", 50, 0).comparison,
        Comparison::NotCompared
    );
    assert_eq!(scenario.comparison("a"), Comparison::NotCompared);
    scenario.answer(2, "a", 110, 0);
    scenario.answer(3, "b", 100, 1);
    scenario.verdict(13);
    assert_eq!(
        scenario.comparison("b"),
        Comparison::Differs,
        "it got there by other blocks"
    );
}

#[test]
fn nothing_is_compared_if_no_two_peers_show_the_same_block() {
    let mut scenario = Scenario::equal(&["a", "b"]);
    for seconds in (0..=165).step_by(15) {
        let block = i64::try_from(seconds).unwrap();
        scenario.answer(seconds, "a", 2 * block, 0);
        scenario.answer(seconds, "b", 2 * block + 1, 0);
        scenario.order(seconds, "a", 2 * block + 1, 2 * block);
        let expected = seconds > 150;
        assert_eq!(
            scenario.verdict(seconds).nothing_compared,
            expected,
            "{seconds}"
        );
    }
    scenario.answer(166, "a", 400, 0);
    scenario.answer(166, "b", 400, 0);
    assert!(!scenario.verdict(166).nothing_compared);
}
