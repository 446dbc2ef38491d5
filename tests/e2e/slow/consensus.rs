//! Verdicts on real peers from their orders and beliefs: who is isolated, who is forked, and who is
//! not.

mod calm;
mod forked;
mod isolated;

use std::collections::{BTreeMap, BTreeSet};

use convex_peer_monitor::agent::state_file::{State, StateFile};
use convex_peer_monitor::fleet::{SavedFleet, SavedRegistrations};
use tokio::time::{Duration, Instant, sleep};

use crate::network::Ready;
use crate::{Agent, REAL_PEERS, TIMEOUT, of, value};

/// Walks that follow each other as closely as is allowed.
const OFTEN: &str = ", consensus_interval: 10s";

/// Conditions that come from comparing peers. What a busy machine does to polls is not among them.
const COMPARED: [&str; 8] = [
    "forked",
    "isolated",
    "unheard",
    "lagging",
    "diverged",
    "states_differ",
    "receding",
    "finality_lost",
];

/// An agent that monitors some peers, `peer-0`, `peer-1`, ..., and remembers that all of them have
/// had those of the genesis in their states for longer than five minutes.
struct Watch {
    agent: Agent,
    peers: usize,
    _state: tempfile::TempDir,
}

impl Watch {
    /// Starts an agent with all settings of polls and walks at their defaults.
    async fn start(peers: &[Ready]) -> Self {
        Self::start_with("", "", (peers, peers)).await
    }

    /// Starts an agent that walks often and leaves busy peers time to answer. The states of `peers`
    /// have long had `registered`.
    async fn start_often(peers: &[Ready], registered: &[Ready]) -> Self {
        Self::start_with(REAL_PEERS, OFTEN, (peers, registered)).await
    }

    async fn start_with(
        defaults: &str,
        network: &str,
        (peers, registered): (&[Ready], &[Ready]),
    ) -> Self {
        let state = tempfile::tempdir().unwrap();
        remember(state.path(), peers.len(), registered);
        let entry = |(i, peer): (usize, &Ready)| {
            let (http, tcp, key) = (peer.http(), peer.tcp(), peer.key());
            format!("{{ name: peer-{i}, endpoints: ['{tcp}', '{http}'], key: '{key}' }}")
        };
        let entries: Vec<String> = peers.iter().enumerate().map(entry).collect();
        let config = format!(
            "state_dir: '{}'\n{defaults}\
             networks: [{{ name: local, genesis: '{}', stake_interval: 10s{network} }}]\n\
             peers: [{}]\n",
            state.path().display(),
            peers[0].genesis(),
            entries.join(", ")
        );
        Self {
            agent: Agent::start(&config).await,
            peers: peers.len(),
            _state: state,
        }
    }

    /// Waits until a peer does not have a condition.
    async fn until_not(&self, peer: usize, name: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.value(&condition(peer, name)).await.is_some() {
            assert!(Instant::now() < deadline, "peer-{peer} is still {name}");
            sleep(Duration::from_millis(250)).await;
        }
    }

    async fn value(&self, series: &str) -> Option<f64> {
        value(&self.agent.metrics().await, series)
    }

    /// Returns the number of peers that are up.
    async fn up(&self) -> usize {
        let text = self.agent.metrics().await;
        let up = |peer| of("convex_peer_health", peer, ",state=\"up\"");
        let up = |peer: &usize| value(&text, &up(*peer)) == Some(1.0);
        (0..self.peers).filter(up).count()
    }

    async fn all_are_up(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while self.up().await < self.peers {
            assert!(Instant::now() < deadline, "not all peers are up");
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Waits until this peer has been walked so often again.
    async fn walks(&self, peer: usize, count: usize) {
        let deadline = Instant::now() + TIMEOUT;
        let mut walks = BTreeSet::new();
        // The first one may have been there before.
        while walks.len() < count + 1 {
            assert!(Instant::now() < deadline, "peer-{peer}: {walks:?}");
            walks.extend(self.walk_times(peer).await);
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Returns when this peer was last walked, if ever.
    async fn walk_times(&self, peer: usize) -> BTreeSet<String> {
        let name = format!("peer-{peer}");
        let consensus = self.consensus().await;
        let walks = consensus["walks"].as_array().unwrap().iter();
        let of_peer = walks.filter(|walk| walk["peer"] == *name && walk["read"].is_f64());
        of_peer.map(|walk| walk["read"].to_string()).collect()
    }

    /// Returns what the API says of the orders and beliefs.
    async fn consensus(&self) -> serde_json::Value {
        let network = self.agent.json("/api/v1/networks/local").await;
        network["consensus"].clone()
    }

    /// Returns which conditions from comparing peers have ever begun, and at which peers.
    async fn accused(&self) -> BTreeSet<(String, String)> {
        let events = self.agent.json("/api/v1/events?limit=1000").await;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let events = events.as_array().unwrap().iter();
        let began = events.filter(|event| event["kind"] == "condition_began");
        let accused = began.map(|event| (text(&event["peer"]), text(&event["condition"])));
        accused
            .filter(|(_, condition)| COMPARED.contains(&condition.as_str()))
            .collect()
    }
}

/// Writes what an agent knows that has long watched `peers` peers whose states have `registered`.
fn remember(state_dir: &std::path::Path, peers: usize, registered: &[Ready]) {
    let known = SavedRegistrations {
        peers: (0..peers).map(|i| format!("peer-{i}")).collect(),
        keys: registered
            .iter()
            .map(|it| it.key().parse().unwrap())
            .collect(),
    };
    let fleet = SavedFleet {
        registered_in: BTreeMap::from([("local".to_owned(), vec![known])]),
        ..SavedFleet::default()
    };
    let state = State {
        fleet,
        ..State::default()
    };
    let file = StateFile::open(state_dir).unwrap();
    file.write(&state).unwrap();
}

fn condition(peer: usize, condition: &str) -> String {
    let condition = format!(",condition=\"{condition}\"");
    of("convex_peer_condition", peer, &condition)
}

fn of_network(metric: &str, more: &str) -> String {
    format!("{metric}{{network=\"local\"{more}}}")
}

/// Returns the expression of how many peers an alert is firing for.
fn firing(alert: &str) -> String {
    format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}) or vector(0)")
}
