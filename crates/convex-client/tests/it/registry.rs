//! Reading the registry of peers from answers, recorded and made up.

use std::collections::{BTreeMap, BTreeSet};

use cad3::{Cell, Hash, Limits, reader};
use convex_client::chain::economics::MAX_SUPPLY_COPPER;
use convex_client::chain::{
    MAX_PEERS, MAX_URL_BYTES, RegisteredPeer, Registry, RegistryError, RegistryReader, to_number,
};
use convex_client::{ErrorReply, Failure, FailureReason, QueryError, Reply};
use proptest::prelude::*;

const NOW: i64 = 1_795_559_818_830;
const COIN: i64 = 1_000_000_000;

fn key(i: usize) -> Hash {
    Hash::of(&i.to_be_bytes())
}

/// A row as a peer makes it.
fn row(i: usize) -> Vec<Cell> {
    vec![
        key(i).into(),
        Cell::address(100 + i as u64 / 2),
        Cell::integer(2_000 * COIN),
        Cell::integer(1_000 * COIN),
        Cell::integer(3_003 * COIN),
        Cell::integer(NOW - 1),
        Cell::string("tcp://peer.example:18888"),
    ]
}

fn page(registered: i64, rows: impl IntoIterator<Item = Cell>) -> Cell {
    Cell::vector([
        Cell::integer(NOW),
        Cell::integer(registered),
        Cell::vector(rows),
    ])
}

fn rows(range: std::ops::Range<usize>) -> impl Iterator<Item = Cell> {
    range.map(|i| Cell::vector(row(i)))
}

fn refused(code: &str) -> Result<Cell, QueryError> {
    Err(QueryError::Refused(ErrorReply {
        code: code.to_owned(),
        message: "as scripted".to_owned(),
    }))
}

fn too_large() -> Result<Cell, QueryError> {
    Err(Failure::new(FailureReason::TooLarge, "as scripted").into())
}

/// A peer with a registry of `registered`, which refuses pages above `limit`; it reads the numbers of the questions.
struct Peer {
    registered: usize,
    limit: usize,
    asked: Vec<usize>,
}

impl Peer {
    fn new(registered: usize, limit: usize) -> Self {
        Self {
            registered,
            limit,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, source: &str) -> Result<Cell, QueryError> {
        let Some((_, slice)) = source.split_once("(slice peers (min ") else {
            let addresses = source.split('#').skip(1).count();
            return Ok(Cell::vector((0..addresses).map(|_| Cell::integer(COIN))));
        };
        let number = |text: &str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
        let (from, to) = (number(slice), number(slice.split("(min ").nth(1).unwrap()));
        self.asked.push(to - from);
        if to - from > self.limit {
            return refused("JUICE");
        }
        let range = from.min(self.registered)..to.min(self.registered);
        Ok(page(self.registered.try_into().unwrap(), rows(range)))
    }

    fn read(&mut self) -> Result<Registry, RegistryError> {
        let mut reading = RegistryReader::default();
        while let Some(question) = reading.next_query() {
            reading.handle_answer(self.answer(question.source()))?;
        }
        Ok(reading.finish().unwrap())
    }
}

#[test]
fn a_registry_is_read_with_the_balances_of_its_controllers() {
    let registry = Peer::new(3, 1000).read().unwrap();
    assert_eq!((registry.state_time_ms, registry.registered), (NOW, 3));
    assert!(registry.complete);
    assert_eq!(registry.total_stake_copper, 3 * 3_003 * COIN);
    assert_eq!(
        registry.controllers,
        BTreeMap::from([(100, COIN), (101, COIN)])
    );
    let expected = RegisteredPeer {
        controller: Some(101),
        own_copper: 2_002 * COIN,
        delegated_copper: 1_001 * COIN,
        shares: 3_000 * COIN,
        last_block_ms: Some(NOW - 1),
        url: Some("tcp://peer.example:18888".to_owned()),
    };
    assert_eq!(registry.peers[&key(2)], expected);
    let weights = registry.weights(NOW);
    assert!((weights[&key(2)] - 1.0 / 3.0).abs() < 1e-12, "{weights:?}");
}

#[test]
fn rows_that_real_peers_sent_are_read() {
    for release in ["0.8.0", "0.8.6"] {
        let file = format!(
            "{}/../../tests/vectors/rest-{release}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let file: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let pairs = file["pairs"].as_array().unwrap();
        let pair = |group| {
            let is =
                |pair: &&serde_json::Value| pair["name"] == "peers-table" && pair["group"] == group;
            pairs.iter().find(is).unwrap()["response"].clone()
        };
        let raw = hex::decode(pair("query-raw")["body_hex"].as_str().unwrap()).unwrap();
        let reply = Reply::decode(&raw, &Limits::default()).unwrap().unwrap();
        let recorded = reply.outcome.unwrap();

        let mut reading = RegistryReader::default();
        let rows: Vec<Cell> = recorded.as_elements().unwrap().iter().cloned().collect();
        reading.handle_answer(Ok(page(3, rows))).unwrap();
        let registry = reading.finish().unwrap();

        // What the peer said of the same as JSON, a moment before: only rewards and blocks have moved.
        let json: serde_json::Value =
            serde_json::from_str(pair("query")["body"].as_str().unwrap()).unwrap();
        let json = json["value"].as_array().unwrap();
        assert_eq!(registry.peers.len(), 3, "{release}");
        assert_eq!(json.len(), 3, "{release}");
        for row in json {
            let peer = &registry.peers[&row[0].as_str().unwrap().parse().unwrap()];
            assert_eq!(peer.controller, row[1].as_u64(), "{release}");
            assert_eq!(Some(peer.shares), row[2].as_i64(), "{release}");
            assert_eq!(row[3].as_i64(), Some(0), "{release}");
            assert!(peer.own_copper >= row[4].as_i64().unwrap(), "{release}");
            assert_eq!(peer.delegated_copper, 0, "{release}");
            assert!(peer.last_block_ms >= row[5].as_i64(), "{release}");
            assert_eq!(peer.url.as_deref(), row[6].as_str(), "{release}");
        }
    }
}

#[test]
fn a_large_registry_is_read_in_pages_and_the_rest_counted() {
    let mut peer = Peer::new(600, 1000);
    let registry = peer.read().unwrap();
    assert_eq!(peer.asked, [250, 250, 250]);
    assert_eq!((registry.peers.len(), registry.complete), (600, true));
    assert_eq!(registry.controllers.len(), 300);

    let mut peer = Peer::new(1000, 1000);
    assert!(peer.read().unwrap().complete);
    assert_eq!(peer.asked, [250; 4]);

    let mut peer = Peer::new(100_000, 1000);
    let registry = peer.read().unwrap();
    assert_eq!(peer.asked, [250; 4], "no more is asked");
    assert_eq!(
        (registry.peers.len(), registry.registered),
        (MAX_PEERS, 100_000)
    );
    assert!(!registry.complete);
    let sum: f64 = registry.weights(NOW).values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

#[test]
fn less_is_asked_where_a_page_is_too_much() {
    let mut peer = Peer::new(70, 50);
    let registry = peer.read().unwrap();
    assert_eq!(peer.asked, [250, 50, 50]);
    assert_eq!((registry.peers.len(), registry.complete), (70, true));

    let mut reading = RegistryReader::default();
    let first = reading.next_query();
    reading.handle_answer(too_large()).unwrap();
    assert_ne!(reading.next_query(), first);
}

#[test]
fn a_peer_that_never_has_enough_juice_gives_an_error_and_not_an_endless_reading() {
    let mut peer = Peer::new(70, 0);
    let error = peer.read().unwrap_err();
    assert!(matches!(error, RegistryError::Query(_)), "{error}");
    assert_eq!(peer.asked, [250, 50, 10]);
}

#[test]
fn what_is_known_is_kept_when_the_rest_is_too_much() {
    let mut reading = RegistryReader::default();
    reading.handle_answer(Ok(page(600, rows(0..250)))).unwrap();
    for _ in 0..3 {
        reading.handle_answer(refused("JUICE")).unwrap();
    }
    let question = reading.next_query().unwrap();
    assert!(
        question.source().contains("(balance a)"),
        "{}",
        question.source()
    );
    reading.handle_answer(refused("JUICE")).unwrap();
    assert_eq!(reading.next_query(), None);
    let registry = reading.finish().unwrap();
    assert_eq!(
        (registry.peers.len(), registry.registered, registry.complete),
        (250, 600, false)
    );
    assert!(registry.controllers.is_empty());
}

#[test]
fn after_a_failure_the_same_question_can_go_to_another_peer() {
    let mut reading = RegistryReader::default();
    reading.handle_answer(Ok(page(300, rows(0..250)))).unwrap();
    let question = reading.next_query();
    let failure = Failure::new(FailureReason::Timeout, "as scripted");
    let error = reading
        .handle_answer(Err(failure.clone().into()))
        .unwrap_err();
    assert_eq!(error, RegistryError::Query(failure.into()));
    assert!(reading.handle_answer(refused("NOBODY")).is_err());
    assert_eq!(reading.next_query(), question);
    reading
        .handle_answer(Ok(page(300, rows(250..300))))
        .unwrap();
    assert!(reading.finish().unwrap().complete);
}

#[test]
fn without_an_answer_there_is_no_registry() {
    assert_eq!(RegistryReader::default().finish(), None);
}

#[test]
fn peers_that_move_between_two_pages_are_no_error() {
    let mut reading = RegistryReader::default();
    reading.handle_answer(Ok(page(260, rows(0..250)))).unwrap();
    reading
        .handle_answer(Ok(page(259, rows(249..258))))
        .unwrap();
    let registry = reading.finish().unwrap();
    assert_eq!(
        (registry.peers.len(), registry.registered, registry.complete),
        (258, 259, false)
    );
}

#[test]
fn an_absent_controller_block_or_url_is_unknown() {
    let mut absent = row(0);
    absent[1] = Cell::Nil;
    absent[5] = Cell::integer(-1);
    absent[6] = Cell::Nil;
    let mut long = row(1);
    long[6] = Cell::string(&"é".repeat(MAX_URL_BYTES / 2 + 1));
    let mut reading = RegistryReader::default();
    reading
        .handle_answer(Ok(page(2, [absent, long].map(Cell::vector))))
        .unwrap();
    let registry = reading.finish().unwrap();
    let peer = &registry.peers[&key(0)];
    assert_eq!(
        (peer.controller, peer.last_block_ms, &peer.url),
        (None, None, &None)
    );
    assert_eq!(registry.peers[&key(1)].url, None);
}

fn problem(value: Cell) -> String {
    let mut reading = RegistryReader::default();
    let before = reading.next_query();
    let error = reading.handle_answer(Ok(value)).unwrap_err();
    assert!(matches!(error, RegistryError::Malformed(_)), "{error}");
    assert_eq!(reading.next_query(), before);
    assert_eq!(reading.finish(), None, "nothing of a wrong answer is kept");
    error.to_string()
}

#[test]
fn a_row_with_something_wrong_is_refused_by_what_it_is() {
    for (position, wrong, expected) in [
        (0, "0x1234", "row 1: 0x1234 is not a peer key"),
        (1, "13", "row 1: 13 is not a controller"),
        (
            2,
            "-1",
            "row 1: -1 is not a stake, expected 0 to 1000000000000000000",
        ),
        (
            2,
            "4611686018427387904",
            "row 1: 4611686018427387904 is not a stake",
        ),
        (3, "1.0", "row 1: 1.0 is not a delegated stake"),
        (4, "nil", "row 1: nil is not a balance"),
        (
            4,
            "99999999999999999999",
            "row 1: 99999999999999999999 is not a balance",
        ),
        (5, "-2", "row 1: -2 is not a timestamp"),
        (5, "nil", "row 1: nil is not a timestamp"),
    ] {
        let mut bad = row(1);
        bad[position] = reader::read(wrong).unwrap();
        let message = problem(page(2, [row(0), bad].map(Cell::vector)));
        assert!(message.contains(expected), "{message}");
    }
    let short = row(1)[..6].to_vec();
    let message = problem(page(2, [row(0), short].map(Cell::vector)));
    assert!(message.contains("is not a row of 7"), "{message}");
    let message = problem(page(2, [row(0), row(0)].map(Cell::vector)));
    assert!(message.ends_with("is on the page twice"), "{message}");
}

#[test]
fn an_answer_that_is_no_page_is_refused() {
    for text in [
        "nil",
        "12",
        "[]",
        "[1 2]",
        "[-1 0 []]",
        "[1 -1 []]",
        "[1 0 {}]",
        "[nil 0 []]",
        "[1 0 [] 3]",
    ] {
        let message = problem(reader::read(text).unwrap());
        assert!(
            message.contains("is not a vector of time, count and rows"),
            "{text}: {message}"
        );
    }
}

#[test]
fn more_or_fewer_rows_than_asked_for_are_refused() {
    let message = problem(page(100_000, rows(0..100_000)));
    assert!(
        message.contains("expected 250 of 100000 peers from position 0, found 100000"),
        "{message}"
    );
    let message = problem(page(1 << 62, rows(0..3)));
    assert!(
        message.contains("expected 250 of 4611686018427387904 peers from position 0, found 3"),
        "{message}"
    );
    problem(page(2, rows(0..3)));
}

#[test]
fn more_stake_than_coin_is_refused() {
    let rich = |i| {
        let mut row = row(i);
        row[4] = Cell::integer(MAX_SUPPLY_COPPER);
        Cell::vector(row)
    };
    let message = problem(page(20, (0..20).map(rich)));
    assert!(
        message.contains("the stake of the peers exceeds the coin supply"),
        "{message}"
    );
}

#[test]
fn wrong_balances_are_refused_and_the_peers_kept() {
    for text in [
        "nil",
        "[]",
        "[1 2]",
        "[-1]",
        "[\"much\"]",
        "[4611686018427387904]",
    ] {
        let mut reading = RegistryReader::default();
        reading.handle_answer(Ok(page(1, rows(0..1)))).unwrap();
        let error = reading
            .handle_answer(Ok(reader::read(text).unwrap()))
            .unwrap_err();
        assert!(
            matches!(error, RegistryError::Malformed(_)),
            "{text}: {error}"
        );
        let registry = reading.finish().unwrap();
        assert_eq!((registry.peers.len(), registry.controllers.len()), (1, 0));
    }
    let mut reading = RegistryReader::default();
    reading.handle_answer(Ok(page(1, rows(0..1)))).unwrap();
    reading
        .handle_answer(Ok(reader::read("[nil]").unwrap()))
        .unwrap();
    assert!(
        reading.finish().unwrap().controllers.is_empty(),
        "no such account"
    );
}

/// Any cell, often of the shape that is asked for.
fn cells() -> impl Strategy<Value = Cell> {
    let leaf = prop_oneof![
        Just(Cell::Nil),
        any::<i64>().prop_map(Cell::integer),
        (0i64..4).prop_map(Cell::integer),
        (0..4usize).prop_map(|i| key(i).into()),
        any::<u64>().prop_map(Cell::address),
        any::<f64>().prop_map(Cell::from),
        any::<bool>().prop_map(Cell::from),
        ".{0,20}".prop_map(|text| Cell::string(&text)),
        any::<[u8; 32]>().prop_map(|bytes| Cell::Ref(Hash::new(bytes).into())),
    ];
    let any_cell = leaf.prop_recursive(3, 24, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Cell::vector),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Cell::map),
        ]
    });
    let replaced = (0..4usize, prop::option::of((0..7usize, any_cell.clone())));
    let row = replaced.prop_map(|(i, replaced)| {
        let mut row = row(i);
        if let Some((position, cell)) = replaced {
            row[position] = cell;
        }
        Cell::vector(row)
    });
    let page = (0i64..4, prop::collection::vec(row, 0..4)).prop_map(|(n, rows)| page(n, rows));
    prop_oneof![any_cell, page]
}

proptest! {
    #[test]
    fn whatever_is_answered_the_registry_is_sound(answers in prop::collection::vec(cells(), 0..6)) {
        let mut reading = RegistryReader::default();
        for answer in answers {
            if let Err(error) = reading.handle_answer(Ok(answer)) {
                prop_assert!(error.to_string().len() < 400, "{error}");
            }
            let question = reading.next_query();
            prop_assert!(question.is_none_or(|question| question.source().len() < 20_000));
        }
        if let Some(registry) = reading.finish() {
            let weights = registry.weights(registry.state_time_ms);
            let sum: f64 = weights.values().sum();
            prop_assert!(weights.is_empty() || (sum - 1.0).abs() < 1e-9);
            prop_assert!((0..=MAX_SUPPLY_COPPER).contains(&registry.total_stake_copper));
            prop_assert!(registry.controllers.keys().collect::<BTreeSet<_>>().len() <= MAX_PEERS);
            for peer in registry.peers.values() {
                prop_assert!(peer.own_copper >= 0 && peer.delegated_copper >= 0);
            }
        }
    }

    #[test]
    fn any_cell_is_a_gauge_or_an_error(cell in cells()) {
        if let Err(error) = to_number(&cell) {
            prop_assert!(error.to_string().contains(cell.kind()));
        }
    }
}
