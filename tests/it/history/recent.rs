//! The last polls of a peer, and the transcripts of two of them.

use std::time::SystemTime;

use convex_client::FailureReason;
use convex_peer_monitor::fleet::Health;
use convex_peer_monitor::history::{MAX_TRANSCRIBED_PEERS, POLLS_KEPT};

use crate::support::polls::failed;

use super::{MINUTE, TWO, Watched, good, hours_ago};

#[tokio::test]
async fn transcripts_of_the_last_good_and_the_last_failed_poll_are_kept() {
    let watched = Watched::start(None, TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    watched.poll(0, began + MINUTE, good(7, 6, 1));
    watched.poll(0, began + 2 * MINUTE, failed(FailureReason::Timeout));
    let kept = watched.history.transcripts("one").unwrap();
    let (success, failure) = (kept.success.unwrap(), kept.failure.unwrap());
    assert_eq!(failure.at_ms - success.at_ms, 60_000);
    let [conversation] = &success.endpoints[..] else {
        panic!("{success:?}");
    };
    assert_eq!(conversation.url, "tcp://192.0.2.1:1");
    assert!(
        conversation.answers[0].reply.ends_with("finality 6"),
        "{conversation:?}"
    );
    assert_eq!(
        failure.endpoints[0].error.as_deref(),
        Some("timeout: as scripted")
    );
}

#[tokio::test]
async fn a_very_large_fleet_keeps_transcripts_only_of_peers_that_are_not_up() {
    let config = |peers: usize| {
        let peer = |i| {
            format!(
                "- {{ name: p{i}, endpoints: ['tcp://192.0.2.1:{}'] }}\n",
                i + 1
            )
        };
        format!("peers:\n{}", (0..peers).map(peer).collect::<String>())
    };
    let watched = Watched::start(None, &config(MAX_TRANSCRIBED_PEERS)).await;
    let now = SystemTime::now();
    let kept = |peer| {
        let kept = watched.history.transcripts(peer).unwrap();
        (kept.success.is_some(), kept.failure.is_some())
    };
    for _ in 0..2 {
        watched.poll(0, now, good(1, 5, 1));
        watched.poll(1, now, failed(FailureReason::Timeout));
    }
    assert_eq!((kept("p0"), kept("p1")), ((true, false), (false, true)));
    watched.apply(&config(MAX_TRANSCRIBED_PEERS + 1));
    assert_eq!((kept("p0"), kept("p1")), ((false, false), (false, true)));
    watched.poll(0, now, good(1, 5, 1));
    watched.poll(1, now, good(2, 5, 1));
    watched.poll(1, now, good(2, 5, 1));
    assert_eq!((kept("p0"), kept("p1")), ((false, false), (false, false)));
    watched.poll(0, now, failed(FailureReason::Timeout));
    watched.poll(0, now, failed(FailureReason::Timeout));
    assert_eq!(kept("p0"), (false, true));
}

#[tokio::test]
async fn the_documented_number_of_last_polls_is_kept() {
    let watched = Watched::start(None, TWO).await;
    for i in 0..100 {
        watched.poll(0, SystemTime::now(), good(7, i, 1));
    }
    let polls = watched.history.recent("one").unwrap();
    assert_eq!(polls.len(), POLLS_KEPT);
    assert_eq!(polls[0].order.unwrap().block, 40);
    assert_eq!(
        (polls[59].state_block, polls[59].health),
        (Some(98), Health::Up)
    );
}
