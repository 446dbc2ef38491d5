//! The database: kept over a restart, and set aside when it is unusable.

use std::fs;
use std::time::SystemTime;

use convex_client::FailureReason;
use convex_peer_monitor::history::{DATABASE_FILE_NAME, EventKind, ReadError};

use crate::support::polls::failed;

use super::{HOUR, MINUTE, TWO, Watched, good, hours_ago};

#[tokio::test]
async fn a_peer_that_is_added_again_gets_its_history_back() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    let without =
        "networks: [{ name: main }]\npeers: [{ name: two, endpoints: ['tcp://192.0.2.2:1'] }]\n";
    // What was still unwritten when the peer was removed is written too.
    watched.apply(without);
    assert!(watched.history.recent("one").is_none());
    watched.write().await;
    let other_network = TWO.replace("main", "other");
    for (config, points) in [(other_network.as_str(), 0), (TWO, 1)] {
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
async fn a_restart_keeps_everything_written_and_continues_the_ids() {
    let dir = tempfile::tempdir().unwrap();
    let began = hours_ago(1);
    let before = Watched::start(Some(dir.path()), TWO).await;
    for _ in 0..2 {
        before.poll(0, began, failed(FailureReason::Refused));
    }
    before.write().await;
    let series = before
        .history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    let events = before.history.events_since(0, 99);
    assert_eq!(before.events().last().unwrap(), "the agent is stopping");
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
    after.history.record_event(EventKind::AgentStopped);
    for event in &events[1..] {
        assert_eq!(resumed.next().await.as_ref(), Some(event));
    }
    assert!(resumed.next().await.unwrap().id > last);
}

#[tokio::test]
async fn the_history_survives_a_disk_that_fails_and_a_deleted_directory() {
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
        matches!(unreadable, Err(ReadError::Store(_))),
        "{unreadable:?}"
    );
    fs::remove_file(&state_dir).unwrap();
    // Everything unwritten is written now.
    watched.write().await;
    let series = history
        .series("one", began, began + HOUR, MINUTE)
        .await
        .unwrap();
    assert_eq!(series.points.len(), 1);
    assert!(state_dir.join(DATABASE_FILE_NAME).exists());

    // Deleted while the agent runs: a new database is created.
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
async fn an_unusable_database_is_set_aside_and_a_new_one_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE_NAME);
    fs::write(&path, "torn").unwrap();
    let watched = Watched::start(Some(dir.path()), TWO).await;
    let began = hours_ago(1);
    watched.poll(0, began, good(7, 5, 1));
    watched.write().await;
    let names = fs::read_dir(dir.path()).unwrap();
    let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = names.filter(|name| name.contains(".bad-")).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(
        fs::read_to_string(dir.path().join(&aside[0])).unwrap(),
        "torn"
    );
    let (from, to) = (began - HOUR, SystemTime::now());
    let series = watched
        .history
        .series("one", from, to, MINUTE)
        .await
        .unwrap();
    assert_eq!(series.points.len(), 1);
}
