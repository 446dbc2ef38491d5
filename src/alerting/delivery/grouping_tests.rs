//! Tests of which alerts a webhook gets together, when, and which are held back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Endpoint, FailureReason};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::alerting::{MonitorStatus, RuleInput};
use crate::config::{self, Config, Peer, Window};
use crate::failure::Reason;
use crate::fleet::{
    Condition, Evidence, Health, Losable, NetworkVerdict, PeerRecord, Quorum, Rename, Vantages,
    example,
};

use super::queue::Queued;
use super::{MessageContext, Outbox, PersistedOutbox};

/// Peers of the network `n`, an outbox and a clock.
pub(super) struct Fixture {
    pub(super) peers: Vec<PeerRecord>,
    pub(super) verdict: NetworkVerdict,
    pub(super) outbox: Outbox,
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
    /// What other agents say.
    pub(super) vantages: Vantages,
}

impl Fixture {
    /// Peers that are up.
    fn new(peers: usize) -> Self {
        Self::with_webhook(peers, "")
    }

    /// Peers that are up, and these settings of the webhook.
    fn with_webhook(peers: usize, settings: &str) -> Self {
        let url = "http://192.0.2.9";
        let notify = format!("{{ webhooks: [{{ name: ops, url: '{url}'{settings} }}] }}");
        Self::with_notify(peers, &notify)
    }

    /// Peers that are up, and these receivers.
    pub(super) fn with_notify(peers: usize, notify: &str) -> Self {
        let record = |i| {
            let mut peer = Peer::from_endpoint(Endpoint::parse("tcp://192.0.2.1").unwrap());
            peer.name = format!("p{i}");
            "n".clone_into(&mut peer.network);
            let mut record = PeerRecord::new(Arc::new(peer));
            record.health = Health::Up;
            // Suppresses ConvexMonitorMissesPolls and ConvexPeerDegraded: these tests measure
            // nothing.
            record.conditions.insert(Condition::QueryError);
            record
        };
        let text = format!(
            "vantage: v\npeers: [{{ name: p, endpoints: ['tcp://192.0.2.1'] }}]\n\
             notify: {notify}\n"
        );
        let config = config::parse(&text, "c.yml", std::path::Path::new(""), &|_| None).unwrap();
        Self {
            peers: (1..=peers).map(record).collect(),
            // Suppresses ConvexQuorumUnknown.
            verdict: NetworkVerdict {
                quorum: Some(Quorum {
                    ratios: [1.0, 0.0, 0.0, 0.0],
                    margin: 0.33,
                    losable: Losable { worst: 1, best: 1 },
                }),
                ..NetworkVerdict::default()
            },
            outbox: Outbox::default(),
            config,
            now: Instant::now(),
            wall: SystemTime::now(),
            vantages: Vantages::default(),
        }
    }

    /// Evaluates once a second for this long, and delivers. Returns the messages as second, status
    /// and alerts with their peers.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let mut messages = Vec::new();
        for second in 0..=seconds {
            self.evaluate();
            for message in self.deliver() {
                messages.push(format!("{second} {}", summary(&message)));
            }
            self.now += Duration::from_secs(1);
            self.wall += Duration::from_secs(1);
        }
        messages
    }

    pub(super) fn evaluate(&mut self) {
        for record in &mut self.peers {
            example::poll_by_health(record, self.now);
        }
        let peers = self.peers.iter().cloned().map(Arc::new).collect();
        let verdict = self.verdict.clone();
        let mut snapshot = example::snapshot_of((self.now, self.wall), peers, verdict);
        snapshot.vantages = self.vantages.clone();
        let monitor = MonitorStatus {
            reload_successful: true,
            ..MonitorStatus::default()
        };
        let input = RuleInput {
            snapshot: &snapshot,
            monitor: &monitor,
        };
        let context = MessageContext::from_config(&self.config);
        let renames = self.outbox.renames();
        let notify = &self.config.notify;
        self.outbox.evaluate(renames, input, &context, notify);
    }

    /// Takes all messages.
    fn deliver(&self) -> Vec<Value> {
        self.outbox.publish();
        let next = || {
            let message = self.outbox.first("ops").0?;
            self.outbox.remove("ops", message.id());
            Some(serde_json::to_value(message).unwrap())
        };
        std::iter::from_fn(next).collect()
    }

    /// Kills the agent and starts another one from the saved state.
    pub(super) fn restart(&mut self, change: impl FnOnce(&mut Value)) {
        let mut saved = serde_json::to_value(self.outbox.export()).unwrap();
        change(&mut saved);
        let saved: PersistedOutbox = serde_json::from_value(saved).unwrap();
        self.outbox = Outbox::default();
        self.outbox.restore(saved);
    }

    pub(super) fn fail(&mut self, peers: std::ops::RangeInclusive<usize>) {
        for i in peers {
            self.peers[i - 1].health = Health::Down;
        }
    }

    pub(super) fn end(&mut self) {
        for record in &mut self.peers {
            record.health = Health::Up;
        }
    }
}

fn summary(message: &Value) -> String {
    let alerts = message["alerts"].as_array().unwrap();
    let of = |alert: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = &alert["labels"];
        let sign = if alert["status"] == "firing" {
            '+'
        } else {
            '-'
        };
        let name = text(&labels["alertname"]).replace("Convex", "");
        format!("{sign}{name} {}", text(&labels["peer"]))
            .trim()
            .to_owned()
    };
    let alerts: Vec<String> = alerts.iter().map(of).collect();
    format!(
        "{}: {}",
        message["status"].as_str().unwrap(),
        alerts.join(", ")
    )
}

/// Condition of a peer that answers its status but no queries.
const HANGS: Condition = Condition::Failing(Reason::Client(FailureReason::QueryHangs));

#[test]
fn twenty_peers_that_are_down_at_once_are_one_message() {
    let mut fixture = Fixture::new(20);
    fixture.fail(1..=20);
    let messages = fixture.run(600);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].starts_with("75 firing: +PeerDown p1, "),
        "{messages:?}"
    );
    assert_eq!(messages[0].matches("+PeerDown").count(), 20);
    fixture.end();
    let messages = fixture.run(600);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].matches("-PeerDown").count(), 20);
}

#[test]
fn a_half_dead_peer_is_one_message_that_names_the_cause() {
    for (condition, seconds, alert) in [
        (HANGS, 75, "QueriesHang"),
        (
            Condition::Failing(Reason::WrongNetwork),
            75,
            "PeerWrongNetwork",
        ),
        (
            Condition::Failing(Reason::WrongPeer),
            15,
            "PeerIdentityChanged",
        ),
    ] {
        let mut fixture = Fixture::new(3);
        fixture.fail(1..=1);
        fixture.peers[0].conditions.insert(condition);
        let expected = [format!("{seconds} firing: +{alert} p1")];
        assert_eq!(fixture.run(600), expected);
        fixture.peers[0].conditions.remove(&condition);
        fixture.end();
        let expected = [format!("134 resolved: -{alert} p1")];
        assert_eq!(fixture.run(600), expected);
    }
}

#[test]
fn an_alert_that_is_no_longer_held_back_is_sent() {
    let mut fixture = Fixture::new(3);
    fixture.peers[0].conditions.insert(HANGS);
    fixture.peers[0].conditions.insert(Condition::Lagging);
    assert_eq!(fixture.run(300), ["75 firing: +QueriesHang p1"]);
    fixture.peers[0].conditions.remove(&HANGS);
    // In the group: both changes in one message.
    assert_eq!(
        fixture.run(300),
        ["134 firing: +PeerLagging p1, -QueriesHang p1"]
    );
}

#[test]
fn later_alerts_of_a_group_come_with_those_that_still_fire_once_a_minute_at_most() {
    let mut fixture = Fixture::new(4);
    fixture.fail(1..=1);
    assert_eq!(fixture.run(75), ["75 firing: +PeerDown p1"]);
    fixture.fail(2..=2);
    assert_eq!(
        fixture.run(75),
        ["75 firing: +PeerDown p2, +PeerDown p1"],
        "as many seconds after the change"
    );
    fixture.fail(3..=3);
    assert!(fixture.run(50).is_empty());
    fixture.fail(4..=4);
    // The first fires after 10 s and the other after 61.
    assert_eq!(
        fixture.run(130),
        [
            "24 firing: +PeerDown p3, +PeerDown p1, +PeerDown p2",
            "84 firing: +PeerDown p4, +PeerDown p1, +PeerDown p2, +PeerDown p3"
        ]
    );
}

#[test]
fn an_alert_about_a_network_is_sent_at_once_and_apart() {
    let mut fixture = Fixture::new(3);
    fixture.fail(1..=1);
    fixture.verdict.split = Evidence::Proven;
    assert_eq!(
        fixture.run(120),
        ["60 firing: +NetworkSplit", "75 firing: +PeerDown p1"]
    );
}

#[test]
fn what_begins_and_ends_while_it_waits_is_not_sent() {
    let mut fixture = Fixture::new(1);
    fixture.peers[0].conditions.insert(Condition::Lagging);
    // It fires after two minutes.
    assert!(fixture.run(130).is_empty());
    fixture.peers[0].conditions.remove(&Condition::Lagging);
    assert!(fixture.run(100).is_empty());
}

#[test]
fn a_webhook_gets_no_end_that_it_does_not_want_and_each_new_beginning() {
    let mut fixture = Fixture::with_webhook(1, ", send_resolved: false");
    let again = ["135 firing: +PeerLagging p1"];
    for _ in 0..2 {
        fixture.peers[0].conditions.insert(Condition::Lagging);
        assert_eq!(fixture.run(200), again);
        fixture.peers[0].conditions.remove(&Condition::Lagging);
        assert!(fixture.run(400).is_empty());
    }
}

#[test]
fn an_end_that_is_no_recovery_says_why() {
    let mut fixture = Fixture::new(1);
    fixture.fail(1..=1);
    fixture.run(200);
    let peer = Arc::make_mut(&mut fixture.peers[0].peer);
    peer.maintenance = vec![Window {
        from: fixture.wall,
        to: fixture.wall + Duration::from_secs(3600),
        comment: None,
    }];
    for _ in 0..=15 {
        fixture.evaluate();
        fixture.now += Duration::from_secs(1);
    }
    let [message] = &fixture.deliver()[..] else {
        panic!("one message");
    };
    assert_eq!(message["status"], "resolved");
    assert_eq!(
        message["alerts"][0]["annotations"]["ended_by"],
        "maintenance"
    );
}

#[test]
fn a_renamed_peer_ends_and_begins_in_one_message() {
    let mut fixture = Fixture::new(1);
    fixture.fail(1..=1);
    fixture.run(200);
    "q".clone_into(&mut Arc::make_mut(&mut fixture.peers[0].peer).name);
    fixture.outbox.rename_with(|| {
        vec![Rename {
            network: "n".to_owned(),
            from: "p1".to_owned(),
            to: "q".to_owned(),
        }]
    });
    assert_eq!(fixture.run(600), ["15 firing: -PeerDown p1, +PeerDown q"]);
}

#[test]
fn a_restart_neither_repeats_nor_loses_a_message() {
    let mut fixture = Fixture::new(2);
    fixture.fail(1..=1);
    fixture.run(100);
    fixture.restart(|_| {});
    assert!(fixture.run(100).is_empty(), "it was sent");

    // Killed while the second alert waits for others.
    fixture.fail(2..=2);
    assert!(fixture.run(65).is_empty());
    fixture.restart(|_| {});
    assert_eq!(fixture.run(100), ["15 firing: +PeerDown p2, +PeerDown p1"]);

    // Killed while a message is queued.
    fixture.end();
    for _ in 0..=140 {
        fixture.evaluate();
        fixture.now += Duration::from_secs(1);
    }
    let before = fixture.outbox.export();
    fixture.restart(|_| {});
    let messages = fixture.deliver();
    assert_eq!(messages.len(), 1);
    let saved = serde_json::to_value(before).unwrap();
    assert_eq!(saved["queues"]["ops"][0]["id"], messages[0]["id"]);
    assert!(fixture.run(600).is_empty());
}

#[test]
fn the_state_of_an_earlier_version_is_read_and_repeats_nothing() {
    let mut fixture = Fixture::new(1);
    fixture.fail(1..=1);
    fixture.run(100);
    let single = json!({
        "id": "0123456789abcdef", "version": "4", "groupKey": "{}:{fingerprint=\"aa\"}",
        "truncatedAlerts": 0, "status": "firing", "receiver": "ops", "groupLabels": {},
        "commonLabels": { "alertname": "ConvexPeerDown" }, "commonAnnotations": {},
        "externalURL": "http://mon.example/",
        "alerts": [{
            "status": "firing", "labels": { "alertname": "ConvexPeerDown" }, "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://mon.example/", "fingerprint": "aa",
        }],
    });
    fixture.restart(|saved| {
        saved["queues"]["ops"] = json!([single]);
        saved.as_object_mut().unwrap().remove("sent");
    });
    assert_eq!(fixture.deliver(), [single], "as it was");
    assert!(fixture.run(100).is_empty(), "the alert was sent before");
    fixture.end();
    assert_eq!(fixture.run(300), ["134 resolved: -PeerDown p1"]);
}
