//! How many states a network had, and when.

use std::sync::Arc;
use std::time::SystemTime;

use convex_peer_monitor::history::AgreementSpan;
use convex_peer_monitor::supervisor::liveness::{Liveness, Part};
use tokio_util::sync::CancellationToken;

use crate::support::until;

use super::{TWO, Watched, good};

#[tokio::test]
async fn a_difference_between_states_is_kept_over_a_restart_with_its_block() {
    let dir = tempfile::tempdir().unwrap();
    let before = Watched::start(Some(dir.path()), TWO).await;
    let now = SystemTime::now();
    before.poll(0, now, good(1, 5, 1));
    before.poll(1, now, good(2, 5, 9));
    let stop = CancellationToken::new();
    let pulse = Liveness::default().pulse(Part::History, "history");
    let (history, fleet) = (Arc::clone(&before.history), Arc::clone(&before.fleet));
    let run = tokio::spawn(history.run(fleet, pulse, stop.clone()));
    until("the difference is recorded", async || {
        let spans = before.history.agreement("main");
        spans.iter().any(AgreementSpan::is_different)
    })
    .await;
    stop.cancel();
    run.await.unwrap();
    let spans = before.history.agreement("main");
    let last = spans.last().unwrap();
    assert_eq!((last.states, last.state_block), (Some(2), Some(4)));
    assert_eq!(before.history.agreement("other"), []);
    drop(before);

    let after = Watched::start(Some(dir.path()), TWO).await;
    assert_eq!(after.history.agreement("main"), spans);
}
