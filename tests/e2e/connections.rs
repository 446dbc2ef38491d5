//! Connections to a real peer that go silent, and a peer that accepts no new ones.

use std::net::SocketAddr;
use std::time::SystemTime;

use convex_peer_monitor::fleet::{Health, PeerRecord};
use tokio::time::{Duration, Instant, sleep};

use super::network::{Options, RealPeer};
use super::relay::{Mode, Relay};
use super::{Agent, REAL_PEERS, TIMEOUT, contract};

/// The relay to an endpoint, and the endpoint's URL through it.
fn behind_relay(endpoint: &str) -> (Relay, String) {
    let (scheme, address) = endpoint.split_once("://").unwrap();
    let upstream: SocketAddr = address.trim_end_matches('/').parse().unwrap();
    let relay = Relay::to(upstream);
    let url = format!("{scheme}://{}", relay.address);
    (relay, url)
}

#[tokio::test]
async fn a_connection_that_goes_silent_costs_one_poll() {
    let peer = RealPeer::start(Options::new(1), None).await;
    for endpoint in [peer.tcp(), peer.http()] {
        let (relay, url) = behind_relay(&endpoint);
        let mut config = contract::peer(&[&url]);
        config.polling.down_after = 2;
        config.polling.retries = 0;
        let mut record = PeerRecord::new(std::sync::Arc::new(config.clone()));
        let mut prober = contract::prober(&config);
        let mut answers = Vec::new();
        for poll in 0..4 {
            if poll == 1 {
                relay.set(Mode::ForgetsOld).await;
            }
            let observation = prober.poll().await;
            record.record_poll(&observation, Instant::now(), SystemTime::now());
            answers.push(record.last_poll.up());
            assert_ne!(record.health, Health::Down, "{url}, poll {poll}");
        }
        let expected = [Some(true), Some(false), Some(true), Some(true)];
        assert_eq!(answers, expected, "{url}");
        assert_eq!(record.health, Health::Up, "{url}");
    }
}

#[tokio::test]
async fn a_peer_that_accepts_no_new_connections_is_degraded_with_the_reason() {
    let peer = RealPeer::start(Options::new(1), None).await;
    let (tcp, tcp_url) = behind_relay(&peer.tcp());
    let (http, http_url) = behind_relay(&peer.http());
    let agent = Agent::start(&format!(
        "{REAL_PEERS}networks: [{{ name: n }}]\n\
         peers:\n\
         - {{ name: t, network: n, connection_max_age: 1s, endpoints: ['{tcp_url}'] }}\n\
         - {{ name: h, network: n, connection_max_age: 1s, endpoints: ['{http_url}'] }}\n"
    ))
    .await;
    let until = async |series: &str| {
        let deadline = Instant::now() + TIMEOUT;
        while !agent.metrics().await.contains(&format!("{series} 1\n")) {
            assert!(Instant::now() < deadline, "{series} is not 1");
            sleep(Duration::from_millis(250)).await;
        }
    };
    let of = |peer: &str, what: &str, label: &str| {
        format!("convex_peer_{what}{{peer=\"{peer}\",network=\"n\",{label}}}")
    };
    for peer in ["t", "h"] {
        until(&of(peer, "health", "state=\"up\"")).await;
    }
    tcp.set(Mode::RefusesNew).await;
    http.set(Mode::RefusesNew).await;
    for peer in ["t", "h"] {
        until(&of(peer, "condition", "condition=\"new_connections_fail\"")).await;
        until(&of(peer, "health", "state=\"degraded\"")).await;
    }
    for peer in ["t", "h"] {
        let report = agent.json(&format!("/api/v1/peers/{peer}")).await;
        let failure = &report["endpoints"][0]["new_connection_failure"];
        assert_eq!(failure["reason"], "refused", "{report}");
    }
}
