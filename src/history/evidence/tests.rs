//! Evidence of a simulated fork: what is kept, for how long, and what is wrong with altered files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::belief::{compare_histories_at, read_belief};
use convex_simulator::{Options, Script, Simulation, Traffic};
use tokio::time::Instant;

use crate::fleet::{Condition, OrderComparison, Round, Walk};
use crate::history::event::EventKind;
use crate::history::event_log::EventLog;

use super::store::{EvidenceError, EvidenceStore};
use super::{Compared, Document, EvidenceKeeper, Incident};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// 2027-01-15T08:00:00Z.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn log() -> Arc<EventLog> {
    Arc::new(EventLog::new(start()))
}

/// The round of a network of four peers, of which peer 2 forks at block 1020 and peer 4 is down.
async fn round() -> Round {
    let options = Options {
        peers: 4,
        script: Script::parse(["fork=1020:2", "refuse:4"], 4).unwrap(),
        traffic: Some(Traffic::parse("1s", 4).unwrap()),
        ..Options::default()
    };
    let mut simulation = Simulation::new(options, start()).unwrap();
    let (after, timeout) = (Duration::from_secs(60), Duration::from_secs(5));
    let mut walks = Vec::new();
    for peer in 1..=4 {
        let mut cells = simulation.cells(peer, after, timeout);
        let (key, status, belief) = match read_belief(&mut cells, &[]).await {
            Ok((head, belief)) => (Some(head.status.peer_key), head.message, Ok(belief)),
            Err(error) => (None, Vec::new(), Err(error.to_string())),
        };
        walks.push(Walk {
            name: format!("sim-{peer}"),
            key,
            at: Instant::now(),
            wall: start() + after,
            every: Duration::from_secs(60),
            belief,
            status,
            registered: BTreeMap::new(),
        });
    }
    let [one, two] = [0, 1].map(|walk: usize| walks[walk].own_order().unwrap());
    let mut cells = simulation.cells(1, after, timeout);
    let result = compare_histories_at(&mut cells, &one.blocks, &two.blocks).await;
    let comparisons = vec![OrderComparison {
        orders: [one.hash, two.hash],
        result: Some(result.unwrap()),
    }];
    Round {
        at: Instant::now(),
        wall: start() + after,
        walks,
        comparisons,
        blocks: None,
    }
}

async fn incident() -> Incident {
    let mut incident = Incident::new("main", "sim-2", Condition::Diverged, start());
    incident.add_round(&round().await);
    incident
}

fn store(state_dir: &Path) -> EvidenceStore {
    EvidenceStore::in_state_dir(state_dir)
}

#[tokio::test]
async fn an_incident_is_kept_with_everything_that_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let incident = incident().await;
    let (id, listing) = store.write(incident.clone(), start() + HOUR).unwrap();
    assert!(id.starts_with("20270115T090000Z-diverged-"), "{id}");
    assert_eq!(listing.files.len(), 1);

    let read = Document::read(&store.read(&id).unwrap()).unwrap();
    assert_eq!((read.id.as_str(), read.recorded), (&*id, start() + HOUR));
    assert_eq!(read.incident, incident);
    let walked: Vec<_> = incident.walks.iter().map(|walk| &*walk.peer).collect();
    assert_eq!(
        walked,
        ["sim-2", "sim-1", "sim-3", "sim-4"],
        "its own first"
    );
    for walk in &incident.walks {
        let is_down = walk.peer == "sim-4";
        assert_eq!(walk.error.is_some(), is_down, "{}", walk.peer);
        assert_eq!(walk.status.is_none(), is_down, "{}", walk.peer);
    }
    // Peers 1 and 3 hold the same orders.
    let shared = incident.orders.iter().filter(|it| it.held_by.len() == 2);
    assert_eq!(shared.count(), 4);
    let [Compared::DifferentBlocks { index, blocks, .. }] = &incident.compared[..] else {
        panic!("{:?}", incident.compared);
    };
    assert_eq!(*index, 1020);
    assert!(blocks.iter().all(|block| block.message.is_some()));
    let signatures = read.signatures();
    assert_eq!(signatures.invalid, [""; 0]);
    assert_eq!(signatures.total, incident.orders.len() + 2);
}

#[tokio::test]
async fn what_is_not_as_it_was_signed_is_found() {
    type Alter = dyn Fn(&mut Incident);
    let incident = incident().await;
    let alterations: [(&str, &Alter); 6] = [
        ("the signature is not valid", &|it| {
            it.orders[0].message.0[50] ^= 1;
        }),
        ("another key, time", &|it| it.orders[0].points[3] += 1),
        ("another key, time", &|it| it.orders[0].timestamp_ms -= 1),
        ("another key, time", &|it| {
            it.orders[0].key = it.orders[1].key;
        }),
        ("the signed block is 0x", &|it| {
            if let Compared::DifferentBlocks { blocks, .. } = &mut it.compared[0] {
                blocks[0].message = blocks[1].message.clone();
            }
        }),
        ("it is not a block", &|it| {
            let order = it.orders[0].message.clone();
            if let Compared::DifferentBlocks { blocks, .. } = &mut it.compared[0] {
                blocks[1].message = Some(order);
            }
        }),
    ];
    for (expected, alter) in alterations {
        let mut altered = incident.clone();
        alter(&mut altered);
        let document = Document::new("id".to_owned(), start(), altered);
        let invalid = document.signatures().invalid;
        assert_eq!(invalid.len(), 1, "{expected}: {invalid:?}");
        assert!(invalid[0].contains(expected), "{expected}: {invalid:?}");
    }
}

#[test]
fn a_file_that_is_no_evidence_is_refused_with_what_it_is() {
    let known = r#""format":"convex-peer-monitor evidence""#;
    for (text, expected) in [
        ("", "truncated or not an evidence file"),
        (r#"{"format":"x","version":1}"#, r#"its format is "x""#),
        (&format!("{{{known},\"version\":2}}"), "its version is 2"),
        (&format!("{{{known},\"version\":1}}"), "missing field `id`"),
    ] {
        let error = Document::read(text.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

/// Writes an incident of a peer of this name, and returns its id.
fn write(store: &EvidenceStore, peer: &str, at: SystemTime) -> String {
    let incident = Incident::new("main", peer, Condition::Receding, at);
    store.write(incident, at).unwrap().0
}

fn ids(store: &EvidenceStore) -> Vec<String> {
    let files = store.list().unwrap().files;
    files.into_iter().map(|file| file.id).collect()
}

#[test]
fn of_too_many_files_the_oldest_go_unless_they_are_younger_than_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path());
    store.max_files = 2;
    let old: Vec<_> = (0..3)
        .map(|i| write(&store, "a", start() + HOUR * i))
        .collect();
    assert_eq!(ids(&store), old, "all are younger than a day");
    let new = write(&store, "a", start() + DAY + HOUR * 3 / 2);
    // Of two that are older than a day both are too many.
    assert_eq!(ids(&store), [old[2].clone(), new]);
}

#[test]
fn of_too_many_bytes_the_oldest_go_however_young_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path());
    let first = write(&store, "a", start());
    store.max_bytes = 2 * store.list().unwrap().files[0].bytes;
    let second = write(&store, "a", start() + HOUR);
    assert_eq!(ids(&store), [first, second.clone()]);
    let third = write(&store, "a", start() + HOUR * 2);
    assert_eq!(ids(&store), [second, third]);
}

#[test]
fn files_of_others_are_left_alone_and_those_of_a_crash_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let evidence = dir.path().join("evidence");
    fs::create_dir(&evidence).unwrap();
    let victim = dir.path().join("victim.json");
    fs::write(&victim, "precious").unwrap();
    let id = "20260101T000000Z-forked-00112233";
    for name in ["notes.txt", "20260101-forked-00112233.json", "a.json.new"] {
        fs::write(evidence.join(name), "x").unwrap();
    }
    fs::create_dir(evidence.join(format!("{id}.json"))).unwrap();
    let link = "20260101T000000Z-forked-44556677";
    symlink(&victim, evidence.join(format!("{link}.json"))).unwrap();
    let crashed = evidence.join("20260101T000000Z-forked-8899aabb.json.new");
    fs::write(&crashed, "half").unwrap();

    let mut store = store(dir.path());
    (store.max_files, store.max_bytes) = (0, 0);
    let incident = Incident::new("main", "a", Condition::Receding, start());
    let (_, listing) = store.write(incident, start() + DAY).unwrap();
    assert_eq!(listing.foreign.len(), 5, "{:?}", listing.foreign);
    assert_eq!(listing.files, [], "more bytes than are allowed");
    assert!(!crashed.exists());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let error = store.read(link).unwrap_err().to_string();
    assert!(error.contains("a symbolic link"), "{error}");
}

#[test]
fn an_id_never_leads_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    fs::write(dir.path().join("state.json"), "secret").unwrap();
    for id in [
        "../state",
        "/etc/passwd",
        "",
        "20260101T000000Z-a/../x-00112233",
    ] {
        let error = store.read(id).unwrap_err();
        assert!(matches!(error, EvidenceError::Unknown { .. }), "{id}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_stops_nothing_and_is_used_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("evidence");
    fs::write(&place, "a file").unwrap();
    let log = log();
    let keeper = EvidenceKeeper::new(Some(dir.path()), &log);
    let incident = Incident::new("main", "a", Condition::Receding, start());
    let error = store(dir.path())
        .write(incident.clone(), start())
        .unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    keeper.keep(incident.clone()).await;
    assert!(log.oldest().is_none(), "nothing was kept");
    fs::remove_file(&place).unwrap();
    keeper.keep(incident).await;
    let kept = ids(&store(dir.path()));
    assert_eq!(kept.len(), 1);
    let event = log.oldest().unwrap();
    assert_eq!(event.peer.as_deref(), Some("a"));
    let EventKind::EvidenceKept {
        condition,
        evidence,
    } = &event.kind
    else {
        panic!("{event:?}");
    };
    assert_eq!((&**condition, evidence), ("receding", &kept[0]));
    let read = keeper.read(evidence).await.unwrap().unwrap();
    assert!(read.starts_with(b"{"), "the file as it is");
    let unknown = keeper.read("../evidence").await.unwrap().unwrap_err();
    assert!(matches!(unknown, EvidenceError::Unknown { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_delays_its_caller_for_half_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = EvidenceKeeper::new(Some(dir.path()), &log());
    let turn = keeper.turn().unwrap();
    let hanging = Arc::clone(&turn).acquire_owned().await.unwrap();
    let incident = Incident::new("main", "a", Condition::Receding, start());
    let before = Instant::now();
    keeper.keep(incident).await;
    assert_eq!(before.elapsed(), Duration::from_secs(30));
    assert_eq!(ids(&store(dir.path())).len(), 0);
    assert!(keeper.read("20260101T000000Z-a-00112233").await.is_none());
    assert_eq!(before.elapsed(), Duration::from_secs(35));
    drop(hanging);
}

#[tokio::test]
async fn without_a_state_directory_nothing_is_kept() {
    let keeper = EvidenceKeeper::new(None, &log());
    assert!(!keeper.is_enabled());
    let incident = Incident::new("main", "a", Condition::Receding, start());
    keeper.keep(incident).await;
}
