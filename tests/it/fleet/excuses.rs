//! Failures that are excused because the monitor itself may have a problem, and for how long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Attempt, ErrorReply, FailureReason, Transport};
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{
    Condition, EndpointObservation, Fleet, Health, Observation, Slot,
};
use convex_peer_monitor::self_check::{Check, CheckResult, Excuse};
use tokio::net::TcpListener;
use tokio::time::{Instant, advance};

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::fleet::{config, fleet};
use crate::support::polls::{self, PollResult};

/// A fleet whose peers the test polls, in paused time: `down_after` is 2, `up_after` is 1.
struct Watch {
    fleet: Fleet,
    slots: Vec<Arc<Slot>>,
}

impl Watch {
    fn of(endpoints: &[&str]) -> Self {
        let peer =
            |(i, urls): (usize, &&str)| format!("  - {{ name: p{i}, endpoints: [{urls}] }}\n");
        let peers: String = endpoints.iter().enumerate().map(peer).collect();
        let text = format!("defaults: {{ up_after: 1 }}\npeers:\n{peers}");
        let fleet = fleet(&text);
        let slots = fleet.slots();
        Self { fleet, slots }
    }

    /// Polls a peer with one endpoint, which fails for `reason` or answers.
    fn poll(&self, peer: usize, reason: Option<Reason>) -> Health {
        self.poll_each(peer, &[reason])
    }

    /// Polls a peer with a result for each endpoint.
    fn poll_each(&self, peer: usize, reasons: &[Option<Reason>]) -> Health {
        let slot = &self.slots[peer];
        let endpoints = &slot.peer().endpoints;
        let probed = endpoints.iter().zip(reasons).map(|(endpoint, reason)| {
            let now = SystemTime::now();
            let (attempt, outcome) = reason.map_or_else(query_error, polls::failed);
            EndpointObservation::new(endpoint.transport(), (now, now), attempt, outcome)
        });
        self.fleet.record(
            slot,
            &Observation {
                asked: Instant::now(),
                endpoints: probed.collect(),
            },
        );
        self.health(peer)
    }

    /// Polls a peer with one endpoint, which answers on its old connection and fails on a new one.
    /// Returns whether that is in force.
    fn fail_to_renew(&self, peer: usize, reason: FailureReason) -> bool {
        let slot = &self.slots[peer];
        let (mut attempt, outcome) = query_error();
        let failure = convex_client::Failure::new(reason, "as scripted");
        attempt.renewal = Some(Err(failure));
        let transport = slot.peer().endpoints[0].transport();
        let poll = polls::of_one(transport, (attempt, outcome));
        self.fleet.record(slot, &poll);
        let record = &self.fleet.snapshot().peers[peer];
        assert_eq!(
            record.last_poll.up(),
            Some(true),
            "the old connection works"
        );
        record.conditions.contains(&Condition::NewConnectionsFail)
    }

    fn poll_all(&self, reason: Option<Reason>) {
        for peer in 0..self.slots.len() {
            self.poll(peer, reason);
        }
    }

    fn find(&self, found: &[(Check, CheckResult)]) {
        self.fleet
            .record_self_checks(found.iter().copied().collect());
    }

    fn health(&self, peer: usize) -> Health {
        let name = &self.slots[peer].peer().name;
        let peers = self.fleet.snapshot().peers;
        let record = peers.iter().find(|record| record.peer.name == *name);
        record.unwrap().health
    }

    fn healths(&self) -> Vec<Health> {
        let peers = self.fleet.snapshot().peers;
        peers.iter().map(|record| record.health).collect()
    }

    /// Returns whether the peer is up, and its numbers of polls and failed polls.
    fn counted(&self, peer: usize) -> (Option<bool>, u64, u64) {
        let record = &self.fleet.snapshot().peers[peer];
        (record.last_poll.up(), record.polls, record.poll_failures)
    }
}

/// A poll that is answered with a query error: the peer is up and degraded.
fn query_error() -> PollResult {
    let error = ErrorReply {
        code: "ANY".to_owned(),
        message: String::new(),
    };
    let attempt = Attempt {
        query: Some(polls::answered(Err(error))),
        ..Attempt::default()
    };
    (attempt, Ok(polls::TOOK))
}

/// Peers on other hosts.
const REMOTE: [&str; 3] = [
    "tcp://192.0.2.1:1",
    "tcp://192.0.2.2:1",
    "tcp://192.0.2.3:1",
];
const TIMEOUT: Option<Reason> = Some(Reason::Client(FailureReason::Timeout));
const DNS: Option<Reason> = Some(Reason::Client(FailureReason::Dns));
const REFUSED: Option<Reason> = Some(Reason::Client(FailureReason::Refused));
const UNREACHABLE: Option<Reason> = Some(Reason::Client(FailureReason::Unreachable));
const INTERVAL: Duration = Duration::from_secs(15);

/// All peers answer one poll and none answers the next two.
async fn silent(endpoints: &[&str]) -> Watch {
    let watch = Watch::of(endpoints);
    for reason in [None, TIMEOUT, TIMEOUT] {
        watch.poll_all(reason);
        advance(INTERVAL).await;
    }
    watch
}

#[tokio::test(start_paused = true)]
async fn peers_that_fail_together_are_unknown_for_a_minute_and_then_down() {
    let watch = silent(&REMOTE).await;
    // The first failure of the last peer, 30 s ago, completed the common outage.
    assert_eq!(watch.healths(), [Health::Unknown; 3]);
    assert_eq!(
        watch.counted(2),
        (None, 1, 0),
        "excused polls are not counted"
    );
    let record = &watch.fleet.snapshot().peers[2];
    assert_eq!(record.excuse, Some(Excuse::CommonOutage));
    let timeout = Condition::Failing(Reason::Client(FailureReason::Timeout));
    assert!(!record.conditions.contains(&timeout));
    assert_eq!(
        record.endpoints[0]
            .tally
            .failed(Reason::Client(FailureReason::Timeout)),
        2,
        "failures of endpoints are"
    );
    advance(Duration::from_secs(29)).await;
    watch.find(&[]);
    assert_eq!(watch.health(2), Health::Unknown);
    advance(Duration::from_secs(1)).await;
    watch.find(&[]);
    assert_eq!(watch.health(2), Health::Down, "even without a further poll");
    advance(INTERVAL).await;
    watch.find(&[]);
    assert_eq!(watch.healths(), [Health::Down; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_short_common_outage_is_never_counted_against_the_peers() {
    let watch = silent(&REMOTE).await;
    watch.poll_all(None);
    assert_eq!(
        watch.healths(),
        [Health::Degraded; 3],
        "all answer, with a query error"
    );
    assert_eq!(
        watch.fleet.snapshot().peers[2].transitions[Health::Down as usize],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_reachable_reference_ends_the_excuse_at_once() {
    let watch = silent(&REMOTE).await;
    watch.find(&[(Check::References, CheckResult::Suspect)]);
    assert_eq!(watch.healths(), [Health::Unknown; 3]);
    watch.find(&[(Check::References, CheckResult::Passed)]);
    assert_eq!(watch.healths(), [Health::Down; 3]);
}

#[tokio::test(start_paused = true)]
async fn peers_go_down_by_their_polls_while_another_peer_answers() {
    let watch = Watch::of(&REMOTE);
    watch.poll_all(None);
    for expected in [Health::Degraded, Health::Down] {
        watch.poll(0, None);
        assert_eq!(watch.poll(1, TIMEOUT), expected);
        watch.poll(2, TIMEOUT);
    }
    assert_eq!(watch.health(2), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn the_last_peer_to_fail_is_not_excused_by_peers_already_down() {
    let watch = Watch::of(&REMOTE);
    watch.poll_all(None);
    for _ in 0..2 {
        watch.poll(0, None);
        watch.poll(1, TIMEOUT);
        watch.poll(2, TIMEOUT);
    }
    watch.poll(0, TIMEOUT);
    assert_eq!(watch.poll(0, TIMEOUT), Health::Down);
    assert_eq!(
        watch.healths(),
        [Health::Down; 3],
        "nor are the others excused again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flapping_peer_delays_the_verdict_of_another_by_at_most_a_minute() {
    let watch = Watch::of(&REMOTE[..2]);
    watch.poll_all(None);
    let mut silent_for = Duration::ZERO;
    while watch.health(0) != Health::Down {
        watch.poll(1, TIMEOUT);
        watch.poll(0, TIMEOUT);
        watch.poll(1, None);
        advance(Duration::from_secs(1)).await;
        silent_for += Duration::from_secs(1);
        watch.find(&[]);
        assert!(
            silent_for <= Duration::from_secs(60),
            "not down after {silent_for:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_problem_of_the_host_excuses_only_affected_peers_while_it_lasts() {
    let watch = Watch::of(&[
        "tcp://peer.example:1",
        "tcp://192.0.2.2:1",
        "tcp://127.0.0.1:1",
        "tcp://127.0.0.2:1",
    ]);
    watch.poll_all(None);
    for _ in 0..40 {
        watch.find(&[(Check::Dns, CheckResult::Failed)]);
        watch.poll(0, DNS);
        watch.poll(1, None);
        advance(INTERVAL).await;
    }
    assert_eq!(
        watch.healths(),
        [
            Health::Unknown,
            Health::Degraded,
            Health::Degraded,
            Health::Degraded
        ]
    );
    assert_eq!(watch.counted(0), (None, 1, 0));
    watch.find(&[(Check::Dns, CheckResult::Passed)]);
    watch.poll(0, DNS);
    assert_eq!(watch.poll(0, DNS), Health::Down);

    for _ in 0..3 {
        watch.find(&[(Check::Route, CheckResult::Failed)]);
        watch.poll(1, UNREACHABLE);
        watch.poll(2, TIMEOUT);
    }
    assert_eq!(watch.health(1), Health::Unknown);
    assert_eq!(watch.health(2), Health::Down, "loopback needs no route");
}

#[tokio::test(start_paused = true)]
async fn an_excused_endpoint_adds_no_condition_to_a_peer_that_answers() {
    let watch = Watch::of(&["http://192.0.2.1:2, tcp://192.0.2.1:1"]);
    let http_fails = [TIMEOUT, None];
    let conditions = || watch.fleet.snapshot().peers[0].conditions.clone();
    let failing = [
        Condition::Failing(Reason::Client(FailureReason::Timeout)),
        Condition::EndpointFailing,
    ];
    let has_both = || failing.iter().all(|it| conditions().contains(it));
    watch.poll_each(0, &[None, None]);
    watch.find(&[(Check::EventLoop, CheckResult::Failed)]);
    for _ in 0..3 {
        watch.poll_each(0, &http_fails);
        assert!(!failing.iter().any(|it| conditions().contains(it)));
    }
    watch.find(&[]);
    watch.poll_each(0, &http_fails);
    assert!(has_both());
    watch.find(&[(Check::EventLoop, CheckResult::Failed)]);
    watch.poll_each(0, &http_fails);
    assert!(has_both(), "earlier conditions stay");
    watch.poll_each(0, &[None, None]);
    watch.poll_each(0, &[REFUSED, None]);
    watch.poll_each(0, &[REFUSED, None]);
    assert!(
        conditions().contains(&Condition::Failing(Reason::Client(FailureReason::Refused))),
        "a busy event loop does not explain a refused connection"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unverified_dns_failure_is_excused_for_a_minute() {
    let watch = Watch::of(&["tcp://peer.example:1"]);
    watch.poll_all(None);
    let mut seconds = 0;
    while watch.poll(0, DNS) != Health::Down {
        advance(Duration::from_secs(5)).await;
        seconds += 5;
        watch.find(&[(Check::Dns, CheckResult::Suspect)]);
        assert!(seconds <= 65, "still excused");
    }
    assert!(seconds >= 60, "down after {seconds} s already");
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_does_not_count_in_a_common_outage() {
    let watch = Watch::of(&REMOTE);
    watch.poll_all(None);
    let two = "defaults: { up_after: 1 }\npeers:\n  - { name: p1, endpoints: ['tcp://192.0.2.2:1'] }\n  - { name: p2, endpoints: ['tcp://192.0.2.3:1'] }\n";
    watch.fleet.apply(&config(two));
    watch.poll(1, TIMEOUT);
    assert_eq!(
        watch.poll(2, TIMEOUT),
        Health::Unknown,
        "both remaining peers are silent"
    );
}

async fn two_peers() -> (FakePeer, FakePeer, String) {
    let (a, b) = (
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
    );
    let text = format!(
        "defaults: {{ interval: 1s, timeout: 900ms }}\npeers:\n  - {{ name: a, endpoints: ['tcp://{}'] }}\n  - {{ name: b, endpoints: ['tcp://{}'] }}\n",
        a.tcp, b.tcp
    );
    (a, b, text)
}

fn health(peer: &str, state: &str) -> String {
    format!("convex_peer_health{{peer=\"{peer}\",network=\"default\",state=\"{state}\"}}")
}

#[tokio::test]
async fn the_agent_reports_peers_that_fail_together_as_unknown_until_they_return() {
    let (a, b, config) = two_peers().await;
    let agent = Agent::start(&config).await;
    for peer in ["a", "b"] {
        agent.wait_for(&health(peer, "up"), |up| up == 1.0).await;
    }
    for peer in [&a, &b] {
        peer.set(|script| script.fault = Fault::Close);
    }
    for peer in ["a", "b"] {
        agent
            .wait_for(&health(peer, "unknown"), |unknown| unknown == 1.0)
            .await;
    }
    assert_eq!(
        agent
            .metric("convex_peer_up{peer=\"b\",network=\"default\"}")
            .await,
        None
    );
    let descriptors = "convex_monitor_self_healthy{check=\"descriptors\"}";
    agent.wait_for(descriptors, |_| true).await;
    assert_eq!(agent.metric(descriptors).await, Some(1.0));
    for peer in [&a, &b] {
        peer.set(|script| script.fault = Fault::None);
    }
    for peer in ["a", "b"] {
        agent.wait_for(&health(peer, "up"), |up| up == 1.0).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_agent_reports_peers_that_fail_together_as_down_if_a_reference_answers() {
    let (a, b, config) = two_peers().await;
    let reference = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reference.local_addr().unwrap();
    let config = format!("self_check: {{ references: ['tcp://{address}'] }}\n{config}");
    let agent = Agent::start(&config).await;
    let answers = "convex_monitor_self_healthy{check=\"references\"}";
    agent.wait_for(answers, |answers| answers == 1.0).await;
    for peer in [&a, &b] {
        peer.set(|script| script.fault = Fault::Close);
    }
    for peer in ["a", "b"] {
        agent
            .wait_for(&health(peer, "down"), |down| down == 1.0)
            .await;
    }
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_replaced_counts_unless_the_agent_may_be_the_cause() {
    for (check, reason) in [
        (Some((Check::Dns, CheckResult::Failed)), FailureReason::Dns),
        (Some((Check::Dns, CheckResult::Suspect)), FailureReason::Dns),
        (None, FailureReason::Local),
    ] {
        let watch = Watch::of(&["tcp://peer.example:1"]);
        watch.find(check.as_slice());
        for _ in 0..3 {
            assert!(!watch.fail_to_renew(0, reason), "{check:?}, {reason}");
        }
        // In force after two in a row, and until a new connection works.
        watch.find(&[(Check::Dns, CheckResult::Passed)]);
        let found = [(); 2].map(|()| watch.fail_to_renew(0, FailureReason::Dns));
        assert_eq!(found, [false, true], "{check:?}, {reason}");
        watch.poll(0, None);
        let still = |watch: &Watch| {
            let record = &watch.fleet.snapshot().peers[0];
            record.conditions.contains(&Condition::NewConnectionsFail)
        };
        assert!(
            still(&watch),
            "an answer on the old connection proves nothing"
        );
        let (mut attempt, outcome) = query_error();
        attempt.phases.connect = Some(polls::TOOK);
        let poll = polls::of_one(Transport::Tcp, (attempt, outcome));
        watch.fleet.record(&watch.slots[0], &poll);
        assert!(!still(&watch));
    }
}
