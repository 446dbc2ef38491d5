//! Whose trouble it is when polls fail: what becomes of the peers while the agent doubts itself, and for how long.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::{Attempt, ErrorReply, FailureReason, Timed};
use convex_peer_monitor::config;
use convex_peer_monitor::failure::{Failure, Reason};
use convex_peer_monitor::fleet::{Condition, Fleet, Health, Slot};
use convex_peer_monitor::fleet::{Observation, Probed};
use convex_peer_monitor::self_check::{Check, Excuse, Finding};
use tokio::net::TcpListener;
use tokio::time::advance;

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};

/// A fleet whose peers are polled by hand, in paused time: `down_after` is 2, `up_after` 1.
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
        let config = config::parse(&text, "test.yml", Path::new(""), &|_| None).unwrap();
        let fleet = Fleet::default();
        fleet.apply(&config);
        let slots = fleet.slots();
        Self { fleet, slots }
    }

    /// Polls one peer of one endpoint: it fails for `reason`, or answers.
    fn poll(&self, peer: usize, reason: Option<Reason>) -> Health {
        self.poll_each(peer, &[reason])
    }

    /// The same with the reason of each endpoint.
    fn poll_each(&self, peer: usize, reasons: &[Option<Reason>]) -> Health {
        let slot = &self.slots[peer];
        let refused_to_count = ErrorReply {
            code: "ANY".to_owned(),
            message: String::new(),
        };
        let attempt = |reason: Option<Reason>| Attempt {
            query: reason.is_none().then_some(Timed {
                value: Err(refused_to_count.clone()),
                took: Duration::ZERO,
            }),
            ..Attempt::default()
        };
        let endpoints = &slot.peer().endpoints;
        let probed = endpoints.iter().zip(reasons).map(|(endpoint, reason)| {
            let now = SystemTime::now();
            let outcome = match reason {
                Some(reason) => Err(Failure::new(*reason, "as scripted")),
                None => Ok(Duration::ZERO),
            };
            Probed::new(endpoint.transport(), (now, now), attempt(*reason), outcome)
        });
        self.fleet.record(
            slot,
            &Observation {
                endpoints: probed.collect(),
            },
        );
        self.health(peer)
    }

    fn poll_all(&self, reason: Option<Reason>) {
        for peer in 0..self.slots.len() {
            self.poll(peer, reason);
        }
    }

    fn found(&self, found: &[(Check, Finding)]) {
        self.fleet.examine(found.iter().copied().collect());
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

    /// Up, polls, failed polls.
    fn counted(&self, peer: usize) -> (Option<bool>, u64, u64) {
        let record = &self.fleet.snapshot().peers[peer];
        (record.up, record.polls, record.poll_failures)
    }
}

const FAR: [&str; 3] = [
    "tcp://192.0.2.1:1",
    "tcp://192.0.2.2:1",
    "tcp://192.0.2.3:1",
];
const TIMEOUT: Option<Reason> = Some(Reason::Client(FailureReason::Timeout));
const INTERVAL: Duration = Duration::from_secs(15);

/// All answer; then all are silent in two rounds.
async fn fallen_silent(endpoints: &[&str]) -> Watch {
    let watch = Watch::of(endpoints);
    for reason in [None, TIMEOUT, TIMEOUT] {
        watch.poll_all(reason);
        advance(INTERVAL).await;
    }
    watch
}

#[tokio::test(start_paused = true)]
async fn all_that_die_together_are_unknown_for_a_minute_and_then_down() {
    let watch = fallen_silent(&FAR).await;
    // The last one was the first that found everybody silent: 30 s ago now.
    assert_eq!(watch.healths(), [Health::Unknown; 3]);
    assert_eq!(watch.counted(2), (None, 1, 0), "such polls count nowhere");
    let record = &watch.fleet.snapshot().peers[2];
    assert_eq!(record.excuse, Some(Excuse::CommonOutage));
    let timeout = Condition::Failing(Reason::Client(FailureReason::Timeout));
    assert!(!record.conditions.contains(&timeout));
    assert_eq!(
        record.endpoints[0]
            .tally
            .failed(Reason::Client(FailureReason::Timeout)),
        2,
        "the endpoint's do"
    );
    advance(Duration::from_secs(29)).await;
    watch.found(&[]);
    assert_eq!(watch.health(2), Health::Unknown);
    advance(Duration::from_secs(1)).await;
    watch.found(&[]);
    assert_eq!(watch.health(2), Health::Down, "without waiting for a poll");
    advance(INTERVAL).await;
    watch.found(&[]);
    assert_eq!(watch.healths(), [Health::Down; 3]);
}

#[tokio::test(start_paused = true)]
async fn silence_that_ends_soon_was_the_monitors() {
    let watch = fallen_silent(&FAR).await;
    watch.poll_all(None);
    assert_eq!(
        watch.healths(),
        [Health::Degraded; 3],
        "the query's answer is an error"
    );
    assert_eq!(
        watch.fleet.snapshot().peers[2].transitions[Health::Down as usize],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn an_answering_reference_ends_the_doubt_at_once() {
    let watch = fallen_silent(&FAR).await;
    watch.found(&[(Check::References, Finding::Suspect)]);
    assert_eq!(watch.healths(), [Health::Unknown; 3]);
    watch.found(&[(Check::References, Finding::Sound)]);
    assert_eq!(watch.healths(), [Health::Down; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_while_another_is_heard_goes_down_by_its_polls() {
    let watch = Watch::of(&FAR);
    watch.poll_all(None);
    for expected in [Health::Degraded, Health::Down] {
        watch.poll(0, None);
        assert_eq!(watch.poll(1, TIMEOUT), expected);
        watch.poll(2, TIMEOUT);
    }
    assert_eq!(watch.health(2), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn the_last_one_that_dies_does_not_die_together_with_those_that_are_long_down() {
    let watch = Watch::of(&FAR);
    watch.poll_all(None);
    for _ in 0..2 {
        watch.poll(0, None);
        watch.poll(1, TIMEOUT);
        watch.poll(2, TIMEOUT);
    }
    watch.poll(0, TIMEOUT);
    assert_eq!(watch.poll(0, TIMEOUT), Health::Down);
    assert_eq!(watch.healths(), [Health::Down; 3], "and lifts no verdict");
}

#[tokio::test(start_paused = true)]
async fn a_flapping_neighbour_hides_an_outage_for_a_minute_at_most() {
    let watch = Watch::of(&FAR[..2]);
    watch.poll_all(None);
    let mut silent_for = Duration::ZERO;
    while watch.health(0) != Health::Down {
        watch.poll(1, TIMEOUT);
        watch.poll(0, TIMEOUT);
        watch.poll(1, None);
        advance(Duration::from_secs(1)).await;
        silent_for += Duration::from_secs(1);
        watch.found(&[]);
        assert!(
            silent_for <= Duration::from_secs(60),
            "hidden for {silent_for:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_of_this_host_excuses_as_long_as_it_lasts_and_only_what_needs_it() {
    let watch = Watch::of(&[
        "tcp://peer.example:1",
        "tcp://192.0.2.2:1",
        "tcp://127.0.0.1:1",
        "tcp://127.0.0.2:1",
    ]);
    watch.poll_all(None);
    for _ in 0..40 {
        watch.found(&[(Check::Dns, Finding::Broken)]);
        watch.poll(0, Some(Reason::Client(FailureReason::Dns)));
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
    watch.found(&[(Check::Dns, Finding::Sound)]);
    watch.poll(0, Some(Reason::Client(FailureReason::Dns)));
    assert_eq!(
        watch.poll(0, Some(Reason::Client(FailureReason::Dns))),
        Health::Down
    );

    for _ in 0..3 {
        watch.found(&[(Check::Route, Finding::Broken)]);
        watch.poll(1, Some(Reason::Client(FailureReason::Unreachable)));
        watch.poll(2, TIMEOUT);
    }
    assert_eq!(watch.health(1), Health::Unknown);
    assert_eq!(
        watch.health(2),
        Health::Down,
        "this host needs no route to itself"
    );
}

#[tokio::test(start_paused = true)]
async fn trouble_of_this_host_is_no_condition_of_a_peer_that_answers_another_way() {
    let watch = Watch::of(&["http://192.0.2.1:2, tcp://192.0.2.1:1"]);
    let http_fails = [TIMEOUT, None];
    let conditions = || watch.fleet.snapshot().peers[0].conditions.clone();
    let failing = [
        Condition::Failing(Reason::Client(FailureReason::Timeout)),
        Condition::EndpointFailing,
    ];
    let in_force = || failing.iter().all(|it| conditions().contains(it));
    watch.poll_each(0, &[None, None]);
    watch.found(&[(Check::EventLoop, Finding::Broken)]);
    for _ in 0..3 {
        watch.poll_each(0, &http_fails);
        assert!(!failing.iter().any(|it| conditions().contains(it)));
    }
    watch.found(&[]);
    watch.poll_each(0, &http_fails);
    assert!(in_force());
    watch.found(&[(Check::EventLoop, Finding::Broken)]);
    watch.poll_each(0, &http_fails);
    assert!(in_force(), "what was found before the trouble stays");
    watch.poll_each(0, &[None, None]);
    watch.poll_each(0, &[Some(Reason::Client(FailureReason::Refused)), None]);
    watch.poll_each(0, &[Some(Reason::Client(FailureReason::Refused)), None]);
    assert!(
        conditions().contains(&Condition::Failing(Reason::Client(FailureReason::Refused))),
        "a lack of time refuses nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_vouches_for_excuses_for_a_minute() {
    let watch = Watch::of(&["tcp://peer.example:1"]);
    watch.poll_all(None);
    let mut seconds = 0;
    while watch.poll(0, Some(Reason::Client(FailureReason::Dns))) != Health::Down {
        advance(Duration::from_secs(5)).await;
        seconds += 5;
        watch.found(&[(Check::Dns, Finding::Suspect)]);
        assert!(seconds <= 65, "the name may be gone for good");
    }
    assert!(seconds >= 60, "down after {seconds} s already");
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_no_longer_waited_for() {
    let watch = Watch::of(&FAR);
    watch.poll_all(None);
    let two = "defaults: { up_after: 1 }\npeers:\n  - { name: p1, endpoints: ['tcp://192.0.2.2:1'] }\n  - { name: p2, endpoints: ['tcp://192.0.2.3:1'] }\n";
    let config = config::parse(two, "test.yml", Path::new(""), &|_| None).unwrap();
    watch.fleet.apply(&config);
    watch.poll(1, TIMEOUT);
    assert_eq!(
        watch.poll(2, TIMEOUT),
        Health::Unknown,
        "all two are silent"
    );
}

async fn two_peers() -> (FakePeer, FakePeer, String) {
    let (a, b) = (
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
    );
    let text = format!(
        "defaults: {{ interval: 1s, timeout: 300ms }}\npeers:\n  - {{ name: a, endpoints: ['tcp://{}'] }}\n  - {{ name: b, endpoints: ['tcp://{}'] }}\n",
        a.tcp, b.tcp
    );
    (a, b, text)
}

fn health(peer: &str, state: &str) -> String {
    format!("convex_peer_health{{peer=\"{peer}\",network=\"default\",state=\"{state}\"}}")
}

#[tokio::test]
async fn the_agent_says_unknown_of_peers_that_die_together_and_forgives_those_that_return() {
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
    let own = agent
        .wait_for("convex_monitor_self_healthy{check=\"descriptors\"}", |_| {
            true
        })
        .await;
    assert_eq!(own, 1.0);
    for peer in [&a, &b] {
        peer.set(|script| script.fault = Fault::None);
    }
    for peer in ["a", "b"] {
        agent.wait_for(&health(peer, "up"), |up| up == 1.0).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_agent_says_down_of_peers_that_die_together_when_a_reference_answers() {
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
