//! Peers that lie.

use std::fmt::Write;

use crate::support::agent::Agent;
use crate::support::fake;
use crate::support::pace::Pace;
use crate::support::simulated::network;

use super::{Scrape, Watch, config, difference, labels, settled, three_more_polls};

/// A peer that lies among four that do not, the verdict on it as in the table, and its state block.
struct Liar {
    what: &'static str,
    verdict: &'static str,
    state_block: &'static str,
    script: fake::Script,
}

fn liars() -> Vec<Liar> {
    const ABSURD: i64 = 1 << 62;
    let mut liars = Vec::new();
    let mut lies = |what, verdict, state_block, lie: &dyn Fn(&mut fake::Script)| {
        // Honest peers of an idle network all show this block.
        let mut script = fake::Script {
            order: [1000; 4],
            block: 999,
            registered: ABSURD,
            ..fake::Script::default()
        };
        lie(&mut script);
        liars.push(Liar {
            what,
            verdict,
            state_block,
            script,
        });
    };
    let diverged = "1 degraded [diverged] idle";
    lies("levels", "1 up [] idle", "4611686018427388000", &|script| {
        (script.order, script.block) = ([ABSURD; 4], ABSURD);
    });
    lies("old", "1 degraded [lagging] idle", "6", &|script| {
        (script.order, script.block) = ([7; 4], 6);
    });
    let malformed = "1 degraded [endpoint_failing malformed] unknown";
    lies("negative", malformed, "-", &|script| {
        (script.order, script.block, script.accounts) = ([-7; 4], -7, -132);
    });
    lies("accounts", diverged, "999", &|script| {
        script.accounts = -132;
    });
    lies("year 2100", diverged, "999", &|script| {
        script.timestamp_ms = 4_102_444_800_000;
    });
    lies("key", diverged, "999", &|_| {});
    lies("flips", diverged, "999", &|script| script.flips = true);
    liars
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_peer_affects_only_the_verdict_on_itself() {
    let pace = Pace::measure().await;
    let (mut networks, mut started) = (Vec::new(), Vec::new());
    for Liar {
        what, mut script, ..
    } in liars()
    {
        let network = network(4, &[], None).await;
        script.genesis = network.genesis();
        if what == "key" {
            script.key = network.key(1);
        }
        started.push(fake::FakePeer::start(script).await);
        networks.push((network, Watch::Pinned));
    }
    let watched: Vec<_> = networks
        .iter()
        .map(|(network, watch)| (network, *watch))
        .collect();
    let mut config = config(&watched, &pace);
    for (n, liar) in started.iter().enumerate() {
        let (tcp, http) = (liar.tcp, liar.http);
        // The first by name and one of the operator's own: anything that depends on order would
        // pick it.
        writeln!(
            config,
            "  - {{ name: '{n}.0', network: '{n}', endpoints: ['http://{http}', 'tcp://{tcp}'] }}"
        )
        .unwrap();
    }
    let agent = Agent::start(&config).await;
    let mistakes = |scrape: &Scrape| {
        let mut mistakes = Vec::new();
        for (n, liar) in liars().iter().enumerate() {
            let network = n.to_string();
            let labels_of_network = format!("network=\"{network}\"");
            for i in 1..=4 {
                let peer = format!("{n}.{i}");
                let wrong = scrape.unhealthy(&network, &peer);
                mistakes.extend(wrong.or_else(|| scrape.false_alarm(&network, &peer)));
            }
            let name = format!("{n}.0");
            let shown = scrape.text("convex_peer_state_block", &labels(&network, &name));
            let quorate = "idle split=0 margin=0.33 losable=1";
            for (found, expected) in [
                (scrape.peer(&network, &name), liar.verdict),
                (shown, liar.state_block),
                (scrape.network(&network), quorate),
                (
                    scrape.text("convex_network_head_block", &labels_of_network),
                    "999",
                ),
                (
                    scrape.text("convex_network_peers_registered", &labels_of_network),
                    "4",
                ),
            ] {
                mistakes.extend(difference(liar.what, &found, expected));
            }
        }
        mistakes
    };
    settled(&agent, &pace, &mistakes).await;
    three_more_polls(&agent, &pace).await;
    // On a busy machine single polls may be excused. False alarms stay in the metrics.
    settled(&agent, &pace, &mistakes).await;
    agent.stop().await;
}
