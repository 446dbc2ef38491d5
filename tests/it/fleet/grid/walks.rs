//! When peers are walked, at default intervals.

use std::time::Duration;

use crate::support::simulated::options;

use super::watched::{Scope, Watched};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn own_peers_are_walked_each_minute_and_strangers_at_most_once_in_ten() {
    let scope = Scope {
        strangers: 12,
        ..Scope::first(16)
    };
    let watched = Watched::start(options(16, &[], Some("1s")), &scope, true, "walks-");
    tokio::time::sleep(31 * MINUTE).await;
    let walks = watched.walks();
    watched.stop().await;
    for peer in 1..=16 {
        let times = walks.iter().filter(|(walked, _)| *walked == peer);
        let times: Vec<Duration> = times.map(|(_, at)| *at).collect();
        let apart = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let [least, most] = [apart.clone().min().unwrap(), apart.max().unwrap()];
        let expected = if peer <= 4 { MINUTE } else { 10 * MINUTE };
        // A round begins on the minute, and walks a few peers at a time.
        let tolerance = Duration::from_secs(1);
        assert!(least + tolerance >= expected, "peer {peer}: {times:?}");
        assert!(most <= expected + tolerance, "peer {peer}: {times:?}");
    }
}
