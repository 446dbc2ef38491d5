//! For how long a network worked.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_peer_monitor::history::{Bars, Uptime};
use convex_peer_monitor::supervisor::liveness::{Liveness, Part};
use tokio_util::sync::CancellationToken;

use crate::support::until;

use super::{TWO, Watched, good};

const TODAY: Bars = Bars {
    count: 2,
    hours: 24,
};

/// Returns the uptime since yesterday.
async fn uptime(watched: &Watched, network: &str) -> [Duration; 3] {
    let networks = [network.to_owned()];
    let bars = watched
        .history
        .network_availability(&networks, TODAY, SystemTime::now())
        .await
        .unwrap();
    let sum = |part: fn(&Uptime) -> Duration| bars[network].iter().map(part).sum();
    [sum(|it| it.up), sum(|it| it.down), sum(|it| it.maintenance)]
}

#[tokio::test]
async fn the_uptime_of_a_network_is_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = Watched::start(Some(dir.path()), TWO).await;
    let stop = CancellationToken::new();
    let pulse = Liveness::default().pulse(Part::History, "history");
    let (history, fleet) = (Arc::clone(&before.history), Arc::clone(&before.fleet));
    let run = tokio::spawn(history.run(fleet, pulse, stop.clone()));
    let mut block = 5;
    until("the network was up for a second", async || {
        for peer in [0, 1] {
            before.poll(peer, SystemTime::now(), good(1, block, 1));
        }
        block += 1;
        uptime(&before, "main").await[0] >= Duration::from_secs(1)
    })
    .await;
    stop.cancel();
    run.await.unwrap();
    let kept = uptime(&before, "main").await;
    assert_eq!(kept[1..], [Duration::ZERO; 2]);
    assert_eq!(uptime(&before, "other").await, [Duration::ZERO; 3]);
    drop(before);

    let after = Watched::start(Some(dir.path()), TWO).await;
    assert_eq!(uptime(&after, "main").await, kept);
}
