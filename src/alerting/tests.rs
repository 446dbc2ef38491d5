//! Tests of alerts over synthetic snapshots: when they fire, freeze and resolve.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Endpoint, FailureReason};
use tokio::time::Instant;

use crate::config::{Peer, Role, Severity, Window};
use crate::failure::{Failure, Reason};
use crate::fleet::{
    ClockDispute, Condition, Evidence, Health, LastPoll, Losable, NetworkReset, NetworkVerdict,
    Opinion, OrderState, OtherVantage, PeerRecord, PendingUpgrade, ProtocolVerdict, Quorum,
    ReceivedOpinion, Rename, ServiceLevel, Snapshot, Vantages, example,
};
use crate::self_check::{Check, CheckResult, Checks};

mod burn;
mod doubt;
mod renames;
mod restarts;
mod upgrades;
mod vantages;

use super::{
    Alert, AlertSubject, AlertTracker, EndedBy, MonitorStatus, RULES, RuleInput,
    alert_for_condition,
};

/// A fleet of one peer, an alert tracker and a clock.
struct Fixture {
    record: PeerRecord,
    others: Vec<Arc<PeerRecord>>,
    verdict: NetworkVerdict,
    checks: Checks,
    clock_dispute: Option<ClockDispute>,
    /// Whether the peer is polled.
    polled: bool,
    /// What was seen of the peer's service.
    service: Option<ServiceLevel>,
    /// What other agents say at each moment.
    opinions: Vec<Opinion>,
    monitor: MonitorStatus,
    now: Instant,
    wall: SystemTime,
    tracker: AlertTracker,
}

impl Fixture {
    fn new() -> Self {
        let mut peer = Peer::from_endpoint(Endpoint::parse("tcp://peer.example").unwrap());
        "p".clone_into(&mut peer.name);
        "n".clone_into(&mut peer.network);
        let mut record = PeerRecord::new(Arc::new(peer));
        record.health = Health::Up;
        // Suppresses ConvexMonitorMissesPolls: these tests measure nothing.
        record.conditions.insert(Condition::QueryError);
        Self {
            record,
            others: Vec::new(),
            // Suppresses ConvexQuorumUnknown.
            verdict: NetworkVerdict {
                quorum: Some(Quorum {
                    ratios: [1.0, 0.0, 0.0, 0.0],
                    margin: 0.33,
                    losable: Losable { worst: 1, best: 1 },
                }),
                ..NetworkVerdict::default()
            },
            checks: Checks::default(),
            clock_dispute: None,
            polled: true,
            service: None,
            opinions: Vec::new(),
            monitor: MonitorStatus {
                reload_successful: true,
                ..MonitorStatus::default()
            },
            now: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            tracker: AlertTracker::default(),
        }
    }

    fn down() -> Self {
        let mut fixture = Self::new();
        fixture.record.health = Health::Down;
        fixture
    }

    /// A peer that is down because its endpoint fails for `reason`.
    fn failing(reason: Reason) -> Self {
        let mut fixture = Self::down();
        fixture.record.endpoints[0].last_failure = Some(Failure::new(reason, "as scripted"));
        fixture
    }

    /// Lets these checks fail.
    fn fail(&mut self, checks: &[Check]) {
        let failed = checks.iter().map(|check| (*check, CheckResult::Failed));
        self.checks = failed.collect();
    }

    fn peer(&mut self) -> &mut Peer {
        Arc::make_mut(&mut self.record.peer)
    }

    fn snapshot(&self) -> Snapshot {
        let peers = vec![Arc::new(self.record.clone())];
        let verdict = self.verdict.clone();
        let others = self.opinions.iter().map(|opinion| OtherVantage {
            name: opinion.vantage.clone(),
            opinion: Some(Arc::new(ReceivedOpinion::new(opinion.clone(), self.now))),
            last_asked: Some(self.now),
        });
        let mut snapshot = Snapshot {
            others: self.others.clone(),
            checks: self.checks.clone(),
            clock_dispute: self.clock_dispute,
            vantages: Vantages {
                others: others.collect(),
                ..Vantages::default()
            },
            ..example::snapshot_of((self.now, self.wall), peers, verdict)
        };
        let services = &mut snapshot.networks[0].services;
        services.extend(self.service.map(|level| ("default".to_owned(), level)));
        snapshot
    }

    fn evaluate(&mut self) -> Vec<Alert> {
        if self.polled {
            example::poll_by_health(&mut self.record, self.now);
        }
        let snapshot = self.snapshot();
        let input = RuleInput {
            snapshot: &snapshot,
            monitor: &self.monitor,
        };
        self.tracker.evaluate(input, "v")
    }

    /// Evaluates once a second for this long. Returns the alerts that started to fire (`+name`) and
    /// were resolved (`-name`), each with the second.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let mut transitions = Vec::new();
        for second in 0..=seconds {
            for alert in self.evaluate() {
                let sign = if alert.ends_at.is_some() { '-' } else { '+' };
                transitions.push(format!("{second} {sign}{}", alert.rule.name));
            }
            self.now += Duration::from_secs(1);
            self.wall += Duration::from_secs(1);
        }
        transitions
    }

    /// Returns the names of the firing alerts.
    fn firing(&self) -> BTreeSet<&'static str> {
        let alerts = self.tracker.alerts();
        alerts
            .filter(|alert| alert.ends_at.is_none())
            .map(|alert| alert.rule.name)
            .collect()
    }

    /// Stops the agent and starts another one `after` this time.
    fn restart(&mut self, after: Duration) {
        let json = serde_json::to_string(&self.tracker.export()).unwrap();
        self.wall += after;
        let persisted = serde_json::from_str(&json).unwrap();
        self.tracker = AlertTracker::restore(persisted, self.now, self.wall);
    }

    /// Returns the alerts that are firing or recently ended.
    fn alerts(&self) -> Vec<Alert> {
        self.tracker.alerts().cloned().collect()
    }
}

#[test]
fn an_alert_fires_after_its_hold_duration_and_a_critical_one_keeps_firing() {
    let mut fixture = Fixture::down();
    assert_eq!(fixture.run(61), ["60 +ConvexPeerDown"]);
    fixture.record.health = Health::Up;
    assert_eq!(
        fixture.run(121),
        ["119 -ConvexPeerDown"],
        "the last cause was one evaluation ago"
    );
}

#[test]
fn a_cause_shorter_than_the_hold_duration_raises_no_alert() {
    let mut fixture = Fixture::down();
    assert!(fixture.run(58).is_empty());
    fixture.record.health = Health::Up;
    assert!(fixture.run(5).is_empty());
    fixture.record.health = Health::Down;
    assert!(fixture.run(58).is_empty(), "the hold duration starts again");
}

#[test]
fn a_warning_resolves_immediately() {
    let mut fixture = Fixture::new();
    fixture.verdict.nothing_compared = true;
    assert_eq!(fixture.run(3), ["0 +ConvexNothingCompared"]);
    fixture.verdict.nothing_compared = false;
    assert_eq!(fixture.run(3), ["0 -ConvexNothingCompared"]);
}

#[test]
fn a_resolved_alert_is_reported_for_a_while_and_may_fire_again() {
    let mut fixture = Fixture::new();
    fixture.verdict.nothing_compared = true;
    fixture.run(1);
    let first = fixture.alerts()[0].starts_at;
    fixture.verdict.nothing_compared = false;
    fixture.run(290);
    assert!(fixture.alerts()[0].ends_at.is_some());
    fixture.verdict.nothing_compared = true;
    fixture.run(1);
    let again = &fixture.alerts()[0];
    assert!(again.ends_at.is_none() && again.starts_at > first);
    fixture.verdict.nothing_compared = false;
    fixture.run(302);
    assert!(fixture.alerts().is_empty());
}

#[test]
fn an_alert_that_explains_an_outage_does_not_resolve_before_it() {
    let mut fixture = Fixture::down();
    let hangs = Condition::Failing(Reason::Client(FailureReason::QueryHangs));
    fixture.record.conditions.insert(hangs);
    assert_eq!(
        fixture.run(60),
        ["60 +ConvexPeerDown", "60 +ConvexQueriesHang"]
    );
    fixture.record.conditions.remove(&hangs);
    fixture.run(10);
    fixture.record.health = Health::Up;
    assert_eq!(
        fixture.run(130),
        ["119 -ConvexPeerDown", "119 -ConvexQueriesHang"]
    );
}

#[test]
fn no_alert_ends_without_a_good_poll_since_it_began() {
    /// What happens instead of a poll that shows the end.
    type Change = fn(&mut Fixture);
    let unknown: Change = |fixture| fixture.record.health = Health::Unknown;
    let unpolled: Change = |fixture| {
        fixture.polled = false;
        fixture.record.health = Health::Up;
        fixture.record.last_poll = LastPoll::Good;
    };
    let failing: Change = |fixture| {
        fixture.polled = false;
        fixture.record.health = Health::Up;
    };
    for (name, change) in [
        ("unknown", unknown),
        ("unpolled", unpolled),
        ("failing", failing),
    ] {
        let mut fixture = Fixture::down();
        fixture.verdict.order = OrderState::Stalled;
        fixture.record.conditions.insert(Condition::Forked);
        fixture.run(60);
        fixture.verdict.order = OrderState::Advancing;
        fixture.record.conditions.remove(&Condition::Forked);
        change(&mut fixture);
        fixture.run(3600);
        let mut firing = fixture.firing();
        firing.remove("ConvexMonitoringBlind");
        let expected = [
            "ConvexConsensusStalled",
            "ConvexPeerDown",
            "ConvexPeerForked",
        ];
        assert_eq!(firing, BTreeSet::from(expected), "{name}");
        fixture.polled = true;
        fixture.record.health = Health::Up;
        fixture.run(121);
        assert_eq!(fixture.firing(), BTreeSet::new(), "{name}");
    }
}

#[test]
fn an_alert_of_a_network_ends_only_once_its_verdict_says_so() {
    type Change = fn(&mut NetworkVerdict);
    let stalled: Change = |it| it.order = OrderState::Stalled;
    let receding: Change = |it| it.order = OrderState::Receding;
    let at_risk: Change = |it| {
        let quorum = it.quorum.as_mut().unwrap();
        (quorum.margin, quorum.losable.best) = (0.1, 0);
    };
    let unknown: Change = |it| (it.order, it.quorum) = (OrderState::Unknown, None);
    let well: Change = |it| {
        *it = Fixture::new().verdict;
        it.order = OrderState::Idle;
    };
    for (change, alert) in [
        (stalled, "ConvexConsensusStalled"),
        (receding, "ConvexFinalityReceding"),
        (at_risk, "ConvexQuorumAtRisk"),
    ] {
        let mut fixture = Fixture::new();
        change(&mut fixture.verdict);
        fixture.run(120);
        unknown(&mut fixture.verdict);
        fixture.run(500);
        assert!(fixture.firing().contains(alert), "{alert}");
        well(&mut fixture.verdict);
        fixture.run(121);
        assert_eq!(fixture.firing(), BTreeSet::new(), "{alert}");
    }
}

#[test]
fn a_disputed_clock_is_one_alert_about_the_agent() {
    let mut fixture = Fixture::new();
    fixture.clock_dispute = Some(ClockDispute {
        offset: 20.0,
        is_own_wrong: true,
    });
    assert_eq!(fixture.run(300), ["300 +ConvexMonitorClockWrong"]);
    let description = &fixture.alerts()[0].description;
    assert!(
        description.contains("clock of this host is 20.0 s ahead of those of most peers"),
        "{description}"
    );
    fixture.clock_dispute = None;
    assert_eq!(fixture.run(1), ["0 -ConvexMonitorClockWrong"]);
}

#[test]
fn an_agent_that_cannot_observe_a_network_alerts_even_if_it_knows_why() {
    let mut fixture = Fixture::new();
    fixture.record.health = Health::Unknown;
    fixture.checks = [(Check::Route, CheckResult::Failed)].into_iter().collect();
    let transitions = fixture.run(300);
    assert_eq!(
        transitions,
        ["300 +ConvexMonitoringBlind", "300 +ConvexMonitorUnhealthy"]
    );
}

#[test]
fn own_peers_that_are_all_unknown_alert_unless_nothing_at_all_is_known() {
    let other = |fixture: &Fixture, role, health| {
        let mut record = fixture.record.clone();
        Arc::make_mut(&mut record.peer).role = role;
        record.health = health;
        vec![Arc::new(record)]
    };
    let own_peers = "300 +ConvexOwnPeersUnknown";
    for (role, health, expected) in [
        (Role::Reference, Health::Up, Some(own_peers)),
        (Role::Reference, Health::Down, Some(own_peers)),
        (
            Role::Reference,
            Health::Unknown,
            Some("300 +ConvexMonitoringBlind"),
        ),
        (Role::Own, Health::Up, None),
    ] {
        let mut fixture = Fixture::new();
        fixture.record.health = Health::Unknown;
        fixture.others = other(&fixture, role, health);
        let fired = fixture.run(300);
        assert_eq!(fired, Vec::from_iter(expected), "{role:?} {health:?}");
    }
}

#[test]
fn a_reset_network_alerts_at_once() {
    let mut fixture = Fixture::new();
    fixture.verdict.reset = Some(NetworkReset {
        expected: Hash::new([1; 32]),
        pinned: true,
        shown: Hash::new([2; 32]),
        peers: 2,
        since: fixture.now,
    });
    assert_eq!(fixture.run(0), ["0 +ConvexNetworkReset"]);
}

#[test]
fn an_alert_has_the_labels_of_its_subject_and_no_others() {
    let mut fixture = Fixture::down();
    fixture.verdict.order = OrderState::Stalled;
    fixture.monitor.reload_successful = false;
    fixture.run(301);
    let alerts = fixture.alerts();
    let alert = |name: &str| alerts.iter().find(|alert| alert.rule.name == name).unwrap();
    let labels = |name: &str| {
        alert(name)
            .subject
            .labels("v")
            .into_iter()
            .collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        labels("ConvexPeerDown"),
        [pair("network", "n"), pair("peer", "p")]
    );
    assert_eq!(labels("ConvexConsensusStalled"), [pair("network", "n")]);
    assert_eq!(labels("ConvexConfigReloadFailed"), [pair("vantage", "v")]);
    assert_eq!(
        alert("ConvexPeerDown").description,
        "Since 1970-01-12 13:46:40 UTC, for 1m. Health: down; active conditions: query_error. \
         tcp://peer.example was not polled yet. Seen from v. Watched peers of n: 0 up, \
         0 degraded, 1 down, 0 unknown. The network can lose 1 more of its heaviest peers (quorum \
         margin 33.0 %). First: Run 'convex-peer-monitor probe' with its endpoints on another host. \
         If it does not answer there either, check on its host that the process runs and was not \
         killed for lack of memory."
    );
    assert_eq!(
        alert("ConvexConfigReloadFailed").subject,
        AlertSubject::Monitor
    );
}

/// Returns the alerts of a peer whose only condition is `condition`, after an hour.
fn raised_by(condition: Condition) -> BTreeSet<&'static str> {
    let mut fixture = Fixture::new();
    fixture.record.health = Health::Degraded;
    fixture.record.conditions = [condition].into();
    fixture.run(3601);
    let mut firing = fixture.firing();
    // These tests measure nothing.
    firing.remove("ConvexMonitorMissesPolls");
    firing
}

#[test]
fn every_condition_raises_the_alert_that_reports_it() {
    let all = Reason::ALL.iter().map(|reason| Condition::Failing(*reason));
    let others = Condition::BESIDES_REASONS
        .iter()
        .map(|(condition, _)| *condition);
    for condition in all.chain(others) {
        let mut expected = BTreeSet::from([alert_for_condition(condition)]);
        if matches!(condition, Condition::Failing(_)) {
            // The endpoint fails as well.
            expected.insert("ConvexPeerDegraded");
        }
        assert_eq!(raised_by(condition), expected, "{condition:?}");
    }
}

#[test]
fn a_peer_that_flaps_between_down_and_degraded_is_degraded_all_the_time() {
    let mut fixture = Fixture::new();
    fixture.record.conditions.insert(Condition::Flapping);
    let mut transitions = Vec::new();
    for health in [Health::Degraded, Health::Down].iter().cycle().take(20) {
        fixture.record.health = *health;
        transitions.extend(fixture.run(29));
    }
    assert_eq!(transitions, ["0 +ConvexPeerDegraded"]);
}

#[test]
fn a_peer_that_answers_without_a_measurement_is_trouble_of_the_agent() {
    let mut fixture = Fixture::new();
    fixture.record.conditions.clear();
    assert_eq!(fixture.run(600), ["600 +ConvexMonitorMissesPolls"]);
    fixture.record.health = Health::Down;
    let transitions = fixture.run(0);
    assert_eq!(transitions, ["0 -ConvexMonitorMissesPolls"]);
}

#[test]
fn weight_that_is_down_in_maintenance_puts_no_quorum_at_risk() {
    // Of four equal peers.
    const WEIGHT: f64 = 0.25;
    for (in_maintenance, more, expected) in [
        (false, 0.0, true),
        (true, 0.0, false),
        // Another peer is down as well, and not in maintenance.
        (true, WEIGHT, true),
    ] {
        let mut fixture = Fixture::down();
        let (from, to) = (fixture.wall, fixture.wall + Duration::from_secs(3600));
        let window = Window {
            from,
            to,
            comment: None,
        };
        fixture.peer().maintenance = Vec::from_iter(in_maintenance.then_some(window));
        fixture.record.stake = Some(example::stake(i64::MAX, 0, Some(WEIGHT)));
        let down = WEIGHT + more;
        fixture.verdict.quorum = Some(Quorum {
            ratios: [1.0 - down, 0.0, down, 0.0],
            margin: 0.33 - down,
            losable: Losable { worst: 0, best: 0 },
        });
        fixture.run(120);
        let fires = fixture.firing().contains("ConvexQuorumAtRisk");
        assert_eq!(fires, expected, "{in_maintenance}, {more}");
    }
}

#[test]
fn a_decayed_weight_is_no_alert_on_a_network_that_has_long_been_idle() {
    let mut fixture = Fixture::new();
    fixture.record.conditions = [Condition::WeightDecayed].into();
    fixture.verdict.order = OrderState::Idle;
    fixture.verdict.finality_advanced = Some(fixture.wall);
    assert!(
        fixture
            .run(590)
            .contains(&"300 +ConvexWeightDecayed".to_owned())
    );
    assert!(
        fixture
            .run(20)
            .iter()
            .any(|transition| transition.ends_with("-ConvexWeightDecayed"))
    );
}

#[test]
fn only_critical_alerts_keep_firing_without_a_cause() {
    for rule in &RULES {
        let expected = if rule.severity == Severity::Critical {
            120
        } else {
            0
        };
        assert_eq!(
            rule.keep_firing_for(),
            Duration::from_secs(expected),
            "{}",
            rule.name
        );
    }
}

#[test]
fn each_shard_alerts_on_its_own_peers_and_only_one_on_the_network() {
    let mut transitions = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let mut fixture = Fixture::down();
        fixture.verdict.split = Evidence::Proven;
        fixture.monitor.shard = shard.parse().unwrap();
        transitions.extend(fixture.run(61));
    }
    transitions.sort();
    assert_eq!(
        transitions,
        [
            "60 +ConvexNetworkSplit",
            "60 +ConvexPeerDown",
            "60 +ConvexPeerDown",
            "60 +ConvexPeerDown"
        ],
        "in this test each shard has the peer; in a fleet only one would"
    );
}

#[test]
fn a_peer_of_another_shard_counts_only_for_the_network() {
    let mut fixture = Fixture::down();
    fixture.verdict.split = Evidence::Proven;
    fixture.others = vec![Arc::new(fixture.record.clone())];
    let reference = |peer: &mut Peer| peer.role = Role::Reference;
    reference(fixture.peer());
    assert_eq!(fixture.run(61), ["60 +ConvexNetworkSplit"]);
}
