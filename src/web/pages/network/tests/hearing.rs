//! Who hears whom, in a small and in a large network.

use crate::fleet::{Heard, Snapshot, example};

use super::{check, section};

/// A network of four peers of which `p2` holds this of `p4`.
fn heard(heard: Heard, is_judged: bool) -> Snapshot {
    let mut snapshot = example::snapshot(4, 4);
    example::change_consensus(&mut snapshot, |verdict| {
        let cell = verdict.hearing[1].cells.get_mut(&example::key(4)).unwrap();
        (cell.heard, cell.is_judged) = (heard, is_judged);
    });
    snapshot
}

#[test]
fn each_mark_says_what_one_peer_holds_of_another() {
    for (held, is_judged, expected) in [
        (Heard::Current, true, "<td class=\"current\">●</td>"),
        (
            Heard::Older,
            true,
            "<td class=\"older\" title=\"p2 holds an older order of p4\">▲</td>",
        ),
        (
            Heard::Nothing,
            true,
            "<td class=\"nothing\" title=\"p2 holds no order of p4\">✕</td>",
        ),
        (
            Heard::Nothing,
            false,
            "<td class=\"excused\" title=\"p2 holds no order of p4, which proves nothing\">✕</td>",
        ),
        (
            Heard::Invalid,
            true,
            "<td class=\"invalid\" title=\"p2 holds an invalid order of p4\">!</td>",
        ),
        (
            Heard::Unread,
            false,
            "<td class=\"unread\" title=\"p2 was not read about p4\">?</td>",
        ),
    ] {
        check(&heard(held, is_judged), "hearing", &[expected], &[]);
    }
}

#[test]
fn a_peer_that_hears_nobody_comes_first_and_is_named() {
    let mut snapshot = heard(Heard::Nothing, true);
    example::change_consensus(&mut snapshot, |verdict| {
        let hearing = &mut verdict.hearing[1];
        (hearing.is_isolated, hearing.is_unheard) = (true, true);
        hearing.heard_stake = Some(0.25);
    });
    let html = section(&snapshot, "hearing");
    let first_row = html.split("<tbody>").nth(1).unwrap().split("</tr>").next();
    let first_row = first_row.unwrap();
    for expected in [
        "<bdi>p2</bdi>",
        "<span class=\"badge down\">isolated</span>",
        "<span class=\"badge down\">unheard</span>",
        "25\u{a0}%",
    ] {
        assert!(first_row.contains(expected), "{expected}: {first_row}");
    }
}

#[test]
fn the_matrix_of_up_to_64_peers_is_a_table() {
    for (peers, watched, rows, columns, turned) in [(4, 4, 4, 4, false), (64, 64, 64, 64, true)] {
        let html = section(&example::snapshot(peers, watched), "hearing");
        let marks = html.matches("<td class=\"current\">").count();
        let own = html.matches("<td class=\"own\">").count();
        assert_eq!(marks + own, rows * columns, "{peers} peers");
        assert_eq!(html.contains("matrix turned"), turned, "{peers} peers");
        assert!(!html.contains("large-matrix"), "{peers} peers");
    }
}

#[test]
fn a_large_network_is_a_picture_and_a_list_of_what_is_missing() {
    let mut snapshot = example::snapshot(200, 80);
    check(
        &snapshot,
        "hearing",
        &[
            "viewBox=\"0 0 800 320\"",
            "80 peers whose beliefs were read (rows) and 200 registered peers (columns)",
            "✓ Nothing is missing:",
        ],
        &["<table", "class=\"older\" d=", "not drawn"],
    );
    example::change_consensus(&mut snapshot, |verdict| {
        let hearing = &mut verdict.hearing[4];
        hearing.is_isolated = true;
        for i in 1..=100 {
            let cell = hearing.cells.get_mut(&example::key(i)).unwrap();
            cell.heard = Heard::Nothing;
        }
        let excused = verdict.hearing[9].cells.get_mut(&example::key(1)).unwrap();
        (excused.heard, excused.is_judged) = (Heard::Older, false);
    });
    check(
        &snapshot,
        "hearing",
        &[
            // 99 others in two runs, as nobody is asked to hear himself.
            "<path class=\"nothing\" d=\"M0 16h15v3h-15zM20 16h379v3h-379z\"/>",
            "<path class=\"excused\" d=\"M0 36h3v3h-3z\"/>",
            "<bdi>p5</bdi></a> <span class=\"badge down\">isolated</span></th><td class=\"figure\">100\u{a0}%</td><td class=\"figure\">99</td>",
            " and 93 more",
        ],
        &["Nothing is missing", "<bdi>p10</bdi></a></th>"],
    );
}
