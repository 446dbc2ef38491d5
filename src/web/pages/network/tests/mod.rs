//! The page of a network over verdicts that are built by hand.

mod agreement;
mod hearing;
mod registered;

use std::sync::Arc;
use std::time::Duration;

use convex_client::transaction::{AccountControl, TransactionFailure};

use crate::config::Mode;
use crate::fleet::{
    CanaryFunds, CanaryProblem, CanarySkip, Executed, NetworkOpinion, NetworkVerdict, Opinion,
    OrderState, OtherVantage, ReceivedOpinion, Seen, Snapshot, canary_example, example,
};
use crate::web::pages::{absolute_times, relative_times};

/// Draws a section of the page.
fn section(snapshot: &Snapshot, id: &str) -> String {
    let times = relative_times(snapshot);
    let content = super::content("/x", &snapshot.networks[0], snapshot, &[], times).unwrap();
    content.section(id).to_string()
}

/// Asserts that a section contains, or does not contain, each of these texts.
#[track_caller]
fn check(snapshot: &Snapshot, id: &str, expected: &[&str], unexpected: &[&str]) {
    let html = section(snapshot, id);
    for text in expected {
        assert!(html.contains(text), "{text} is not in {html}");
    }
    for text in unexpected {
        assert!(!html.contains(text), "{text} is in {html}");
    }
}

#[test]
fn the_canary_shows_the_stages_or_the_error_of_each_peer_and_what_it_spends() {
    let mut snapshot = example::snapshot(4, 4);
    check(
        &snapshot,
        "canary",
        &["No canary is configured"],
        &["<table"],
    );
    let mut canary = canary_example::record();
    snapshot.networks[0].canary = Some(Arc::new(canary.clone()));
    check(
        &snapshot,
        "canary",
        &["No transaction was sent yet"],
        &["<table", "It is not known whether account"],
    );
    let mut seen = canary_example::executed(2);
    seen.outcome = Ok(Executed {
        result: Duration::from_secs(2),
        seen: Some(Seen {
            peer: "p2".to_owned(),
            after: Some(Duration::from_millis(2_500)),
        }),
    });
    canary.record_result("p1", seen);
    for _ in 0..2 {
        let mut failed = canary_example::failed(TransactionFailure::Rejected);
        failed.outcome = Err((TransactionFailure::Rejected, "<b>no</b>".to_owned()));
        canary.record_result("p3", failed);
    }
    canary.record_skip(
        CanarySkip::Refused,
        Some(CanaryProblem::TooRich),
        snapshot.wall,
    );
    canary.control = Some(AccountControl {
        block: 1,
        accounts: None,
        peers: Some(0),
    });
    canary.funds = Some(CanaryFunds {
        balance_copper: 2_000_000_000,
        cost_copper: Some(7_100),
        ..CanaryFunds::default()
    });
    snapshot.networks[0].canary = Some(Arc::new(canary));
    check(
        &snapshot,
        "canary",
        &[
            "✓ 2.00 s",
            "2.50 s, ",
            "✕ rejected",
            "2 rounds in a row",
            "/x/runbooks/ConvexWritesFailing",
            "The account holds more than 30 daily budgets.",
            "Account #7 has 2 CVM",
            "The account is not safe to use.",
            "not known whether account #7 controls other accounts or peers",
        ],
        &["<b>no"],
    );
}

#[test]
fn a_scheduled_upgrade_counts_down_and_shows_who_can_follow() {
    let mut snapshot = example::snapshot(4, 2);
    check(
        &snapshot,
        "upgrades",
        &["The version is not known"],
        &["Version"],
    );
    example::schedule_upgrade(&mut snapshot, 3 * 86_400);
    let now = snapshot.now;
    example::support(Arc::make_mut(&mut snapshot.peers[0]), 0, now);
    example::support(Arc::make_mut(&mut snapshot.peers[1]), 1, now);
    check(
        &snapshot,
        "upgrades",
        &[
            "Version 0.",
            "in 3 d</time>",
            "2027-01-18 08:00:00 UTC",
            "<td class=\"figure\">60\u{a0}%</td>",
            "<td class=\"figure\">30\u{a0}%</td>",
            "<td class=\"figure\">10\u{a0}%</td>",
            "Needs a newer release:</span> <a href=\"/x/peers/p1\"><bdi>p1</bdi></a>. <a",
        ],
        &["failed", "Withdrew", "✕ 30"],
    );
    example::schedule_upgrade(&mut snapshot, -60);
    example::change(&mut snapshot, |verdict| {
        let protocol = verdict.protocol.as_mut().unwrap();
        protocol.failed = true;
        protocol.withdrawn = vec![example::key(2)];
        protocol.pending[0].readiness = Some([0.5, 0.4, 0.1]);
    });
    check(
        &snapshot,
        "upgrades",
        &[
            "due with the next block",
            "✕ The upgrade has failed:",
            "<span class=\"down\">✕ 40\u{a0}%</span>",
            "Withdrew their stake shortly before an upgrade: <a href=\"/x/peers/p2\">",
        ],
        &[" ago</time>"],
    );
    example::change(&mut snapshot, |verdict| {
        verdict.protocol = Some(crate::fleet::ProtocolVerdict::default());
    });
    check(
        &snapshot,
        "upgrades",
        &["Version 0; no upgrade is scheduled."],
        &["<table"],
    );
}

#[test]
fn a_sound_network_has_one_history_and_all_blocks_in_it() {
    let snapshot = example::snapshot(4, 2);
    check(
        &snapshot,
        "histories",
        &[
            "✓ One history:",
            "the orders of 4 peers with 100\u{a0}% of the stake",
        ],
        &["different"],
    );
    check(
        &snapshot,
        "votes",
        &[
            "Stake that has block 1,000, the first after the head.",
            "✓ 100\u{a0}%</span> <small class=\"quiet\">4 of 4 peers</small>",
            "50\u{a0}%</span> <small class=\"quiet\">0 of 4 peers</small>",
        ],
        &["No signed order"],
    );
    check(
        &snapshot,
        "production",
        &[
            "Block 1,000 of ",
            "is the oldest that is not final; it was 1 s old when it was read.",
            "Of the last 4 blocks, with 3.0 transactions each on average:",
            "<strong>2</strong> <small class=\"quiet\">50\u{a0}%</small>",
            "not yet",
            "2,997 transactions",
            "7 more final blocks were made faster than they are read.",
        ],
        &["ahead"],
    );
    check(
        &snapshot,
        "walks",
        &["<bdi>p1</bdi>", "now</time>"],
        &["never"],
    );
}

#[test]
fn what_was_not_read_is_no_agreement() {
    let mut snapshot = example::snapshot(4, 2);
    example::change(&mut snapshot, |verdict| {
        *verdict = NetworkVerdict::default();
    });
    for (id, expected) in [
        ("verdict", "<dt>Histories</dt><dd>not compared</dd>"),
        ("histories", "No two signed orders were compared recently."),
        ("votes", "No signed order was read recently."),
        ("hearing", "No belief was read recently."),
        ("production", "No blocks were read recently."),
        ("walks", "None yet."),
        ("agreement", "Nothing was compared yet."),
        ("compared", "0 of 0 answering peers"),
    ] {
        check(&snapshot, id, &[expected], &["✓", "100"]);
    }
}

#[test]
fn a_fork_shows_both_blocks_and_accuses_the_minority_only() {
    let mut snapshot = example::snapshot(4, 4);
    example::fork_last(&mut snapshot);
    check(
        &snapshot,
        "histories",
        &[
            "✕ 2 different histories.",
            "The peers outside the majority are forked",
            "<th scope=\"row\">A <span class=\"badge\">majority</span></th><td class=\"figure\">75\u{a0}%</td>",
            "<span class=\"down\">block 137</span>",
            "Block 137, the first different one",
            &format!("0x{}", "aa".repeat(32)),
            "made by <a href=\"/x/peers/p1\"><bdi>p1</bdi></a>, dated <time",
            &format!("0x{}", "bb".repeat(32)),
            "no peer has the block itself any more",
        ],
        &["no peer is accused"],
    );
    check(
        &snapshot,
        "verdict",
        &["<span class=\"down\">2 different from block 137</span>"],
        &[],
    );
    example::change_consensus(&mut snapshot, |verdict| {
        let histories = verdict.histories.as_mut().unwrap();
        histories.groups[0].is_majority = false;
    });
    check(
        &snapshot,
        "histories",
        &["so no peer is accused", "ConvexNetworkSplit"],
        &["majority</span>", "are forked"],
    );
}

#[test]
fn peers_that_were_not_compared_are_listed() {
    let mut snapshot = example::snapshot(40, 1);
    example::change_consensus(&mut snapshot, |verdict| {
        let histories = verdict.histories.as_mut().unwrap();
        histories.not_compared = histories.groups[0].peers.split_off(10);
    });
    check(
        &snapshot,
        "histories",
        &[
            "the orders of 10 peers",
            "Not compared: <code",
            " and 6 more.",
        ],
        &[],
    );
}

#[test]
fn the_time_to_final_stands_beside_the_blocks_of_which_it_is_known() {
    let html = section(&example::snapshot(4, 4), "production");
    assert_eq!(
        html.matches("<td class=\"figure\">250 ms</td>").count(),
        1,
        "{html}"
    );
}

#[test]
fn what_was_compared_is_listed_with_its_share_and_its_age() {
    let mut snapshot = example::snapshot(4, 2);
    let now = snapshot.now;
    example::change(&mut snapshot, |verdict| {
        verdict.compared = crate::fleet::Compared {
            answering: 3,
            peers: 2,
            stake: Some(0.5),
            last: Some(now),
        };
        verdict.registered = Some(4);
    });
    check(
        &snapshot,
        "compared",
        &[
            "2 of 3 answering peers</td><td class=\"figure\">50\u{a0}%</td><td class=\"figure\"><time",
            "4 of 4 orders</td><td class=\"figure\">100\u{a0}%</td>",
            "2 of 2 watched peers",
            "4 of 4 registered peers</td><td class=\"figure\">–</td><td class=\"figure\">never</td>",
        ],
        &[],
    );
}

#[test]
fn a_block_dated_ahead_of_the_clock_is_named_as_the_cause_of_a_stall() {
    let mut snapshot = example::snapshot(4, 4);
    let ahead = |snapshot: &mut Snapshot, order, age_seconds| {
        example::change(snapshot, |verdict| {
            verdict.order = order;
            let consensus = Arc::make_mut(&mut verdict.consensus);
            let production = consensus.production.as_mut().unwrap();
            production.pending.as_mut().unwrap().age_seconds = age_seconds;
        });
    };
    let cause = "block 1,000 is dated 5 min ahead of this host&#39;s clock";
    let why = "this is why the network stalls.";
    ahead(&mut snapshot, OrderState::Stalled, -300.0);
    check(&snapshot, "verdict", &["Cause of the stall", cause], &[]);
    check(&snapshot, "production", &["is dated 5 min ahead", why], &[]);
    ahead(&mut snapshot, OrderState::Idle, -300.0);
    check(&snapshot, "verdict", &[], &["Cause of the stall"]);
    check(&snapshot, "production", &["is dated 5 min ahead"], &[why]);
    ahead(&mut snapshot, OrderState::Stalled, 300.0);
    check(&snapshot, "verdict", &[], &["Cause of the stall"]);
    check(&snapshot, "production", &["it was 5 min old"], &["ahead"]);
}

#[test]
fn an_own_peer_that_makes_no_blocks_is_listed_with_0() {
    let snapshot = example::snapshot(4, 3);
    let none = "<bdi>p3</bdi></a> <strong>0</strong>";
    check(&snapshot, "production", &[none], &["0x04"]);
}

#[test]
fn what_a_peer_sends_is_harmless_on_the_page() {
    let mut snapshot = example::snapshot(4, 2);
    example::change_consensus(&mut snapshot, |verdict| {
        let walk = verdict.walks.get_mut("p1").unwrap();
        walk.failure = Some("<script>alert(1)</script>\u{202e}".to_owned());
    });
    check(
        &snapshot,
        "walks",
        &["&#60;script&#62;alert(1)", "⟨U+202E⟩"],
        &["<script>"],
    );
}

#[test]
fn the_title_and_the_icon_tell_of_a_split() {
    let mut snapshot = example::snapshot(4, 2);
    let head = |snapshot: &Snapshot| {
        let times = absolute_times(snapshot);
        let content = super::content("", &snapshot.networks[0], snapshot, &[], times).unwrap();
        (content.title, content.icon)
    };
    let (title, icon) = head(&snapshot);
    assert_eq!(title, "n: finalising normally · Convex peers");
    assert!(icon.contains("health=up"), "{icon}");
    example::change(&mut snapshot, |verdict| {
        verdict.split = crate::fleet::Evidence::Proven;
    });
    let (title, icon) = head(&snapshot);
    assert_eq!(title, "n: split · Convex peers");
    assert!(icon.contains("health=down"), "{icon}");
}

#[test]
fn the_page_of_a_reset_network_shows_both_genesis_hashes() {
    let mut snapshot = example::snapshot(4, 2);
    let [expected, shown] = [1, 2].map(|byte| cad3::Hash::new([byte; 32]));
    let since = snapshot.now;
    example::change(&mut snapshot, |verdict| {
        verdict.reset = Some(crate::fleet::NetworkReset {
            expected,
            pinned: true,
            shown,
            peers: 2,
            since,
        });
    });
    let times = absolute_times(&snapshot);
    let content = super::content("", &snapshot.networks[0], &snapshot, &[], times).unwrap();
    assert_eq!(content.title, "n: reset · Convex peers");
    assert!(content.icon.contains("health=down"), "{}", content.icon);
    let verdict = content.section("verdict").to_string();
    for hash in [expected, shown] {
        assert!(verdict.contains(&hash.to_string()), "{verdict}");
    }
    assert!(
        verdict.contains("/runbooks/ConvexNetworkReset"),
        "{verdict}"
    );
}

#[test]
fn other_agents_have_a_column_each_and_words_that_they_make_up_are_not_shown() {
    let mut snapshot = example::snapshot(4, 2);
    assert_eq!(section(&snapshot, "vantages"), "", "there are no others");
    let on_network = NetworkOpinion {
        name: "n".to_owned(),
        order_state: "<made up>".to_owned(),
        head_block: None,
        head_advance_age_seconds: Some(30.0),
        reached_stake_ratio: Some(0.25),
        quorum_at_risk: false,
        proven: Vec::new(),
    };
    let opinion = Opinion {
        vantage: "b".to_owned(),
        mode: Mode::Central,
        networks: vec![on_network],
        peers: Vec::new(),
        firing: Vec::new(),
        acknowledged: Vec::new(),
    };
    let other = |name: &str, opinion| OtherVantage {
        name: name.to_owned(),
        opinion,
        last_asked: None,
    };
    let received = ReceivedOpinion::new(opinion, snapshot.now);
    snapshot.vantages.name = "a".to_owned();
    snapshot.vantages.others = vec![other("b", Some(Arc::new(received))), other("c", None)];
    check(
        &snapshot,
        "vantages",
        &[
            "<bdi>a</bdi> <small>this agent</small>",
            "<bdi>b</bdi>",
            "<bdi>c</bdi>",
            "<td class=\"figure\">now</td><td class=\"figure\"><time",
            "▲ no recent opinion",
            "30 s ago</time>",
            "25\u{a0}%",
            // This agent finds an order that advances, the other one says nothing that is known.
            "<td class=\"figure differs\"><strong title=\"other than this agent finds\">≠</strong> –</td>",
        ],
        &["made up", "Agents agree"],
    );
}
