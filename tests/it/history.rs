//! What was: fed by the fleet, read while it waits and when it is written, and still there after a restart.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Attempt, FailureReason, OrderPoints, PollAnswer, Status, Timed, Transport};
use convex_peer_monitor::config;
use convex_peer_monitor::failure::{Failure, Reason};
use convex_peer_monitor::fleet::{Fleet, Health};
use convex_peer_monitor::fleet::{Observation, Probed};
use convex_peer_monitor::history::{
    Event, EventKind, History, Outcome, POLLS_KEPT, STORE_NAME, TRANSCRIBED_PEERS, Unreadable,
};
use tokio_util::sync::CancellationToken;

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};

const LARGE: u64 = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const TWO: &str = "defaults: { interval: 30s, timeout: 5s }\n\
    networks: [{ name: main }]\n\
    peers:\n\
    - { name: one, endpoints: ['tcp://192.0.2.1:1'] }\n\
    - { name: two, endpoints: ['tcp://192.0.2.2:1'] }\n";

/// A fleet with its history.
struct Watched {
    fleet: Arc<Fleet>,
    history: Arc<History>,
}

impl Watched {
    async fn start(dir: Option<&Path>, config: &str) -> Self {
        let history = History::start(dir.map(Path::to_owned), LARGE).await;
        let fleet = Arc::new(Fleet::with_observer(Arc::clone(&history) as _));
        let watched = Self { fleet, history };
        watched.apply(config);
        watched
    }

    fn apply(&self, config: &str) {
        let config = config::parse(config, "test.yml", Path::new(""), &|_| None).unwrap();
        self.fleet.apply(&config);
        self.history.follow(&self.fleet.snapshot());
    }

    /// Has the peer at this position polled.
    fn poll(&self, peer: usize, began: SystemTime, (attempt, outcome): Ended) {
        let times = (began, began + Duration::from_millis(3));
        let endpoints = vec![Probed::new(Transport::Tcp, times, attempt, outcome)];
        let slot = &self.fleet.slots()[peer];
        self.fleet.record(slot, &Observation { endpoints });
    }

    /// Writes everything, as an agent does that ends.
    async fn write(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        let (history, fleet) = (Arc::clone(&self.history), Arc::clone(&self.fleet));
        history.run(fleet, stop).await;
    }

    /// What has happened, in words, with the peers.
    fn told(&self) -> Vec<String> {
        words(&self.history.events_since(0, usize::MAX))
    }
}

fn words(events: &[Arc<Event>]) -> Vec<String> {
    let word = |event: &Arc<Event>| match &event.peer {
        Some(peer) => format!("{peer}: {}", event.what),
        None => event.what.to_string(),
    };
    events.iter().map(word).collect()
}

/// An attempt, and how it ended.
type Ended = (Attempt, Result<Duration, Failure>);

fn good(key: u8, block: i64, hash: u8) -> Ended {
    let took = Duration::from_millis(2);
    let value = Status {
        genesis: Hash::new([1; 32]),
        peer_key: Hash::new([key; 32]),
        order: OrderPoints {
            block,
            proposal: block,
            consensus: block,
            finality: block,
        },
    };
    let figures = PollAnswer {
        state_block: Some(block - 1),
        state_hash: Some(Hash::new([hash; 32])),
        ..PollAnswer::default()
    };
    let attempt = Attempt {
        status: Some(Timed { value, took }),
        query: Some(Timed {
            value: Ok(figures),
            took,
        }),
        ..Attempt::default()
    };
    (attempt, Ok(took))
}

fn failed(reason: Reason) -> Ended {
    (Attempt::default(), Err(Failure::new(reason, "as scripted")))
}

/// The beginning of the hour that was so many hours ago.
fn hours_ago(hours: u32) -> SystemTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 3600;
    SystemTime::UNIX_EPOCH + HOUR * u32::try_from(now).unwrap() - HOUR * hours
}

#[tokio::test]
async fn what_is_read_is_the_same_before_and_after_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(2);
    for (i, attempt) in [
        good(7, 5, 1),
        good(7, 6, 1),
        failed(Reason::Client(FailureReason::Timeout)),
        failed(Reason::MONITOR),
    ]
    .into_iter()
    .enumerate()
    {
        let at = began + MINUTE / 2 * u32::try_from(i).unwrap();
        watched.poll(0, at, attempt);
    }
    let history = &watched.history;
    let outcomes: Vec<_> = history
        .recent("one")
        .unwrap()
        .iter()
        .map(|it| it.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Up, Outcome::Up, Outcome::Failed, Outcome::Excused]
    );
    assert_eq!(history.recent("two").unwrap(), []);

    let read = async || {
        let series = history
            .series("one", began, began + HOUR, MINUTE)
            .await
            .unwrap();
        (series, history.uptime("one").await.unwrap())
    };
    let waiting = read().await;
    watched.write().await;
    assert_eq!(read().await.0, waiting.0);

    let (series, [day, ..]) = waiting;
    assert_eq!(series.step, MINUTE);
    let [first, second] = &series.points[..] else {
        panic!("{series:?}");
    };
    assert_eq!((first.at, second.at), (began, began + MINUTE));
    assert_eq!(
        (first.summary.good, first.summary.order.unwrap().block),
        (2, 6)
    );
    assert_eq!((second.summary.failed, second.summary.excused), (1, 1));
    assert_eq!(
        first.summary.latency[1].mean(),
        Some(Duration::from_millis(2))
    );
    // Only the first poll has no poll before it: it stands for one interval.
    assert_eq!(day.up.as_secs(), 30);
    assert!(day.coverage() < 0.01, "{day:?}");
}

#[tokio::test]
async fn nothing_is_said_of_a_peer_that_is_not_watched() {
    let watched = Watched::start(None, TWO).await;
    let history = &watched.history;
    assert!(history.recent("three").is_none() && history.transcripts("three").is_none());
    let now = SystemTime::now();
    let series = history.series("three", now - HOUR, now, MINUTE).await;
    assert!(matches!(series, Err(Unreadable::NotWatched)));
    assert!(matches!(
        history.uptime("three").await,
        Err(Unreadable::NotWatched)
    ));
}

#[tokio::test(start_paused = true)]
async fn uptime_stands_for_the_time_between_polls_and_leaves_maintenance_out() {
    let work = humantime::format_rfc3339(hours_ago(1) + MINUTE * 30);
    let config = format!(
        "peers: [{{ name: one, interval: 30s, endpoints: ['tcp://192.0.2.1:1'], \
         maintenance: [{{ from: {work}, to: 2999-01-01T00:00:00Z }}] }}]\n"
    );
    let watched = Watched::start(None, &config).await;
    for (minutes, seconds_later, attempt) in [
        (0, 0, good(7, 5, 1)),
        (1, 30, good(7, 5, 1)),
        (2, 30, failed(Reason::Client(FailureReason::Refused))),
        // For a long time nobody looked.
        (3, 3_000, failed(Reason::Client(FailureReason::Refused))),
        (31, 30, failed(Reason::Client(FailureReason::Refused))),
    ] {
        tokio::time::advance(Duration::from_secs(seconds_later)).await;
        watched.poll(0, hours_ago(1) + MINUTE * minutes, attempt);
        watched.write().await;
    }
    tokio::time::resume();
    let [day, ..] = watched.history.uptime("one").await.unwrap();
    let seconds = [day.up, day.down, day.maintenance].map(|time| time.as_secs());
    assert_eq!(seconds, [60, 90, 30]);
    assert_eq!(day.ratio(), Some(0.4));
}

#[tokio::test]
async fn a_longer_stretch_is_told_by_the_hour_and_in_no_more_points_than_a_screen_has() {
    let watched = Watched::start(None, TWO).await;
    for hours in [40, 39, 1] {
        watched.poll(0, hours_ago(hours), good(7, 5, 1));
        watched.write().await;
    }
    let now = SystemTime::now();
    let history = &watched.history;
    let long = history
        .series("one", now - 48 * HOUR, now, MINUTE)
        .await
        .unwrap();
    assert_eq!(long.step, HOUR);
    let begins: Vec<_> = long.points.iter().map(|point| point.at).collect();
    assert_eq!(begins, [hours_ago(40), hours_ago(39), hours_ago(1)]);
    let short = history
        .series("one", now - 2 * HOUR, now, 5 * MINUTE)
        .await
        .unwrap();
    assert_eq!((short.step, short.points.len()), (5 * MINUTE, 1));
    let all = SystemTime::UNIX_EPOCH;
    let everything = history
        .series("one", all, now, Duration::ZERO)
        .await
        .unwrap();
    assert!(everything.step > 24 * HOUR, "{:?}", everything.step);
    assert!(!everything.points.is_empty());
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_both_ways_loses_no_poll_and_no_order() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(3);
    for (i, at) in [
        began,
        began + HOUR,
        began,
        SystemTime::UNIX_EPOCH - HOUR,
        began,
    ]
    .into_iter()
    .enumerate()
    {
        watched.poll(0, at, good(7, 5 + i64::try_from(i).unwrap(), 1));
        watched.write().await;
    }
    let series = watched
        .history
        .series("one", began, began + 2 * HOUR, MINUTE)
        .await;
    let polls: Vec<_> = series
        .unwrap()
        .points
        .iter()
        .map(|it| (it.at, it.summary.polls()))
        .collect();
    assert_eq!(polls, [(began, 3), (began + HOUR, 1)]);
    let ids: Vec<u64> = watched
        .history
        .events_since(0, 99)
        .iter()
        .map(|it| it.id)
        .collect();
    assert!(!ids.is_empty() && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[tokio::test]
async fn what_happens_to_a_peer_is_told_once_and_in_order() {
    let watched = Watched::start(None, TWO).await;
    let now = SystemTime::now();
    let mut following = watched.history.subscribe(None);
    for attempt in [
        good(7, 5, 1),
        good(7, 5, 1),
        failed(Reason::Client(FailureReason::Refused)),
        failed(Reason::Client(FailureReason::Refused)),
        failed(Reason::Client(FailureReason::Refused)),
        good(7, 5, 1),
        good(7, 5, 1),
        good(8, 5, 1),
    ] {
        watched.poll(0, now, attempt);
    }
    let key = |byte| Hash::new([byte; 32]);
    let expected = [
        "one: refused".to_owned(),
        "one: down, was up: tcp: refused: as scripted".to_owned(),
        "one: restarted".to_owned(),
        "one: no longer refused".to_owned(),
        "one: up, was down".to_owned(),
        format!("one: key {} answers, was {}", key(8), key(7)),
        "one: identity_changed".to_owned(),
        "one: degraded, was up".to_owned(),
    ];
    assert_eq!(watched.told(), expected);
    let mut followed = Vec::new();
    for _ in 0..expected.len() {
        followed.push(following.next().await.unwrap());
    }
    assert_eq!(words(&followed), expected);
    let of_peer = watched.history.events_of("one", 1);
    assert_eq!(words(&of_peer), expected[7..]);
    assert_eq!(of_peer[0].network.as_deref(), Some("main"));
}

#[tokio::test]
async fn a_fork_is_told_when_it_begins_and_when_it_ends() {
    let config = format!("{TWO}- {{ name: three, endpoints: ['tcp://192.0.2.3:1'] }}\n");
    let watched = Watched::start(None, &config).await;
    for (block, hashes) in [(5, [1, 1, 1]), (6, [2, 2, 9]), (7, [3, 3, 3])] {
        for (peer, hash) in (0..3).zip(hashes) {
            let key = u8::try_from(peer).unwrap();
            watched.poll(peer, SystemTime::now(), good(key, block, hash));
        }
    }
    let of_three = watched.history.events_of("three", 99);
    let told: Vec<_> = of_three.iter().rev().map(|event| &event.what).collect();
    let is = |expected: fn(&EventKind) -> bool| told.iter().position(|what| expected(what));
    let began = is(|what| {
        matches!(
            what,
            EventKind::ForkBegan {
                first_block: Some(5)
            }
        )
    });
    let ended = is(|what| matches!(what, EventKind::ForkEnded));
    assert!(began.is_some() && began < ended, "{told:?}");
    assert!(watched.history.events_of("one", 99).is_empty());
}

#[tokio::test]
async fn transcripts_of_the_last_good_and_the_last_failed_poll_are_kept() {
    let watched = Watched::start(None, TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    watched.poll(0, began + MINUTE, good(7, 6, 1));
    watched.poll(
        0,
        began + 2 * MINUTE,
        failed(Reason::Client(FailureReason::Timeout)),
    );
    let kept = watched.history.transcripts("one").unwrap();
    let (success, failure) = (kept.success.unwrap(), kept.failure.unwrap());
    assert_eq!(failure.at_ms - success.at_ms, 60_000);
    let [conversation] = &success.endpoints[..] else {
        panic!("{success:?}");
    };
    assert_eq!(conversation.url, "tcp://192.0.2.1:1");
    assert!(
        conversation.answers[0].reply.ends_with("finality 6"),
        "{conversation:?}"
    );
    assert_eq!(
        failure.endpoints[0].error.as_deref(),
        Some("timeout: as scripted")
    );
}

#[tokio::test]
async fn of_very_many_peers_transcripts_are_kept_only_of_those_that_are_not_up() {
    let config = |peers: usize| {
        let peer = |i| {
            format!(
                "- {{ name: p{i}, endpoints: ['tcp://192.0.2.1:{}'] }}\n",
                i + 1
            )
        };
        format!("peers:\n{}", (0..peers).map(peer).collect::<String>())
    };
    let watched = Watched::start(None, &config(TRANSCRIBED_PEERS)).await;
    let now = SystemTime::now();
    let kept = |peer| {
        let kept = watched.history.transcripts(peer).unwrap();
        (kept.success.is_some(), kept.failure.is_some())
    };
    for _ in 0..2 {
        watched.poll(0, now, good(1, 5, 1));
        watched.poll(1, now, failed(Reason::Client(FailureReason::Timeout)));
    }
    assert_eq!((kept("p0"), kept("p1")), ((true, false), (false, true)));
    watched.apply(&config(TRANSCRIBED_PEERS + 1));
    assert_eq!((kept("p0"), kept("p1")), ((false, false), (false, true)));
    watched.poll(0, now, good(1, 5, 1));
    watched.poll(1, now, good(2, 5, 1));
    watched.poll(1, now, good(2, 5, 1));
    assert_eq!((kept("p0"), kept("p1")), ((false, false), (false, false)));
    watched.poll(0, now, failed(Reason::Client(FailureReason::Timeout)));
    watched.poll(0, now, failed(Reason::Client(FailureReason::Timeout)));
    assert_eq!(kept("p0"), (false, true));
}

#[tokio::test]
async fn the_last_polls_are_as_many_as_are_promised() {
    let watched = Watched::start(None, TWO).await;
    for i in 0..100 {
        watched.poll(0, SystemTime::now(), good(7, i, 1));
    }
    let polls = watched.history.recent("one").unwrap();
    assert_eq!(polls.len(), POLLS_KEPT);
    assert_eq!(polls[0].order.unwrap().block, 40);
    assert_eq!(
        (polls[59].state_block, polls[59].health),
        (Some(98), Health::Up)
    );
}

#[tokio::test]
async fn a_peer_that_comes_back_gets_its_history_and_one_of_another_network_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    let without =
        "networks: [{ name: main }]\npeers: [{ name: two, endpoints: ['tcp://192.0.2.2:1'] }]\n";
    // What was not written yet when it was removed is written all the same.
    watched.apply(without);
    assert!(watched.history.recent("one").is_none());
    watched.write().await;
    let elsewhere = TWO.replace("main", "other");
    for (config, points) in [(elsewhere.as_str(), 0), (TWO, 1)] {
        watched.apply(config);
        assert_eq!(watched.history.recent("one").unwrap(), []);
        let series = watched
            .history
            .series("one", began, began + HOUR, MINUTE)
            .await;
        assert_eq!(series.unwrap().points.len(), points, "{config}");
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing_that_was_written_and_ids_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let began = hours_ago(1);
    let before = Watched::start(Some(dir.path()), TWO).await;
    for _ in 0..2 {
        before.poll(0, began, failed(Reason::Client(FailureReason::Refused)));
    }
    before.write().await;
    let series = before
        .history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    let events = before.history.events_since(0, 99);
    assert_eq!(before.told().last().unwrap(), "the agent stops");
    drop(before);

    let after = Watched::start(Some(dir.path()), TWO).await;
    assert_eq!(after.history.events_since(0, 99), events);
    let again = after
        .history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    assert_eq!(again, series);
    let last = events.last().unwrap().id;
    let mut resumed = after.history.subscribe(Some(events[0].id));
    after.history.note(EventKind::AgentStopped);
    for event in &events[1..] {
        assert_eq!(resumed.next().await.as_ref(), Some(event));
    }
    assert!(resumed.next().await.unwrap().id > last);
}

#[tokio::test]
async fn without_a_disk_monitoring_goes_on_and_with_it_the_history_is_kept_again() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().join("state");
    fs::write(&state_dir, "no directory").unwrap();
    let watched = Watched::start(Some(&state_dir), TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    watched.write().await;
    let history = &watched.history;
    assert_eq!(history.recent("one").unwrap().len(), 1);
    let unreadable = history.series("one", began, began + HOUR, MINUTE).await;
    assert!(
        matches!(unreadable, Err(Unreadable::Store(_))),
        "{unreadable:?}"
    );
    fs::remove_file(&state_dir).unwrap();
    // What waited for the disk is written now.
    watched.write().await;
    let series = history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    assert_eq!(series.points.len(), 1);
    assert!(state_dir.join(STORE_NAME).exists());

    // Somebody removes it while the agent runs: a new one begins.
    fs::remove_dir_all(&state_dir).unwrap();
    watched.poll(0, began + MINUTE, good(7, 5, 1));
    watched.write().await;
    let series = history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    assert_eq!(series.points.len(), 1);
}

#[tokio::test]
async fn a_database_that_is_of_no_use_is_set_aside_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_NAME);
    fs::write(&path, "torn").unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    watched.poll(0, hours_ago(1), good(7, 5, 1));
    watched.write().await;
    let names = fs::read_dir(dir.path()).unwrap();
    let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names.filter(|name| name.contains(".bad-")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(
        fs::read_to_string(dir.path().join(&aside[0])).unwrap(),
        "torn"
    );
    let (from, to) = (hours_ago(2), SystemTime::now());
    let series = watched
        .history
        .series("one", from, to, MINUTE)
        .await
        .unwrap();
    assert_eq!(series.points.len(), 1);
}

#[tokio::test]
async fn an_agent_keeps_a_history_of_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let peer = FakePeer::start(Script::default()).await;
    let config = |more: &str| {
        format!(
            "state_dir: {}\nhistory: {{ max_bytes: 64MiB }}\ndefaults: {{ interval: 1s, timeout: 500ms }}\n\
             peers: [{{ name: fake, endpoints: ['tcp://{}'] }}{more}]\n",
            dir.path().display(),
            peer.tcp
        )
    };
    let agent = Agent::start(&config("")).await;
    agent
        .wait_for(
            "convex_peer_polls_total{peer=\"fake\",network=\"default\"}",
            |polls| polls >= 2.0,
        )
        .await;
    fs::write(&agent.config, "no configuration").unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 400);
    fs::write(
        &agent.config,
        config(", { name: gone, endpoints: ['tcp://127.0.0.1:1'] }"),
    )
    .unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    agent
        .wait_for(
            "convex_peer_health{peer=\"gone\",network=\"default\",state=\"down\"}",
            |down| down == 1.0,
        )
        .await;
    agent.stop().await;

    let watched = Watched::start(Some(dir.path()), &config("")).await;
    let told = watched.told();
    let version = format!("the agent {} has started", env!("CARGO_PKG_VERSION"));
    assert_eq!(told[0], version);
    assert!(
        told[1].starts_with("the new configuration is refused: "),
        "{told:?}"
    );
    assert_eq!(told[2], "the configuration is reloaded, 2 peers");
    assert!(
        told.iter()
            .any(|it| it.starts_with("gone: down, was unknown: tcp: refused")),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), "the agent stops");
    let [day, ..] = watched.history.uptime("fake").await.unwrap();
    assert_eq!(day.ratio(), Some(1.0));
}
