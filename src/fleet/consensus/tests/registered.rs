//! Since when each peer has had which others in its state.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::fleet::SavedRegistrations;
use crate::fleet::consensus::registered::RegisteredIn;

use super::{Net, key};

#[test]
fn who_is_registered_counts_after_five_minutes_and_again_after_it_was_not() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut registered = RegisteredIn::default();
    let mut take = |answer: Option<bool>, seconds| {
        let answers: BTreeMap<_, _> = answer
            .into_iter()
            .map(|answer| (key('k'), answer))
            .collect();
        registered.take(("p", Some(key('p'))), &answers, at(seconds));
        registered.is_settled("p", &key('k'), at(seconds))
    };
    let found = [
        (Some(true), 0),
        (None, 299),
        (None, 300),
        (Some(true), 310),
        (Some(false), 320),
        (Some(true), 330),
        (None, 629),
        (None, 630),
    ]
    .map(|(answer, seconds)| take(answer, seconds));
    assert_eq!(found, [false, false, true, true, false, false, false, true]);
    assert!(!registered.is_settled("q", &key('k'), at(9_000)));
}

#[test]
fn peers_that_have_all_others_in_their_states_are_saved_together() {
    let mut net = Net::new("a25 b25 c25 d25");
    let names = |names: &str| names.chars().map(String::from).collect();
    let saved = |peers, keys: &str| SavedRegistrations {
        peers: names(peers),
        keys: keys.chars().map(key).collect(),
    };
    // Until it has been so for five minutes, nothing else is known than that each has itself.
    (0..5).for_each(|_| net.round());
    assert_eq!(net.watch.saved_registrations().len(), 4);
    net.round();
    assert_eq!(net.watch.saved_registrations(), [saved("abcd", "abcd")]);
    net.peer('d').lacks.insert('a');
    net.peer('d').held.remove(&'a');
    (0..3).for_each(|_| net.round());
    let expected = [saved("abc", "abcd"), saved("d", "bcd")];
    assert_eq!(net.watch.saved_registrations(), expected);
}

/// A network in which `d` is cut off from the start, and the minutes until that is found.
fn minutes_until_found(saved: &[SavedRegistrations]) -> usize {
    let mut net = Net::new("a25 b25 c25 d25");
    net.watch.restore_registrations(saved);
    net.peer('d').hears = false;
    net.peer('d').held.retain(|of, _| *of == 'd');
    (1..30)
        .find(|_| {
            net.round();
            !net.accused().is_empty()
        })
        .unwrap()
}

#[test]
fn a_restart_of_the_agent_does_not_hide_an_isolated_peer_for_five_minutes() {
    let mut net = Net::new("a25 b25 c25 d25");
    (0..7).for_each(|_| net.round());
    let saved = net.watch.saved_registrations();
    assert_eq!(minutes_until_found(&saved), 3);
    assert_eq!(minutes_until_found(&[]), 7);
}

#[test]
fn a_healthy_peer_is_asked_once_and_then_only_about_what_it_lacks() {
    let mut net = Net::new("a25 b25 c25 d25");
    net.is_busy = true;
    let asked = |net: &Net| net.walk('d', &net.peers[&'d']).registered.len();
    assert_eq!(asked(&net), 3);
    for _ in 0..5 {
        net.round();
        assert_eq!(asked(&net), 0);
    }
    net.peer('a').is_heard = false;
    (0..3).for_each(|_| net.round());
    assert_eq!(asked(&net), 1);
}
