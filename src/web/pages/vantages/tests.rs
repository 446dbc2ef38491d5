//! Where agents agree, and what is marked where they do not.

use std::sync::Arc;

use super::*;
use crate::config::Mode;
use crate::fleet::{Opinion, OtherVantage, example};

/// A snapshot of `p1`, which is down here, with agents that find it like this; none: they have no
/// opinion.
fn seen(others: &[Option<Health>]) -> Snapshot {
    let mut snapshot = example::snapshot(1, 1);
    Arc::make_mut(&mut snapshot.peers[0]).health = Health::Down;
    let names = ["b", "c", "d"].into_iter().zip(others);
    let others = names.map(|(name, health)| {
        let opinion = health.map(|health| {
            let mut said = PeerOpinion::new(&snapshot.peers[0], snapshot.now);
            said.health = health;
            said.good_poll_age_seconds = (health == Health::Up).then_some(1.0);
            let opinion = Opinion {
                vantage: name.to_owned(),
                mode: Mode::Central,
                networks: Vec::new(),
                peers: vec![said],
                firing: Vec::new(),
                acknowledged: Vec::new(),
            };
            Arc::new(ReceivedOpinion::new(opinion, snapshot.now))
        });
        OtherVantage {
            name: name.to_owned(),
            opinion,
            last_asked: None,
        }
    });
    snapshot.vantages.others = others.collect();
    snapshot
}

#[test]
fn a_row_names_the_agents_that_find_something_else_and_counts_the_others() {
    use Health::{Degraded, Down, Up};
    for (others, differing, agreeing, silent, place) in [
        (&[Some(Down), None][..], &[][..], 1, 1, Some("peer")),
        (
            &[Some(Up), Some(Down)],
            &[("b", "up")],
            1,
            0,
            Some("partition"),
        ),
        (&[Some(Up)], &[("b", "up")], 0, 0, Some("path")),
        (
            &[Some(Degraded), None, None],
            &[("b", "degraded")],
            0,
            2,
            None,
        ),
        (&[None], &[], 0, 1, None),
    ] {
        let snapshot = seen(others);
        let cell = VantageCell::of(&snapshot.peers[0], &snapshot).expect("there are others");
        let found: Vec<(&str, &str)> = cell
            .differing
            .iter()
            .map(|(name, health)| (name.as_str(), *health))
            .collect();
        assert_eq!(found, differing, "{others:?}");
        assert_eq!(
            (cell.agreeing, cell.silent),
            (agreeing, silent),
            "{others:?}"
        );
        assert_eq!(cell.conclusion.map(|it| it.0), place, "{others:?}");
    }
    let alone = seen(&[]);
    assert!(VantageCell::of(&alone.peers[0], &alone).is_none());
}

#[test]
fn the_page_of_a_peer_marks_what_others_find_otherwise_and_where_the_cause_is() {
    let draw = |snapshot: &Snapshot| {
        let times = crate::web::pages::relative_times(snapshot);
        let section = VantagesSection::on_peer(&snapshot.peers[0], snapshot, times);
        section.render().unwrap()
    };
    let html = draw(&seen(&[Some(Health::Up), Some(Health::Down)]));
    for expected in [
        "<span class=\"badge down\">partition</span> <strong>A partition:",
        "<strong title=\"other than this agent finds\">≠</strong> up</td><td class=\"figure\">down</td>",
    ] {
        assert!(html.contains(expected), "{expected} is not in {html}");
    }
    let html = draw(&seen(&[Some(Health::Down)]));
    assert!(!html.contains('≠'), "{html}");
    assert!(
        html.contains("<span class=\"badge down\">peer</span>"),
        "{html}"
    );
    assert_eq!(draw(&seen(&[])), "");
}
