//! From a fault to the page and back: the agent, Prometheus with our rules, Alertmanager with our
//! example routes, and a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::network::Network;
use super::pipeline::{
    Alert, Alertmanager, DEAD_MANS_SWITCH, Notification, Pace, Receiver, own_address,
};
use super::prometheus::Prometheus;
use super::{Agent, TIMEOUT, simulated};

/// Two shortened `group_interval`s of pages: any pending notification arrives within this time.
pub(super) const QUIET: Duration = Duration::from_secs(8);

/// The receiver and the notifications that have arrived.
pub(super) struct Pages {
    receiver: Receiver,
    pub(super) notifications: Vec<Notification>,
}

/// What all notifications say about one alert.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AlertHistory {
    /// Start times of all notifications that say it is firing.
    pub(super) fired: BTreeSet<String>,
    /// Whether the last notification says that it is resolved.
    pub(super) resolved: bool,
}

impl Pages {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            notifications: Vec::new(),
        }
    }

    /// Waits for the next notification, except those of the dead man's switch.
    async fn next(&mut self) -> &Notification {
        loop {
            let delivery = self.receiver.next().await;
            if delivery.to != DEAD_MANS_SWITCH {
                self.notifications.push(delivery.notification().unwrap());
                return self.notifications.last().unwrap();
            }
        }
    }

    /// Waits for a notification about an alert with this name and status, and returns the alert.
    pub(super) async fn until(&mut self, name: &str, firing: bool) -> Alert {
        let is = |alert: &&Alert| alert.name() == name && alert.is_firing() == firing;
        let waiting = async {
            loop {
                if let Some(alert) = self.next().await.alerts.iter().find(is) {
                    return alert.clone();
                }
            }
        };
        let found = timeout(TIMEOUT, waiting).await.ok();
        found.unwrap_or_else(|| {
            let notifications = &self.notifications;
            panic!("no {name} with firing = {firing}; there are {notifications:#?}")
        })
    }

    /// Returns the last state of an alert with this name that has been received.
    pub(super) fn received(&self, name: &str) -> Option<Alert> {
        let mut alerts = self.notifications.iter().rev().flat_map(|it| &it.alerts);
        alerts.find(|alert| alert.name() == name).cloned()
    }

    /// Records notifications until none arrives for the given time.
    pub(super) async fn listen(&mut self, quiet: Duration) {
        while timeout(quiet, self.next()).await.is_ok() {}
    }

    /// Returns the history of each alert, by its labels.
    pub(super) fn histories(&self) -> BTreeMap<String, AlertHistory> {
        let mut histories: BTreeMap<String, AlertHistory> = BTreeMap::new();
        let notifications = &self.notifications;
        for alert in notifications.iter().flat_map(|it| &it.alerts) {
            let labels = alert
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let history = histories
                .entry(labels.collect::<Vec<_>>().join(" "))
                .or_default();
            if alert.is_firing() {
                history.fired.insert(alert.starts_at.clone());
            }
            history.resolved = !alert.is_firing();
        }
        histories
    }
}

/// Everything but the agent. It is started before a simulated network, whose faults begin a fixed
/// time after its start.
struct Pipeline {
    agent_address: SocketAddr,
    receiver: Receiver,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
}

/// The agent and the pipeline.
struct Watch {
    agent: Agent,
    prometheus: Prometheus,
    pages: Pages,
    _alertmanager: Alertmanager,
}

impl Pipeline {
    async fn start() -> Self {
        let agent_address = own_address().unwrap();
        let receiver = Receiver::start().await.unwrap();
        let alertmanager = Alertmanager::start(Pace::Fast, &receiver).await.unwrap();
        let (agent, address) = (agent_address.to_string(), alertmanager.address());
        let prometheus = Prometheus::start_without_rules(&agent, Some(address)).await;
        Self {
            agent_address,
            receiver,
            alertmanager,
            prometheus,
        }
    }

    /// Starts the agent with this configuration, and loads the rules.
    async fn watch(self, config: &str) -> Watch {
        let agent = Agent::start_at(self.agent_address, config).await;
        self.prometheus.load_rules().await;
        Watch {
            agent,
            prometheus: self.prometheus,
            pages: Pages::new(self.receiver),
            _alertmanager: self.alertmanager,
        }
    }
}

impl Watch {
    async fn all_are_up(&self, peers: u32) {
        // A peer that was down three times within an hour is up and flapping.
        let up = "count(convex_peer_up == 1)";
        let all = f64::from(peers);
        self.prometheus.wait_for(up, |up| up == all).await;
    }
}

#[tokio::test]
async fn a_peer_that_dies_or_hangs_is_one_page_and_one_resolve() {
    let pipeline = Pipeline::start().await;
    let mut network = Network::start(2).await;
    let state = tempfile::tempdir().unwrap();
    let state_dir = format!("state_dir: '{}'\n", state.path().display());
    let mut watch = pipeline
        .watch(&(super::config(&network) + &state_dir))
        .await;
    watch.all_are_up(2).await;
    // A healthy, idle network causes no notifications.
    watch.pages.listen(QUIET).await;
    assert_eq!(watch.pages.histories(), BTreeMap::new());

    a_killed_peer(&mut network, &mut watch).await;
    a_frozen_peer(&network, &mut watch).await;
    a_half_dead_peer(&mut network, &mut watch).await;
}

const DOWN: &str = "alertname=ConvexPeerDown network=local peer=peer-1 severity=critical";
const HANGS: &str = "alertname=ConvexQueriesHang network=local peer=peer-1 severity=critical";

/// A peer dies and comes back, and the agent restarts in between: one page, one resolve.
async fn a_killed_peer(network: &mut Network, watch: &mut Watch) {
    network.peers[1].end().await;
    let page = watch.pages.until("ConvexPeerDown", true).await;
    assert_eq!(page.annotations["summary"], "peer-1 of local is down");
    let seen_from = &page.annotations["seen_from"];
    assert!(seen_from.contains(": down (refused since "), "{page:?}");
    for (name, text) in [
        ("since", " UTC"),
        ("description", "The last good answer came "),
        ("endpoints", "tcp://"),
        ("at_risk", "1 of 2 watched peers of local answer."),
        ("first_step", "convex-peer-monitor probe"),
    ] {
        assert!(page.annotations[name].contains(text), "{name}: {page:?}");
    }
    assert!(page.annotations["runbook_url"].ends_with("/ConvexPeerDown.md"));

    // Prometheus sees the gap. Without keep_firing_for the alert would end here and fire again.
    watch.agent.end().await;
    let scraped = "up{job=\"convex-peer-monitor\"}";
    watch.prometheus.wait_for(scraped, |up| up == 0.0).await;
    watch.agent.begin().await;
    watch.pages.listen(QUIET).await;
    let history = &watch.pages.histories()[DOWN];
    assert!(
        history.fired.len() == 1 && !history.resolved,
        "{:#?}",
        watch.pages.notifications
    );

    network.restart(1).await;
    watch.pages.until("ConvexPeerDown", false).await;
    watch.pages.listen(QUIET).await;
    let history = &watch.pages.histories()[DOWN];
    assert!(
        history.fired.len() == 1 && history.resolved,
        "{:#?}",
        watch.pages.notifications
    );
    watch.all_are_up(2).await;
    watch.pages.notifications.clear();
}

/// A frozen peer accepts connections and does not answer. The page names the timeout.
async fn a_frozen_peer(network: &Network, watch: &mut Watch) {
    network.peers[1].signal("-STOP");
    let page = watch.pages.until("ConvexPeerDown", true).await;
    let seen_from = &page.annotations["seen_from"];
    assert!(seen_from.contains(": down (timeout since "), "{page:?}");
    network.peers[1].signal("-CONT");
    watch.pages.until("ConvexPeerDown", false).await;
    watch.all_are_up(2).await;
    watch.pages.notifications.clear();
}

/// A half-dead peer answers STATUS, but its queries hang. Only that is a page: being down, which
/// follows from it, is not, not even while the peer comes back.
async fn a_half_dead_peer(network: &mut Network, watch: &mut Watch) {
    while !network.half_kill(1, &watch.prometheus).await {
        watch.all_are_up(2).await;
        watch.pages.listen(QUIET).await;
        watch.pages.notifications.clear();
    }
    watch.pages.until("ConvexQueriesHang", true).await;
    let down = "ALERTS{alertname=\"ConvexPeerDown\", alertstate=\"firing\"}";
    watch
        .prometheus
        .wait_for(down, |firing| firing == 1.0)
        .await;
    watch.pages.listen(QUIET).await;

    network.peers[1].end().await;
    network.restart(1).await;
    watch.pages.until("ConvexQueriesHang", false).await;
    watch.all_are_up(2).await;
    watch.pages.listen(QUIET).await;
    let histories = watch.pages.histories();
    // Alertmanager notifies that inhibited alerts of a group are resolved.
    let fired = histories.get(DOWN).map(|history| history.fired.len());
    assert!(
        matches!(fired, None | Some(0)),
        "{:#?}",
        watch.pages.notifications
    );
    assert!(histories[HANGS].resolved && histories[HANGS].fired.len() == 1);
}

#[tokio::test]
async fn a_stall_of_a_whole_network_is_one_page() {
    let pipeline = Pipeline::start().await;
    let network = simulated::network(4, &["stall:all:45s"], Some("1s")).await;
    let config = network.config()
        + "defaults: { interval: 3s, timeout: 2900ms }\n\
           verdicts: { stall_after: 10s, lag_for: 6s }\n";
    let mut watch = pipeline.watch(&config).await;
    watch.all_are_up(4).await;
    watch.pages.until("ConvexConsensusStalled", true).await;
    // Of the alerts that this one inhibits, it has the longest `for`.
    let degraded = "count(ALERTS{alertname=\"ConvexPeerDegraded\", alertstate=\"firing\"})";
    watch.prometheus.wait_for(degraded, |all| all == 4.0).await;
    // Longer than the shortened `group_interval` of tickets.
    watch.pages.listen(Duration::from_secs(15)).await;
    let alerts: Vec<String> = watch.pages.histories().into_keys().collect();
    assert_eq!(
        alerts,
        ["alertname=ConvexConsensusStalled network=simulated severity=critical"]
    );
    let [page] = &watch.pages.notifications[..] else {
        panic!("several notifications: {:#?}", watch.pages.notifications);
    };
    assert_eq!(
        page.group_labels,
        BTreeMap::from([
            ("alertname".to_owned(), "ConvexConsensusStalled".to_owned()),
            ("network".to_owned(), "simulated".to_owned())
        ])
    );
}
