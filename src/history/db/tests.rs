//! Tests of the database on real files: limits, damage, foreign files and kills.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::OrderPoints;
use proptest::option;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::fleet::Rename;
use crate::history::event::{Event, EventKind};
use crate::history::event_log::EVENTS_KEPT;
use crate::history::summary::{Latency, Summary};

use super::error::StoreError;
use super::expiry::Expiry;
use super::schema::{Resolution, VERSION, schema};
use super::store::{Batch, FILE_NAME, PeerKey, Store, quarantine};

mod clock;

const AMPLE_BYTES: u64 = 1 << 30;

fn peer(name: impl std::fmt::Display) -> PeerKey {
    ("main".into(), name.to_string().into())
}

fn at_minute(minute: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(60) * minute
}

/// Returns the summary of four successful polls of both endpoints.
fn typical_summary(minute: u32) -> Summary {
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
    let summaries =
        |minute| (0..peers).map(move |name| (peer(name), minute, typical_summary(minute)));
    Batch {
        summaries: minutes.into_iter().flat_map(summaries).collect(),
        ..Batch::default()
    }
}

fn event(id: u64) -> Arc<Event> {
    Arc::new(Event {
        id,
        at_ms: id,
        peer: None,
        network: None,
        kind: EventKind::AgentStopped,
    })
}

fn steps(found: &[(u32, Summary)]) -> Vec<u32> {
    found.iter().map(|(step, _)| *step).collect()
}

impl Store {
    fn write_and_prune(&mut self, batch: &Batch, now: SystemTime) -> Result<(), StoreError> {
        self.write(batch)?;
        self.prune_and_checkpoint(now, &mut Expiry::ample())
    }
}

/// Returns the size of all files in `dir`.
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
    let state = (points, option::of(any::<i64>()), option::of(any::<i64>()));
    (counts, times, health, [latency(), latency()], state).prop_map(
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
    fn the_database_merges_summaries_like_memory_does(parts in proptest::collection::vec(any_summary(), 1..5)) {
        let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
        let mut expected = Summary::default();
        for part in &parts {
            let summaries = vec![(peer("a"), 120, part.clone())];
            store.write_and_prune(&Batch { summaries, ..Batch::default() }, at_minute(121)).unwrap();
            expected.merge(part);
        }
        for (resolution, step) in [(Resolution::Minute, 120), (Resolution::Hour, 2)] {
            let found = store.summaries(&peer("a"), resolution, (step, step)).unwrap();
            prop_assert_eq!(found, vec![(step, expected.clone())]);
        }
    }

    #[test]
    fn a_damaged_database_gives_an_error_or_some_data_but_no_panic(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..200), cut in option::of(any::<u16>())) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
        store.write_and_prune(&batch(50, 100..110), at_minute(110)).unwrap();
        drop(store);
        let path = dir.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        for (place, byte) in damage {
            bytes[usize::from(place) * 7 % length] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(usize::from(cut) % length);
        }
        fs::write(&path, bytes).unwrap();
        let used = Store::open(dir.path(), AMPLE_BYTES).and_then(|mut store| {
            store.events()?;
            store.summaries(&peer(7), Resolution::Minute, (100, 110))?;
            store.write_and_prune(&batch(50, 110..112), at_minute(112))
        });
        if let Err(error) = used {
            prop_assert!(matches!(error, StoreError::Unusable { .. } | StoreError::Disk { .. } | StoreError::TooSmall), "{}", error);
        }
    }
}

#[test]
fn written_data_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let mut written = batch(2, [119, 120]);
    written.events = vec![event(5), event(9)];
    store.write_and_prune(&written, at_minute(120)).unwrap();
    drop(store);
    let store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let found = store
        .summaries(&peer(1), Resolution::Minute, (0, 200))
        .unwrap();
    assert_eq!(
        found,
        [(119, typical_summary(119)), (120, typical_summary(120))]
    );
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
fn minutes_are_kept_for_a_day_and_hours_for_ninety_days() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    let day = 24 * 60;
    store
        .write_and_prune(&batch(1, 0..60), at_minute(60))
        .unwrap();
    // Expired rows are deleted in parts, so it takes a few batches.
    for minute in [day + 29, day + 30] {
        store
            .write_and_prune(&batch(1, [minute]), at_minute(minute))
            .unwrap();
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
        store
            .write_and_prune(&batch(1, [minute]), at_minute(minute))
            .unwrap();
    }
    let hours = store
        .summaries(&peer(0), Resolution::Hour, (0, 99 * 24))
        .unwrap();
    assert_eq!(steps(&hours), [90 * 24, 90 * 24 + 1, 92 * 24]);
}

#[test]
fn summaries_are_merged_after_the_clock_steps_back() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    for minute in [600, 660, 600, 540, 0] {
        store
            .write_and_prune(&batch(1, [minute]), at_minute(minute))
            .unwrap();
    }
    let found = store
        .summaries(&peer(0), Resolution::Minute, (0, 700))
        .unwrap();
    let polls: Vec<_> = found.iter().map(|(step, it)| (*step, it.good)).collect();
    assert_eq!(polls, [(0, 4), (540, 4), (600, 8), (660, 4)]);
}

#[test]
fn the_limit_always_holds_and_the_finest_and_oldest_rows_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let bound = 4 << 20;
    let mut store = Store::open(dir.path(), bound).unwrap();
    for minute in (0..3_000).step_by(10) {
        // In several batches, as for a large fleet.
        for minutes in [minute..minute + 5, minute + 5..minute + 10] {
            store.write(&batch(50, minutes)).unwrap();
            let bytes = bytes_in(dir.path());
            assert!(bytes <= bound, "{bytes} bytes after {minute} minutes");
        }
        store
            .prune_and_checkpoint(at_minute(minute + 10), &mut Expiry::ample())
            .unwrap();
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
        store.resolution_of((first + 1, last)).unwrap(),
        Resolution::Minute
    );
    assert_eq!(
        store.resolution_of((1_600, last)).unwrap(),
        Resolution::Hour
    );
}

#[test]
fn a_lower_limit_shrinks_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    store
        .write_and_prune(&batch(200, 0..600), at_minute(600))
        .unwrap();
    assert!(bytes_in(dir.path()) > 5 << 20);
    store.set_max_bytes(4 << 20).unwrap();
    store
        .write_and_prune(&batch(1, [601]), at_minute(601))
        .unwrap();
    store
        .write_and_prune(&batch(1, [602]), at_minute(602))
        .unwrap();
    let bytes = bytes_in(dir.path());
    assert!(bytes <= 4 << 20, "{bytes} bytes");
    let found = store
        .summaries(&peer(0), Resolution::Minute, (602, 602))
        .unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_batch_that_cannot_fit_is_refused_without_harm() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    store.write_and_prune(&batch(1, [1]), at_minute(1)).unwrap();
    store.set_max_bytes(1 << 16).unwrap();
    let refused = store.write_and_prune(&batch(5_000, [2]), at_minute(2));
    assert!(matches!(refused, Err(StoreError::TooSmall)), "{refused:?}");
    store.set_max_bytes(AMPLE_BYTES).unwrap();
    store
        .write_and_prune(&batch(5_000, [2]), at_minute(2))
        .unwrap();
    let found = store
        .summaries(&peer(4_999), Resolution::Minute, (0, 9))
        .unwrap();
    assert_eq!(steps(&found), [2]);
}

#[test]
fn the_oldest_events_are_dropped_for_the_newest() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    let events = |ids: Range<u64>| Batch {
        events: ids.map(event).collect(),
        ..Batch::default()
    };
    let kept = EVENTS_KEPT as u64;
    store
        .write_and_prune(&events(1..kept + 1), at_minute(1))
        .unwrap();
    store
        .write_and_prune(&events(kept + 1..kept + 8), at_minute(1))
        .unwrap();
    let found = store.events().unwrap();
    assert_eq!(found.len(), EVENTS_KEPT);
    assert_eq!((found[0].id, found[EVENTS_KEPT - 1].id), (8, kept + 7));
}

#[test]
fn a_second_agent_is_refused_until_the_first_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let second = Store::open(dir.path(), AMPLE_BYTES);
    assert!(
        matches!(second, Err(StoreError::Taken { .. })),
        "{second:?}"
    );
    first.write_and_prune(&batch(1, [1]), at_minute(1)).unwrap();
    drop(first);
    Store::open(dir.path(), AMPLE_BYTES).unwrap();
}

#[test]
fn a_foreign_file_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let assert_unusable = |what: &str| {
        let refused = Store::open(dir.path(), AMPLE_BYTES);
        assert!(
            matches!(refused, Err(StoreError::Unusable { .. })),
            "{what}: {refused:?}"
        );
        let moved_to = quarantine(&path, SystemTime::now()).unwrap();
        assert!(moved_to.exists() && !path.exists(), "{what}");
    };
    fs::write(&path, "not a database, but long enough to have a header").unwrap();
    assert_unusable("text");
    let foreign = Connection::open(&path).unwrap();
    foreign
        .execute_batch("CREATE TABLE foreign_table(a)")
        .unwrap();
    drop(foreign);
    assert_unusable("a database of another program");
    fs::create_dir(&path).unwrap();
    assert_unusable("a directory");
    let later = Connection::open(&path).unwrap();
    later.execute_batch(&schema()).unwrap();
    later
        .pragma_update(None, "user_version", VERSION + 1)
        .unwrap();
    drop(later);
    assert_unusable("a database of a later version");
    Store::open(dir.path(), AMPLE_BYTES).unwrap();
}

#[test]
fn a_link_is_set_aside_and_what_it_points_to_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let victim = dir.path().join("victim");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let link = dir.path().join(format!("{FILE_NAME}{suffix}"));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        let error = Store::open(dir.path(), AMPLE_BYTES).unwrap_err();
        let expected = format!("{FILE_NAME}{suffix}: it is a symbolic link, not a regular file");
        assert!(error.to_string().ends_with(&expected), "{error}");
        quarantine(&path, SystemTime::now());
        let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
        store.write_and_prune(&batch(1, [1]), at_minute(1)).unwrap();
        assert!(!victim.exists(), "{suffix}");
    }
    // The directory itself may be reached through a link.
    let other = tempfile::tempdir().unwrap();
    let linked = other.path().join("linked");
    std::os::unix::fs::symlink(dir.path(), &linked).unwrap();
    let store = Store::open(&linked, AMPLE_BYTES).unwrap();
    let found = store.summaries(&peer(0), Resolution::Minute, (0, 9));
    assert_eq!(steps(&found.unwrap()), [1]);
}

/// Environment variable that makes this test's program the writer to be killed: its directory.
const WRITER_DIR: &str = "HISTORY_TEST_WRITES_TO";

/// Number of peers in each batch of the writer.
const WRITER_PEERS: u32 = 40;

/// Writes one batch per minute and prints the number of each written batch.
fn write_until_killed(dir: &Path) -> ! {
    let mut store = Store::open(dir, 4 << 20).unwrap();
    let last = store.events().unwrap().last().map_or(0, |event| event.id);
    let mut minute = u32::try_from(last).unwrap();
    loop {
        minute += 1;
        let mut batch = batch(WRITER_PEERS, [minute]);
        batch.events.push(event(minute.into()));
        store.write_and_prune(&batch, at_minute(minute)).unwrap();
        println!("written {minute}");
    }
}

#[test]
fn a_kill_damages_nothing_and_loses_at_most_the_current_batch() {
    if let Ok(dir) = std::env::var(WRITER_DIR) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let chance = RandomState::new();
    for round in 0..25_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("history::db::tests::a_kill_damages_nothing_and_loses_at_most_the_current_batch")
            .env(WRITER_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written_minutes = lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.strip_prefix("written ")?.parse::<u32>().ok());
        let enough = 1 + usize::try_from(chance.hash_one(round) % 40).unwrap();
        let mut written = written_minutes.by_ref().take(enough).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // It may have written more before it was killed.
        written = written_minutes.last().unwrap_or(written);

        let store = Store::open(dir.path(), 4 << 20).unwrap();
        let check: String = store
            .connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        let last = store.events().unwrap().last().unwrap().id;
        let last = u32::try_from(last).unwrap();
        assert!(
            last == written || last == written + 1,
            "{last} of {written}"
        );
        for name in 0..WRITER_PEERS {
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
fn a_peer_with_two_endpoints_takes_less_than_100_bytes_per_minute() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let before = store.used_bytes();
    let (peers, now) = (100, 29_000_000);
    for minute in now..now + 720 {
        store
            .write_and_prune(&batch(peers, [minute]), at_minute(minute))
            .unwrap();
    }
    let each = (store.used_bytes() - before) / u64::from(peers * 720);
    println!("{each} bytes per peer and minute");
    assert!(each < 100, "{each} bytes per peer and minute");
}

#[test]
fn a_rename_joins_what_is_stored_under_both_names() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    // Peer 0 has the minutes 1 to 3, peer 1 only the last two.
    store.write(&batch(1, 1..2)).unwrap();
    store.write(&batch(2, 2..4)).unwrap();
    let minutes = |store: &Store, name: u32| {
        let found = store.summaries(&peer(name), Resolution::Minute, (0, 9));
        steps(&found.unwrap())
    };
    let rename = |from: &str, to: &str| Rename {
        network: "main".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    };
    store.rename(&[rename("0", "1")]).unwrap();
    assert_eq!(minutes(&store, 1), [1, 2, 3]);
    assert!(minutes(&store, 0).is_empty());
    // Exchanged through a third name.
    store.write(&batch(1, 5..6)).unwrap();
    let exchange = [rename("0", "aside"), rename("1", "0"), rename("aside", "1")];
    store.rename(&exchange).unwrap();
    assert_eq!(minutes(&store, 0), [1, 2, 3]);
    assert_eq!(minutes(&store, 1), [5]);
}
