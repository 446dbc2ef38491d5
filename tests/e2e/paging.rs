//! From a peer's trouble to the page and back: Prometheus with our rules, Alertmanager with our example of routes, a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;

use super::network::Network;
use super::pipeline::{Alert, Alertmanager, DEAD_MANS_SWITCH, Notification, Pace, Receiver};
use super::prometheus::Prometheus;
use super::{Agent, simulated};

/// Longest wait for a notification: with no time shortened one is over after two minutes, and told two minutes later.
const PATIENCE: Duration = Duration::from_secs(300);
/// In silence: two of the shortened `group_interval`s of pages.
const SILENCE: Duration = Duration::from_secs(8);

/// The receiver, with all that it was told of networks and their peers.
pub(super) struct Pages {
    receiver: Receiver,
    pub(super) told: Vec<Notification>,
}

/// An alert as all notifications told it: when it fired each time, and whether it is over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) fired: BTreeSet<String>,
    pub(super) over: bool,
}

impl Pages {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            told: Vec::new(),
        }
    }

    /// Waits for the next notification that is not the dead man's switch.
    async fn next(&mut self) -> &Notification {
        loop {
            let delivery = self.receiver.next().await;
            if delivery.to != DEAD_MANS_SWITCH {
                self.told.push(delivery.notification().unwrap());
                return self.told.last().unwrap();
            }
        }
    }

    /// Waits until an alert with this name and status is told, and gives it.
    pub(super) async fn until(&mut self, name: &str, firing: bool) -> Alert {
        let is = |alert: &&Alert| alert.name() == name && alert.is_firing() == firing;
        let waiting = async {
            loop {
                if let Some(alert) = self.next().await.alerts.iter().find(is) {
                    return alert.clone();
                }
            }
        };
        let found = timeout(PATIENCE, waiting).await.ok();
        found.unwrap_or_else(|| panic!("no {name} with firing = {firing}; told: {:#?}", self.told))
    }

    /// Takes what has arrived and arrives, until nothing does.
    pub(super) async fn listen(&mut self, silence: Duration) {
        while timeout(silence, self.next()).await.is_ok() {}
    }

    /// What was told of each alert, by its labels.
    pub(super) fn stories(&self) -> BTreeMap<String, Story> {
        let mut stories: BTreeMap<String, Story> = BTreeMap::new();
        for alert in self.told.iter().flat_map(|told| &told.alerts) {
            let labels = alert
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let story = stories
                .entry(labels.collect::<Vec<_>>().join(" "))
                .or_default();
            if alert.is_firing() {
                story.fired.insert(alert.starts_at.clone());
            }
            story.over = !alert.is_firing();
        }
        stories
    }
}

/// The agent and everything behind it.
struct Watch {
    agent: Agent,
    prometheus: Prometheus,
    pages: Pages,
    _alertmanager: Alertmanager,
}

impl Watch {
    async fn start(config: &str) -> Self {
        let receiver = Receiver::start().await.unwrap();
        let alertmanager = Alertmanager::start(Pace::Fast, &receiver).await.unwrap();
        let agent = Agent::start(config).await;
        let prometheus = Prometheus::start(&agent.address, Some(alertmanager.address())).await;
        Self {
            agent,
            prometheus,
            pages: Pages::new(receiver),
            _alertmanager: alertmanager,
        }
    }

    async fn all_are_up(&self, peers: u32) {
        let up = "count(convex_peer_health{state=\"up\"} == 1)";
        let all = f64::from(peers);
        self.prometheus.wait_for(up, |up| up == all).await;
    }
}

#[tokio::test]
async fn a_peer_that_dies_and_one_that_hangs_are_paged_once_and_resolved_once() {
    let mut network = Network::start(2).await;
    let state = tempfile::tempdir().unwrap();
    let remembered = format!("state_dir: '{}'\n", state.path().display());
    let mut watch = Watch::start(&(super::config(&network) + &remembered)).await;
    watch.all_are_up(2).await;
    // It is healthy and idle: nothing to tell.
    watch.pages.listen(SILENCE).await;
    assert_eq!(watch.pages.stories(), BTreeMap::new());

    a_killed_peer(&mut network, &mut watch).await;
    a_frozen_peer(&network, &mut watch).await;
    a_half_shut_peer(&mut network, &mut watch).await;
}

const DOWN: &str = "alertname=ConvexPeerDown network=local peer=peer-1 severity=critical";
const HANGS: &str = "alertname=ConvexQueriesHang network=local peer=peer-1 severity=critical";

/// It dies, is paged, the agent restarts meanwhile, and it comes back: one page, one resolve.
async fn a_killed_peer(network: &mut Network, watch: &mut Watch) {
    network.peers[1].end().await;
    let page = watch.pages.until("ConvexPeerDown", true).await;
    assert_eq!(page.annotations["summary"], "A Convex peer is down.");
    let reason = "Conditions in force: refused.";
    assert!(
        page.annotations["description"].ends_with(reason),
        "{page:?}"
    );
    assert!(page.annotations["runbook_url"].ends_with("/ConvexPeerDown.md"));

    // Prometheus sees the gap: without keep_firing_for the alert would end here and fire anew.
    watch.agent.end().await;
    let scraped = "up{job=\"convex-peer-monitor\"}";
    watch.prometheus.wait_for(scraped, |up| up == 0.0).await;
    watch.agent.begin().await;
    watch.pages.listen(SILENCE).await;
    let story = &watch.pages.stories()[DOWN];
    assert!(
        story.fired.len() == 1 && !story.over,
        "{:#?}",
        watch.pages.told
    );

    network.restart(1).await;
    watch.pages.until("ConvexPeerDown", false).await;
    watch.pages.listen(SILENCE).await;
    let story = &watch.pages.stories()[DOWN];
    assert!(
        story.fired.len() == 1 && story.over,
        "{:#?}",
        watch.pages.told
    );
    watch.all_are_up(2).await;
    watch.pages.told.clear();
}

/// Connections are still accepted and nothing is answered: the page says so.
async fn a_frozen_peer(network: &Network, watch: &mut Watch) {
    network.peers[1].signal("-STOP");
    let page = watch.pages.until("ConvexPeerDown", true).await;
    let reason = "Conditions in force: timeout.";
    assert!(
        page.annotations["description"].ends_with(reason),
        "{page:?}"
    );
    network.peers[1].signal("-CONT");
    watch.pages.until("ConvexPeerDown", false).await;
    watch.all_are_up(2).await;
    watch.pages.told.clear();
}

/// STATUS answers and queries hang: that is the page, and down, which follows from it, is none, also while it comes back.
async fn a_half_shut_peer(network: &mut Network, watch: &mut Watch) {
    network.peers[1].command("close 0").await;
    watch.pages.until("ConvexQueriesHang", true).await;
    let down = "ALERTS{alertname=\"ConvexPeerDown\", alertstate=\"firing\"}";
    watch
        .prometheus
        .wait_for(down, |firing| firing == 1.0)
        .await;
    watch.pages.listen(SILENCE).await;

    network.peers[1].end().await;
    network.restart(1).await;
    watch.pages.until("ConvexQueriesHang", false).await;
    watch.all_are_up(2).await;
    watch.pages.listen(SILENCE).await;
    let stories = watch.pages.stories();
    // Alertmanager tells of all in the group that are over, also of what was held back.
    let told = stories.get(DOWN).map(|story| story.fired.len());
    assert!(matches!(told, None | Some(0)), "{:#?}", watch.pages.told);
    assert!(stories[HANGS].over && stories[HANGS].fired.len() == 1);
}

#[tokio::test]
async fn a_stall_of_a_whole_network_is_one_page() {
    let network = simulated::network(4, &["stall:all:15s"], Some("1s")).await;
    let config = network.config()
        + "defaults: { interval: 1s, timeout: 900ms }\n\
           verdicts: { stall_after: 5s, lag_for: 3s }\n";
    let mut watch = Watch::start(&config).await;
    watch.all_are_up(4).await;
    watch.pages.until("ConvexConsensusStalled", true).await;
    // What waits longest of the alerts that this one holds back.
    let degraded = "count(ALERTS{alertname=\"ConvexPeerDegraded\", alertstate=\"firing\"})";
    watch.prometheus.wait_for(degraded, |all| all == 4.0).await;
    // Longer than the shortened `group_interval` of tickets.
    watch.pages.listen(Duration::from_secs(15)).await;
    let alerts: Vec<String> = watch.pages.stories().into_keys().collect();
    assert_eq!(
        alerts,
        ["alertname=ConvexConsensusStalled network=simulated severity=critical"]
    );
    let [page] = &watch.pages.told[..] else {
        panic!("several notifications: {:#?}", watch.pages.told);
    };
    assert_eq!(
        page.group_labels,
        BTreeMap::from([("network".to_owned(), "simulated".to_owned())])
    );
}
