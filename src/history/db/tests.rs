use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use convex_client::OrderPoints;
use proptest::option;
use proptest::prelude::*;

use crate::history::event::EventKind;
use crate::history::summary::Latency;

use super::*;

const LARGE: u64 = 1 << 30;

fn peer(name: impl std::fmt::Display) -> PeerKey {
    ("main".into(), name.to_string().into())
}

fn at_minute(minute: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(60) * minute
}

/// What four polls of both endpoints of a peer look like.
fn usual(minute: u32) -> Summary {
    let block = 1_000_000 + i64::from(minute);
    let latency = |us: u64| Latency {
        count: 4,
        sum_us: 4 * us,
        min_us: us - 100,
        max_us: us + 900,
    };
    Summary {
        good: 4,
        good_ms: 60_000,
        by_health: [0, 4, 0, 0],
        latency: [latency(2_300), latency(1_100)],
        order: Some(OrderPoints {
            block,
            proposal: block,
            consensus: block,
            finality: block,
        }),
        state_block: Some(block - 1),
        worst_lag: Some(0),
        ..Summary::default()
    }
}

fn batch(peers: u32, minutes: impl IntoIterator<Item = u32>) -> Batch {
    let of_minute = |minute| (0..peers).map(move |name| (peer(name), minute, usual(minute)));
    Batch {
        summaries: minutes.into_iter().flat_map(of_minute).collect(),
        events: Vec::new(),
    }
}

fn event(id: u64) -> Arc<Event> {
    Arc::new(Event {
        id,
        at_ms: id,
        peer: None,
        network: None,
        what: EventKind::AgentStopped,
    })
}

fn steps(found: &[(u32, Summary)]) -> Vec<u32> {
    found.iter().map(|(step, _)| *step).collect()
}

impl Store {
    fn keep(&mut self, batch: &Batch, now: SystemTime) -> Result<(), StoreError> {
        self.write(batch)?;
        self.settle(now)
    }
}

/// Bytes of the database and of what belongs to it.
fn bytes_in(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

fn any_summary() -> impl Strategy<Value = Summary> {
    let count = || 0..1_000_000_u64;
    let latency = || {
        (1..100_u64, 1..1_000_u64, 0..1_000_u64).prop_map(|(count, min_us, more)| Latency {
            count,
            sum_us: count * min_us,
            min_us,
            max_us: min_us + more,
        })
    };
    let latency = || option::of(latency()).prop_map(Option::unwrap_or_default);
    let points = option::of(any::<[i64; 4]>());
    let counts = (count(), count(), count(), count());
    let times = (count(), count(), count());
    let health = [count(), count(), count(), count()];
    let shown = (points, option::of(any::<i64>()), option::of(any::<i64>()));
    (counts, times, health, [latency(), latency()], shown).prop_map(
        |(counts, times, by_health, latency, (points, state_block, worst_lag))| Summary {
            good: counts.0,
            failed: counts.1,
            excused: counts.2,
            maintenance: counts.3,
            good_ms: times.0,
            failed_ms: times.1,
            maintenance_ms: times.2,
            by_health,
            latency,
            order: points.map(|[block, proposal, consensus, finality]| OrderPoints {
                block,
                proposal,
                consensus,
                finality,
            }),
            state_block,
            worst_lag,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_later_is_merged_in_the_store_as_it_is_in_memory(parts in proptest::collection::vec(any_summary(), 1..5)) {
        let mut store = Store::in_memory(LARGE).unwrap();
        let mut expected = Summary::default();
        for part in &parts {
            let summaries = vec![(peer("a"), 120, part.clone())];
            store.keep(&Batch { summaries, events: Vec::new() }, at_minute(121)).unwrap();
            expected.merge(part);
        }
        for (resolution, step) in [(Resolution::Minute, 120), (Resolution::Hour, 2)] {
            let found = store.summaries(&peer("a"), resolution, (step, step)).unwrap();
            prop_assert_eq!(found, vec![(step, expected.clone())]);
        }
    }

    #[test]
    fn a_damaged_database_is_of_no_use_or_tells_something_but_never_panics(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..200), cut in option::of(any::<u16>())) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), LARGE).unwrap();
        store.keep(&batch(50, 100..110), at_minute(110)).unwrap();
        drop(store);
        let path = dir.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        for (place, byte) in damage {
            bytes[usize::from(place) * 7 % length] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(usize::from(cut) % length);
        }
        fs::write(&path, bytes).unwrap();
        let used = Store::open(dir.path(), LARGE).and_then(|mut store| {
            store.events()?;
            store.summaries(&peer(7), Resolution::Minute, (100, 110))?;
            store.keep(&batch(50, 110..112), at_minute(112))
        });
        if let Err(error) = used {
            prop_assert!(matches!(error, StoreError::Unusable { .. } | StoreError::Disk { .. } | StoreError::TooSmall), "{}", error);
        }
    }
}

#[test]
fn what_is_written_is_there_after_the_store_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), LARGE).unwrap();
    let mut written = batch(2, [119, 120]);
    written.events = vec![event(5), event(9)];
    store.keep(&written, at_minute(120)).unwrap();
    drop(store);
    let store = Store::open(dir.path(), LARGE).unwrap();
    let found = store
        .summaries(&peer(1), Resolution::Minute, (0, 200))
        .unwrap();
    assert_eq!(found, [(119, usual(119)), (120, usual(120))]);
    let hours = store.summaries(&peer(1), Resolution::Hour, (0, 9)).unwrap();
    assert_eq!(steps(&hours), [1, 2]);
    let ids: Vec<u64> = store
        .events()
        .unwrap()
        .iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(ids, [5, 9]);
    let other = ("other".into(), "1".into());
    assert!(
        store
            .summaries(&other, Resolution::Hour, (0, 9))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn minutes_are_kept_for_a_day_and_hours_for_ninety() {
    let mut store = Store::in_memory(LARGE).unwrap();
    let day = 24 * 60;
    store.keep(&batch(1, 0..60), at_minute(60)).unwrap();
    // Deleted in pieces: after a long absence it takes a few batches.
    for minute in [day + 29, day + 30] {
        store.keep(&batch(1, [minute]), at_minute(minute)).unwrap();
    }
    let minutes = store
        .summaries(&peer(0), Resolution::Minute, (0, day + 30))
        .unwrap();
    assert_eq!(steps(&minutes)[0], 31);
    let hours = store
        .summaries(&peer(0), Resolution::Hour, (0, 99))
        .unwrap();
    assert_eq!(steps(&hours), [0, 24]);
    for minute in [90 * day, 90 * day + 60, 92 * day] {
        store.keep(&batch(1, [minute]), at_minute(minute)).unwrap();
    }
    let hours = store
        .summaries(&peer(0), Resolution::Hour, (0, 99 * 24))
        .unwrap();
    assert_eq!(steps(&hours), [90 * 24, 90 * 24 + 1, 92 * 24]);
}

#[test]
fn a_clock_that_steps_back_adds_to_what_is_there() {
    let mut store = Store::in_memory(LARGE).unwrap();
    for minute in [600, 660, 600, 540, 0] {
        store.keep(&batch(1, [minute]), at_minute(minute)).unwrap();
    }
    let found = store
        .summaries(&peer(0), Resolution::Minute, (0, 700))
        .unwrap();
    let polls: Vec<_> = found.iter().map(|(step, it)| (*step, it.good)).collect();
    assert_eq!(polls, [(0, 4), (540, 4), (600, 8), (660, 4)]);
}

#[test]
fn the_bound_holds_at_every_moment_and_the_finest_and_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let bound = 4 << 20;
    let mut store = Store::open(dir.path(), bound).unwrap();
    for minute in (0..3_000).step_by(10) {
        // In several batches, as of a large fleet.
        for minutes in [minute..minute + 5, minute + 5..minute + 10] {
            store.write(&batch(50, minutes)).unwrap();
            let bytes = bytes_in(dir.path());
            assert!(bytes <= bound, "{bytes} bytes after {minute} minutes");
        }
        store.settle(at_minute(minute + 10)).unwrap();
        let bytes = bytes_in(dir.path());
        assert!(bytes <= bound, "{bytes} bytes after {minute} minutes");
    }
    let minutes = store
        .summaries(&peer(7), Resolution::Minute, (0, 3_000))
        .unwrap();
    let hours = store
        .summaries(&peer(7), Resolution::Hour, (0, 50))
        .unwrap();
    assert_eq!(steps(&hours), (0..50).collect::<Vec<_>>());
    let (first, last) = (minutes[0].0, minutes[minutes.len() - 1].0);
    assert_eq!(last, 2_999);
    assert!(
        first > 1_560 && first < 2_900,
        "the first minute is {first}"
    );
    assert_eq!(
        store.resolution_from(first + 1).unwrap(),
        Resolution::Minute
    );
    assert_eq!(store.resolution_from(1_600).unwrap(), Resolution::Hour);
}

#[test]
fn a_bound_that_is_lowered_makes_the_file_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), LARGE).unwrap();
    store.keep(&batch(200, 0..600), at_minute(600)).unwrap();
    assert!(bytes_in(dir.path()) > 5 << 20);
    store.bound(4 << 20).unwrap();
    store.keep(&batch(1, [601]), at_minute(601)).unwrap();
    store.keep(&batch(1, [602]), at_minute(602)).unwrap();
    let bytes = bytes_in(dir.path());
    assert!(bytes <= 4 << 20, "{bytes} bytes");
    let found = store
        .summaries(&peer(0), Resolution::Minute, (602, 602))
        .unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn what_does_not_fit_at_all_is_said_to_and_harms_nothing() {
    let mut store = Store::in_memory(LARGE).unwrap();
    store.keep(&batch(1, [1]), at_minute(1)).unwrap();
    store.bound(1 << 16).unwrap();
    let refused = store.keep(&batch(5_000, [2]), at_minute(2));
    assert!(matches!(refused, Err(StoreError::TooSmall)), "{refused:?}");
    store.bound(LARGE).unwrap();
    store.keep(&batch(5_000, [2]), at_minute(2)).unwrap();
    let found = store
        .summaries(&peer(4_999), Resolution::Minute, (0, 9))
        .unwrap();
    assert_eq!(steps(&found), [2]);
}

#[test]
fn the_oldest_events_make_room_for_the_newest() {
    let mut store = Store::in_memory(LARGE).unwrap();
    let events = |ids: std::ops::Range<u64>| Batch {
        summaries: Vec::new(),
        events: ids.map(event).collect(),
    };
    let kept = EVENTS_KEPT as u64;
    store.keep(&events(1..kept + 1), at_minute(1)).unwrap();
    store
        .keep(&events(kept + 1..kept + 8), at_minute(1))
        .unwrap();
    let found = store.events().unwrap();
    assert_eq!(found.len(), EVENTS_KEPT);
    assert_eq!((found[0].id, found[EVENTS_KEPT - 1].id), (8, kept + 7));
}

#[test]
fn a_second_agent_is_refused_until_the_first_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Store::open(dir.path(), LARGE).unwrap();
    let second = Store::open(dir.path(), LARGE);
    assert!(
        matches!(second, Err(StoreError::Taken { .. })),
        "{second:?}"
    );
    first.keep(&batch(1, [1]), at_minute(1)).unwrap();
    drop(first);
    Store::open(dir.path(), LARGE).unwrap();
}

#[test]
fn a_file_of_somebody_else_is_of_no_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    let refused = |what: &str| {
        let refused = Store::open(dir.path(), LARGE);
        assert!(
            matches!(refused, Err(StoreError::Unusable { .. })),
            "{what}: {refused:?}"
        );
        let aside = set_aside(&path, SystemTime::now()).unwrap();
        assert!(aside.exists() && !path.exists(), "{what}");
    };
    fs::write(&path, "no database at all, but long enough to be looked at").unwrap();
    refused("text");
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs(a)").unwrap();
    drop(foreign);
    refused("another program's");
    fs::create_dir(&path).unwrap();
    refused("a directory");
    let later = Connection::open(&path).unwrap();
    later.execute_batch(&schema()).unwrap();
    later
        .pragma_update(None, "user_version", VERSION + 1)
        .unwrap();
    drop(later);
    refused("a later version's");
    Store::open(dir.path(), LARGE).unwrap();
}

/// What says to this test's own program that it is the one to be killed, and where it is to write.
const WRITER: &str = "HISTORY_TEST_WRITES_TO";

/// Peers in each batch of the writer.
const WRITERS_PEERS: u32 = 40;

/// Writes batch after batch, each of one minute, and tells the number of each that is written.
fn write_until_killed(dir: &Path) -> ! {
    let mut store = Store::open(dir, 4 << 20).unwrap();
    let last = store.events().unwrap().last().map_or(0, |event| event.id);
    let mut minute = u32::try_from(last).unwrap();
    loop {
        minute += 1;
        let mut batch = batch(WRITERS_PEERS, [minute]);
        batch.events.push(event(minute.into()));
        store.keep(&batch, at_minute(minute)).unwrap();
        println!("written {minute}");
    }
}

#[test]
fn a_kill_at_any_moment_damages_nothing_and_loses_at_most_the_batch_under_way() {
    if let Ok(dir) = std::env::var(WRITER) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let chance = RandomState::new();
    for round in 0..25_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("history::db::tests::a_kill_at_any_moment_damages_nothing_and_loses_at_most_the_batch_under_way")
            .env(WRITER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.strip_prefix("written ")?.parse::<u32>().ok());
        let enough = 1 + usize::try_from(chance.hash_one(round) % 40).unwrap();
        let mut written = told.by_ref().take(enough).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it told before it died.
        written = told.last().unwrap_or(written);

        let store = Store::open(dir.path(), 4 << 20).unwrap();
        let sound: String = store
            .connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
        let last = store.events().unwrap().last().unwrap().id;
        let last = u32::try_from(last).unwrap();
        assert!(
            last == written || last == written + 1,
            "{last} of {written}"
        );
        for name in 0..WRITERS_PEERS {
            let found = store.summaries(&peer(name), Resolution::Minute, (last, last + 1));
            assert_eq!(
                steps(&found.unwrap()),
                [last],
                "a batch is written whole or not at all"
            );
        }
    }
}

#[test]
fn a_peer_of_two_endpoints_takes_less_than_a_hundred_bytes_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), LARGE).unwrap();
    let before = store.used_bytes();
    let (peers, now) = (100, 29_000_000);
    for minute in now..now + 720 {
        store
            .keep(&batch(peers, [minute]), at_minute(minute))
            .unwrap();
    }
    let each = (store.used_bytes() - before) / u64::from(peers * 720);
    println!("{each} bytes a peer and minute");
    assert!(each < 100, "{each} bytes a peer and minute");
}
