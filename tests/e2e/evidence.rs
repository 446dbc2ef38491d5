//! What the agent concludes from comparing simulated peers at default intervals: forks are found,
//! and nobody else is accused.

use convex_simulator::{Network, PeerSet, Registered};

use super::prometheus::Prometheus;
use super::{Agent, is, simulated, value};

/// A claim that no network will ever reach.
const CLAIM: f64 = 4_611_686_018_427_387_904.0;

/// A simulated network, and an agent that watches it.
struct Watch {
    agent: Agent,
    network: Network,
}

impl Watch {
    /// Watches all peers of a network with one peer after another making a block each `period`.
    async fn start(peers: usize, period: &str, faults: &[&str]) -> Self {
        let network = simulated::network(peers, faults, Some(period)).await;
        let agent = Agent::start(&network.config()).await;
        Self { agent, network }
    }

    /// Waits until each of these peers has diverged, and checks that no other one was accused.
    async fn only_these_have_diverged(&self, ill: &[usize]) {
        for peer in ill {
            self.agent
                .until(&condition(*peer, "diverged"), is(1.0))
                .await;
        }
        self.nobody_is_accused_but(ill).await;
    }

    /// Checks that no peer but these was ever degraded or down.
    async fn nobody_is_accused_but(&self, ill: &[usize]) {
        let text = self.agent.metrics().await;
        for peer in (1..=self.network.len()).filter(|peer| !ill.contains(peer)) {
            for state in ["degraded", "down"] {
                let state = format!(",state=\"{state}\"");
                let changes = of("convex_peer_health_transitions_total", peer, &state);
                if let Some(changes) = value(&text, &changes) {
                    assert_eq!(changes, 0.0, "sim-{peer}{state}, while {ill:?} are ill");
                }
            }
        }
    }

    async fn value(&self, series: &str) -> Option<f64> {
        value(&self.agent.metrics().await, series)
    }
}

fn of(metric: &str, peer: usize, more: &str) -> String {
    format!("{metric}{{peer=\"sim-{peer}\",network=\"simulated\"{more}}}")
}

fn condition(peer: usize, condition: &str) -> String {
    let condition = format!(",condition=\"{condition}\"");
    of("convex_peer_condition", peer, &condition)
}

fn of_network(metric: &str, more: &str) -> String {
    format!("{metric}{{network=\"simulated\"{more}}}")
}

/// At once, because each of them mostly waits.
#[tokio::test]
async fn forks_splits_and_claims_are_judged_by_evidence_at_default_intervals() {
    tokio::join!(
        a_fork(8, "1s"),
        a_fork(4, "700ms"),
        halves_that_go_on_apart(),
        strangers_that_claim_a_block_that_does_not_exist(),
        sybils_among_a_thousand_registered_peers(),
        finality_that_goes_back_everywhere(),
    );
}

async fn a_fork(peers: usize, period: &str) {
    let watch = Watch::start(peers, period, &["fork:2:20s"]).await;
    watch.only_these_have_diverged(&[2]).await;
    let groups = of_network("convex_network_state_groups", "");
    watch.agent.until(&groups, is(2.0)).await;
}

async fn halves_that_go_on_apart() {
    let watch = Watch::start(8, "1s", &["fork:50%:20s", "late=500ms:50%"]).await;
    watch
        .agent
        .until(&of_network("convex_network_split", ""), is(1.0))
        .await;
    let metrics = watch.agent.metrics().await;
    for peer in 1..=8 {
        let diverged = value(&metrics, &condition(peer, "diverged"));
        assert_ne!(
            diverged,
            Some(1.0),
            "sim-{peer} has half of the stake on its side"
        );
    }
}

/// They are discovered, and hold 0.01 CVM each.
async fn strangers_that_claim_a_block_that_does_not_exist() {
    let claim = format!("claim={CLAIM}:5-6");
    let network = simulated::network(6, &["stake=0.01:5-6", &claim], Some("1s")).await;
    let discovery = "discovery: { enabled: true, allow_private: true, interval: 10s, max_peers: 10 }, \
                     name: simulated";
    let config = network.config_of(&PeerSet::parse("1-4", 6).unwrap());
    let config = config.replacen("name: simulated", discovery, 1);
    let watch = Watch {
        agent: Agent::start(&config).await,
        network,
    };
    for stranger in [5, 6] {
        let key = watch.network.key(stranger).to_string();
        let digits = key.trim_start_matches("0x").chars().take(12);
        let name = format!("chain-{}", digits.collect::<String>());
        let block = format!("convex_peer_state_block{{peer=\"{name}\",network=\"simulated\"}}");
        watch.agent.until(&block, is(CLAIM)).await;
    }
    // Long enough for anything that is behind the claim to lag.
    let polls = of("convex_peer_polls_total", 1, "");
    let polled = watch.value(&polls).await.unwrap();
    watch
        .agent
        .until(&polls, |polls| polls >= polled + 5.0)
        .await;
    watch.nobody_is_accused_but(&[]).await;
    let head = watch
        .value(&of_network("convex_network_head_block", ""))
        .await;
    assert!(head.is_some_and(|head| head < 1e6), "{head:?}");
}

/// Eight of them are watched and have another state; the stake is with the four others.
async fn sybils_among_a_thousand_registered_peers() {
    let options = convex_simulator::Options {
        registered: Registered::parse("1500:0.01").unwrap(),
        ..simulated::options(12, &["stake=0.01:5-12", "fork:5-12:20s"], Some("1s"))
    };
    let network = Network::start(options).await.unwrap();
    let agent = Agent::start(&network.config()).await;
    let watch = Watch { agent, network };
    watch
        .only_these_have_diverged(&[5, 6, 7, 8, 9, 10, 11, 12])
        .await;
    let registered = watch
        .value(&of_network("convex_network_peers_registered", ""))
        .await;
    assert_eq!(registered, Some(1512.0));
}

async fn finality_that_goes_back_everywhere() {
    let watch = Watch::start(4, "1s", &["recede=20:all:60s"]).await;
    let prometheus = Prometheus::start(&watch.agent.address).await;
    let receding = of_network("convex_network_order_state", ",state=\"receding\"");
    watch.agent.until(&receding, is(1.0)).await;
    let alert = "count(ALERTS{alertname=\"ConvexFinalityReceding\",alertstate=\"firing\",\
                 severity=\"critical\",network=\"simulated\",peer=\"\"})";
    prometheus.wait_for(alert, is(1.0)).await;
}
