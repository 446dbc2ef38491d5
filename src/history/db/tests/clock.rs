//! What a wall clock that is wrong, and numbers that were never written, do to the database.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::history::db::expiry::Expiry;
use crate::history::db::schema::Resolution;
use crate::history::db::store::Store;

use super::{AMPLE_BYTES, at_minute, batch, event, peer, steps};

/// Writes and prunes once a minute, with a wall clock that shows `wall_minutes`, while as much time
/// passes.
fn run(store: &mut Store, expiry: &mut Expiry, time: &mut Instant, wall_minutes: Range<u32>) {
    for minute in wall_minutes {
        *time += Duration::from_secs(60);
        expiry.advance(at_minute(minute), *time);
        store.write(&batch(1, [minute])).unwrap();
        store
            .prune_and_checkpoint(at_minute(minute), expiry)
            .unwrap();
    }
}

fn hours(store: &Store, peer_name: u32, hours: (u32, u32)) -> Vec<u32> {
    let found = store.summaries(&peer(peer_name), Resolution::Hour, hours);
    steps(&found.unwrap())
}

#[test]
fn a_clock_that_is_ahead_for_a_while_erases_nothing() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    let (mut expiry, mut time) = (Expiry::default(), Instant::now());
    // A peer that is no longer watched, and one with 300 hours of history.
    let now = 100_000 * 60;
    let hourly = (now - 300 * 60..now).step_by(60);
    store.write(&batch(2, [now - 300 * 60])).unwrap();
    store.write(&batch(1, hourly.skip(1))).unwrap();
    run(&mut store, &mut expiry, &mut time, now..now + 60);
    let ahead = now + 100 * 24 * 60;
    run(&mut store, &mut expiry, &mut time, ahead..ahead + 4);
    run(&mut store, &mut expiry, &mut time, now + 64..now + 120);
    let stored = hours(&store, 0, (99_000, 100_001));
    assert_eq!(stored, (99_700..=100_001).collect::<Vec<_>>());
    assert_eq!(hours(&store, 1, (99_000, 100_001)), [99_700]);
    // Even if it stays ahead, little more is lost than the time for which it does.
    run(&mut store, &mut expiry, &mut time, ahead + 4..ahead + 124);
    let stored = hours(&store, 0, (99_000, 100_001));
    println!(
        "{} of 302 hours left after two hours 100 days ahead",
        stored.len()
    );
    assert!(stored.len() >= 298, "{}", stored.len());
}

#[test]
fn rows_in_the_future_are_deleted_after_a_day_without_a_jump() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    let (mut expiry, mut time) = (Expiry::default(), Instant::now());
    let (day, now) = (24 * 60, 100_000 * 60);
    store.write(&batch(1, [now + 100 * day])).unwrap();
    let future = |store: &Store| {
        let range = store.time_range(Resolution::Hour).unwrap();
        range.unwrap().1 > 102_000
    };
    run(&mut store, &mut expiry, &mut time, now..now + day);
    assert!(future(&store), "the clock may be behind");
    run(&mut store, &mut expiry, &mut time, now + day..now + day + 2);
    assert!(!future(&store));
}

#[test]
fn a_row_far_in_the_future_does_not_widen_what_the_size_limit_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), 4 << 20).unwrap();
    store.write(&batch(1, [u32::MAX])).unwrap();
    for minute in 0..1_000 {
        store.write(&batch(50, [minute])).unwrap();
    }
    let minutes = store.summaries(&peer(7), Resolution::Minute, (0, 1_000));
    assert!(minutes.unwrap().len() > 100);
}

#[test]
fn numbers_that_were_never_written_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let mut written = batch(2, [60]);
    written.events = vec![event(5)];
    store.write(&written).unwrap();
    let damage = format!(
        "INSERT INTO events SELECT {0}, body FROM events;
         INSERT INTO minutes(at, peer) VALUES (-1, 1), ({0}, 1);
         UPDATE minutes SET good = {0} WHERE at = 60 AND peer = 1;
         UPDATE peers SET seen = {0} WHERE name = '1'",
        i64::MAX
    );
    store.connection.execute_batch(&damage).unwrap();
    drop(store);
    let mut store = Store::open(dir.path(), AMPLE_BYTES).unwrap();
    let ids = |store: &Store| -> Vec<u64> {
        let events = store.events().unwrap();
        events.iter().map(|event| event.id).collect()
    };
    assert_eq!(ids(&store), [5], "the next id is not the last possible one");
    let mut next = batch(2, [60, 61]);
    next.events = vec![event(6)];
    store.write_and_prune(&next, at_minute(61)).unwrap();
    assert_eq!(ids(&store), [5, 6]);
    for name in [0, 1] {
        let found = store.summaries(&peer(name), Resolution::Minute, (60, 61));
        assert_eq!(steps(&found.unwrap()), [60, 61]);
    }
}

#[test]
fn minutes_before_the_last_day_are_read_by_the_hour() {
    let mut store = Store::in_memory(AMPLE_BYTES).unwrap();
    // After a stop of days, old minutes take a while to expire.
    store.write(&batch(1, 60..120)).unwrap();
    store.write(&batch(1, [9_000])).unwrap();
    let resolution = |from, to| store.resolution_of((from, to)).unwrap();
    assert_eq!(resolution(60, 9_000), Resolution::Hour);
    assert_eq!(resolution(8_000, 9_000), Resolution::Minute);
    assert_eq!(resolution(60, 120), Resolution::Minute);
}
