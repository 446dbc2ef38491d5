//! The table of registered peers.

use std::sync::Arc;

use crate::fleet::example;
use crate::web::pages::relative_times;

use super::check;

#[test]
fn each_registered_peer_has_a_row_whether_it_is_watched_or_not() {
    let mut snapshot = example::snapshot(4, 2);
    let now = snapshot.now;
    example::answer(Arc::make_mut(&mut snapshot.peers[0]), now);
    example::change(&mut snapshot, |verdict| {
        verdict.registered = Some(1_500);
        let mut peers = verdict.registered_peers.to_vec();
        peers[2].stake.decay = 0.25;
        peers[2].stake.registered.own_copper = 1;
        verdict.registered_peers = peers.into();
    });
    let times = relative_times(&snapshot);
    let content =
        super::super::content("/x", &snapshot.networks[0], &snapshot, &[], times).unwrap();
    let rows: Vec<&str> = content.rows.iter().map(|row| row.html.as_str()).collect();
    assert_eq!(rows.len(), 4);
    for (row, expected, unexpected) in [
        (
            rows[0],
            &[
                "<a href=\"/x/peers/p1\"><bdi>p1</bdi></a> <small class=\"health unknown\">",
                "2000 <small>25\u{a0}%</small>",
                "<li class=\"first\" title=\"block 8\">8</li>",
                "title=\"executed: unknown\">?</li></ol></td>",
                "2 of 2",
            ][..],
            &["not watched", "signed order", "decayed"][..],
        ),
        (
            rows[2],
            &[
                "<code title=\"0x0303030303030303030303030303030303030303030303030303030303030303\">0x03030303…</code> <small class=\"quiet\">not watched</small>",
                "title=\"consensus 1,000\">−1</li>",
                "</ol> <small class=\"quiet\">signed order</small>",
                "too little own stake to vote",
                "▼ decayed to 25\u{a0}% of its stake, it never made a block",
                "<td data-title=\"State\" class=\"figure\"><span class=\"quiet\">–</span></td>",
            ],
            &["<a "],
        ),
    ] {
        for text in expected {
            assert!(row.contains(text), "{text} is not in {row}");
        }
        for text in unexpected {
            assert!(!row.contains(text), "{text} is in {row}");
        }
    }
    check(
        &snapshot,
        "registered",
        &[
            "4 peers, the one with the most stake first; 2 of them are watched.",
            "1,496 more registered peers",
        ],
        &["orders of"],
    );
}
