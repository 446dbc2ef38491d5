//! Alerts over made-up snapshots: when they begin, what holds them, when they are over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Endpoint, FailureReason};
use tokio::time::Instant;

use crate::config::{Peer, Role, Severity, Window};
use crate::failure::Reason;
use crate::fleet::{
    Condition, Health, NetworkSnapshot, NetworkVerdict, OrderState, PeerRecord, Snapshot,
};
use crate::self_check::{Check, CheckResult, Checks};

use super::{Alert, MonitorFacts, RULES, Seen, Subject, Watch, of_condition};

/// A fleet of one peer, and a clock.
struct Scene {
    record: PeerRecord,
    others: Vec<Arc<PeerRecord>>,
    verdict: NetworkVerdict,
    checks: Checks,
    monitor: MonitorFacts,
    now: Instant,
    wall: SystemTime,
    watch: Watch,
}

impl Scene {
    fn new() -> Self {
        let mut peer = Peer::at(Endpoint::parse("tcp://peer.example").unwrap());
        "p".clone_into(&mut peer.name);
        "n".clone_into(&mut peer.network);
        let mut record = PeerRecord::new(Arc::new(peer));
        record.health = Health::Up;
        // Not what most tests are about: nothing is measured, which is stale in the end.
        record.conditions.insert(Condition::QueryError);
        Self {
            record,
            others: Vec::new(),
            verdict: NetworkVerdict::default(),
            checks: Checks::default(),
            monitor: MonitorFacts {
                reload_successful: true,
                ..MonitorFacts::default()
            },
            now: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            watch: Watch::default(),
        }
    }

    fn down() -> Self {
        let mut scene = Self::new();
        scene.record.health = Health::Down;
        scene
    }

    fn peer(&mut self) -> &mut Peer {
        Arc::make_mut(&mut self.record.peer)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            wall: self.wall,
            now: self.now,
            peers: vec![Arc::new(self.record.clone())],
            others: self.others.clone(),
            networks: vec![NetworkSnapshot {
                name: "n".to_owned(),
                verdict: self.verdict.clone(),
                ..NetworkSnapshot::default()
            }],
            checks: self.checks.clone(),
        }
    }

    fn look(&mut self) -> Vec<Alert> {
        let snapshot = self.snapshot();
        let seen = Seen {
            snapshot: &snapshot,
            monitor: &self.monitor,
        };
        self.watch.look(seen, "v")
    }

    /// Looks once a second for so long: what began (`+name`) and ended (`-name`), with the second.
    fn pass(&mut self, seconds: u64) -> Vec<String> {
        let mut told = Vec::new();
        for second in 0..=seconds {
            for alert in self.look() {
                let sign = if alert.ends.is_some() { '-' } else { '+' };
                told.push(format!("{second} {sign}{}", alert.rule.name));
            }
            self.now += Duration::from_secs(1);
            self.wall += Duration::from_secs(1);
        }
        told
    }

    /// What goes on now, in words.
    fn firing(&self) -> BTreeSet<&'static str> {
        let told = self.watch.told().into_iter();
        told.filter(|alert| alert.ends.is_none())
            .map(|alert| alert.rule.name)
            .collect()
    }

    /// The agent ends, and another one begins `after`.
    fn restart(&mut self, after: Duration) {
        let remembered = self.watch.remembered();
        let text = serde_json::to_string(&remembered).unwrap();
        self.wall += after;
        self.watch = Watch::recalled(serde_json::from_str(&text).unwrap(), self.now, self.wall);
    }
}

#[test]
fn an_alert_waits_for_its_time_and_a_critical_one_goes_on_for_two_minutes() {
    let mut scene = Scene::down();
    assert_eq!(scene.pass(61), ["60 +ConvexPeerDown"]);
    scene.record.health = Health::Up;
    assert_eq!(
        scene.pass(121),
        ["119 -ConvexPeerDown"],
        "the last cause was a look ago"
    );
}

#[test]
fn a_cause_that_ends_before_its_time_is_no_alert() {
    let mut scene = Scene::down();
    assert!(scene.pass(58).is_empty());
    scene.record.health = Health::Up;
    assert!(scene.pass(5).is_empty());
    scene.record.health = Health::Down;
    assert!(scene.pass(58).is_empty(), "it begins anew");
}

#[test]
fn what_is_not_urgent_is_over_at_once() {
    let mut scene = Scene::new();
    scene.record.conditions.insert(Condition::Flapping);
    assert_eq!(scene.pass(3), ["0 +ConvexPeerFlapping"]);
    scene.record.conditions.remove(&Condition::Flapping);
    assert_eq!(scene.pass(3), ["0 -ConvexPeerFlapping"]);
}

#[test]
fn what_is_over_is_told_for_a_while_and_may_begin_anew() {
    let mut scene = Scene::new();
    let flapping = |scene: &mut Scene| scene.record.conditions.insert(Condition::Flapping);
    flapping(&mut scene);
    scene.pass(1);
    let first = scene.watch.told()[0].starts;
    scene.record.conditions.clear();
    scene.record.conditions.insert(Condition::QueryError);
    scene.pass(290);
    assert!(scene.watch.told()[0].ends.is_some());
    flapping(&mut scene);
    scene.pass(1);
    let again = &scene.watch.told()[0];
    assert!(again.ends.is_none() && again.starts > first);
    scene.record.conditions.remove(&Condition::Flapping);
    scene.pass(302);
    assert!(scene.watch.told().is_empty());
}

#[test]
fn what_explains_an_outage_is_not_over_before_it() {
    let mut scene = Scene::down();
    let hangs = Condition::Failing(Reason::Client(FailureReason::QueryHangs));
    scene.record.conditions.insert(hangs);
    assert_eq!(
        scene.pass(60),
        ["60 +ConvexPeerDown", "60 +ConvexQueriesHang"]
    );
    scene.record.conditions.remove(&hangs);
    scene.pass(10);
    scene.record.health = Health::Up;
    assert_eq!(
        scene.pass(130),
        ["119 -ConvexPeerDown", "119 -ConvexQueriesHang"]
    );
}

#[test]
fn the_alerts_of_a_peer_that_is_watched_no_longer_end() {
    let mut scene = Scene::down();
    scene.record.conditions.insert(Condition::Flapping);
    scene.pass(60);
    "another".clone_into(&mut scene.peer().name);
    scene.record.health = Health::Up;
    scene.record.conditions = [Condition::QueryError].into();
    let told = scene.pass(130);
    assert_eq!(told, ["0 -ConvexPeerFlapping", "119 -ConvexPeerDown"]);
}

#[test]
fn nobody_is_paged_for_a_reference_or_for_planned_work() {
    let mut reference = Scene::down();
    reference.peer().role = Role::Reference;
    assert!(reference.pass(100).is_empty());

    let mut planned = Scene::down();
    let (from, to) = (planned.wall, planned.wall + Duration::from_secs(100));
    planned.peer().maintenance = vec![Window {
        from,
        to,
        comment: None,
    }];
    assert_eq!(
        planned.pass(161),
        ["160 +ConvexPeerDown"],
        "from its end on"
    );
}

#[test]
fn trouble_of_the_agents_own_holds_what_it_could_explain() {
    let mut scene = Scene::down();
    scene.pass(30);
    scene.checks = [(Check::Dns, CheckResult::Failed)].into_iter().collect();
    let told = scene.pass(400);
    assert_eq!(
        told,
        ["300 +ConvexMonitorUnhealthy"],
        "the agent's own is told"
    );
    scene.checks = Checks::default();
    assert_eq!(
        scene.pass(60),
        ["0 -ConvexMonitorUnhealthy", "29 +ConvexPeerDown"],
        "the time before counts, what was not seen does not"
    );

    // What fires goes on, whatever is seen meanwhile.
    scene.checks = [(Check::Dns, CheckResult::Failed)].into_iter().collect();
    scene.record.health = Health::Unknown;
    scene.pass(200);
    assert!(scene.firing().contains("ConvexPeerDown"));
}

#[test]
fn trouble_that_is_not_on_the_way_to_a_peer_holds_nothing() {
    let mut scene = Scene::down();
    scene.peer().endpoints = vec![Endpoint::parse("tcp://192.0.2.1").unwrap()];
    scene.checks = [(Check::Dns, CheckResult::Failed)].into_iter().collect();
    assert_eq!(
        scene.pass(60),
        ["60 +ConvexPeerDown"],
        "an address needs no DNS"
    );

    let mut suspicion = Scene::down();
    suspicion.checks = [(Check::References, CheckResult::Suspect)]
        .into_iter()
        .collect();
    assert_eq!(
        suspicion.pass(60),
        ["60 +ConvexPeerDown"],
        "the reference may be gone itself"
    );
}

#[test]
fn an_agent_that_cannot_see_a_network_says_so_even_when_it_knows_why() {
    let mut scene = Scene::new();
    scene.record.health = Health::Unknown;
    scene.checks = [(Check::Route, CheckResult::Failed)].into_iter().collect();
    let told = scene.pass(300);
    assert_eq!(
        told,
        ["300 +ConvexMonitoringBlind", "300 +ConvexMonitorUnhealthy"]
    );
}

#[test]
fn a_restart_ends_nothing_and_begins_nothing_anew() {
    let mut scene = Scene::down();
    scene.pass(30);
    scene.restart(Duration::from_secs(20));
    assert_eq!(
        scene.pass(20),
        ["9 +ConvexPeerDown"],
        "the time before counts"
    );
    let first = scene.watch.told()[0].clone();

    scene.restart(Duration::from_secs(600));
    scene.record.health = Health::Unknown;
    assert!(
        scene.pass(100).is_empty(),
        "a peer that was not polled yet is not up"
    );
    scene.record.health = Health::Down;
    assert!(scene.pass(10).is_empty());
    assert_eq!(scene.watch.told()[0].starts, first.starts);
}

#[test]
fn what_was_not_urgent_before_a_restart_gets_the_time_to_be_seen_again() {
    let mut scene = Scene::new();
    scene.record.conditions.insert(Condition::Flapping);
    scene.pass(1);
    scene.restart(Duration::from_secs(5));
    scene.record.conditions.remove(&Condition::Flapping);
    assert_eq!(scene.pass(130), ["120 -ConvexPeerFlapping"]);
}

#[test]
fn an_alert_says_what_it_is_about_and_nothing_else() {
    let mut scene = Scene::down();
    scene.verdict.order = OrderState::Stalled;
    scene.monitor.reload_successful = false;
    scene.pass(301);
    let told = scene.watch.told();
    let of = |name: &str| told.iter().find(|alert| alert.rule.name == name).unwrap();
    let labels = |name: &str| of(name).subject.labels("v").into_iter().collect::<Vec<_>>();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        labels("ConvexPeerDown"),
        [pair("network", "n"), pair("peer", "p")]
    );
    assert_eq!(labels("ConvexConsensusStalled"), [pair("network", "n")]);
    assert_eq!(labels("ConvexConfigReloadFailed"), [pair("vantage", "v")]);
    assert_eq!(
        of("ConvexPeerDown").description,
        "p of n is down. Conditions in force: query_error."
    );
    assert_eq!(of("ConvexConfigReloadFailed").subject, Subject::Monitor);
}

/// Alerts that a peer has when nothing but `condition` is in force against it, however long.
fn raised_by(condition: Condition) -> BTreeSet<&'static str> {
    let mut scene = Scene::new();
    scene.record.health = Health::Degraded;
    scene.record.conditions = [condition].into();
    scene.pass(3601);
    let mut firing = scene.firing();
    // Nothing is measured of the peers of these tests.
    firing.remove("ConvexProbeDataStale");
    firing
}

#[test]
fn every_condition_raises_the_alert_that_tells_of_it() {
    let all = Reason::ALL.iter().map(|reason| Condition::Failing(*reason));
    let others = Condition::BESIDES_REASONS
        .iter()
        .map(|(condition, _)| *condition);
    for condition in all.chain(others) {
        let mut expected = BTreeSet::from([of_condition(condition)]);
        if matches!(condition, Condition::Failing(_)) {
            // It stops an endpoint as well.
            expected.insert("ConvexPeerDegraded");
        }
        assert_eq!(raised_by(condition), expected, "{condition:?}");
    }
}

#[test]
fn silence_costs_no_weight_on_a_network_that_has_long_been_idle() {
    let mut scene = Scene::new();
    scene.record.conditions = [Condition::WeightDecayed].into();
    scene.verdict.order = OrderState::Idle;
    scene.verdict.finality_advanced = Some(scene.wall);
    assert!(
        scene
            .pass(590)
            .contains(&"300 +ConvexWeightDecayed".to_owned())
    );
    assert!(
        scene
            .pass(20)
            .iter()
            .any(|told| told.ends_with("-ConvexWeightDecayed"))
    );
}

#[test]
fn only_what_wakes_somebody_goes_on_without_cause() {
    for rule in &RULES {
        let expected = if rule.severity == Severity::Critical {
            120
        } else {
            0
        };
        assert_eq!(rule.keep(), Duration::from_secs(expected), "{}", rule.name);
    }
}

#[test]
fn of_several_shards_each_tells_of_its_own_peers_and_one_of_the_network() {
    let mut told = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let mut scene = Scene::down();
        scene.verdict.split = true;
        scene.monitor.shard = shard.parse().unwrap();
        told.extend(scene.pass(61));
    }
    told.sort();
    assert_eq!(
        told,
        [
            "60 +ConvexNetworkSplit",
            "60 +ConvexPeerDown",
            "60 +ConvexPeerDown",
            "60 +ConvexPeerDown"
        ],
        "here each shard has the peer, which in a fleet one has"
    );
}

#[test]
fn of_a_peer_of_another_shard_only_the_network_is_told() {
    let mut scene = Scene::down();
    scene.verdict.split = true;
    scene.others = vec![Arc::new(scene.record.clone())];
    let reference = |peer: &mut Peer| peer.role = Role::Reference;
    reference(scene.peer());
    assert_eq!(scene.pass(61), ["60 +ConvexNetworkSplit"]);
}
