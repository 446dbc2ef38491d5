//! Reading the registry of peers from recorded and invented answers.

mod properties;

use std::collections::BTreeMap;

use cad3::{Cell, Hash, Limits, reader};
use convex_client::chain::economics::MAX_SUPPLY_COPPER;
use convex_client::chain::{
    Coverage, MAX_PEERS, MAX_URL_BYTES, RegisteredPeer, Registry, RegistryError, RegistryReader,
    Totals,
};
use convex_client::{ErrorReply, Failure, FailureReason, QueryError, Reply};

const NOW: i64 = 1_795_559_818_830;
const COIN: i64 = 1_000_000_000;

fn key(i: usize) -> Hash {
    Hash::of(&i.to_be_bytes())
}

/// A row as peers send it.
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

/// A page of the state after `block`.
fn page_at(block: i64, registered: i64, rest: impl IntoIterator<Item = Cell>) -> Cell {
    let header = [
        Hash::of(&block.to_be_bytes()).into(),
        Cell::integer(block),
        Cell::integer(NOW),
        Cell::integer(registered),
    ];
    Cell::vector(header.into_iter().chain(rest))
}

fn page(registered: i64, rows: impl IntoIterator<Item = Cell>) -> Cell {
    page_at(7, registered, [Cell::vector(rows)])
}

fn rows(range: std::ops::Range<usize>) -> impl Iterator<Item = Cell> {
    range.map(|i| Cell::vector(row(i)))
}

fn query_error(code: &str) -> Result<Cell, QueryError> {
    Err(QueryError::Refused(ErrorReply {
        code: code.to_owned(),
        message: "as scripted".to_owned(),
    }))
}

fn too_large() -> Result<Cell, QueryError> {
    Err(Failure::new(FailureReason::TooLarge, "as scripted").into())
}

/// A peer with a registry of `registered` peers, which refuses pages of more than `limit`.
struct Peer {
    registered: usize,
    limit: usize,
    /// Number of answers from one state, after which a block is made.
    block_every: usize,
    pages: Vec<(char, usize)>,
}

impl Peer {
    fn new(registered: usize, limit: usize) -> Self {
        Self {
            registered,
            limit,
            block_every: usize::MAX,
            pages: Vec::new(),
        }
    }

    fn answer(&mut self, source: &str) -> Result<Cell, QueryError> {
        let block = i64::try_from(self.pages.len() / self.block_every).expect("few blocks");
        let registered = i64::try_from(self.registered).expect("a small registry");
        if source.contains("(balance a)") {
            let addresses = source.split('#').skip(1).count();
            self.pages.push(('b', addresses));
            return Ok(Cell::vector((0..addresses).map(|_| Cell::integer(COIN))));
        }
        let Some((_, slice)) = source.split_once("(slice peers (min ") else {
            let keys: Vec<Hash> = source
                .split("0x")
                .skip(1)
                .map(|hex| hex[..64].parse().unwrap())
                .collect();
            self.pages.push(('k', keys.len()));
            let position = |key: &Hash| (0..self.registered).find(|i| self::key(*i) == *key);
            let row = |key: &Hash| position(key).map_or(Cell::Nil, |i| Cell::vector(row(i)));
            return Ok(page_at(
                block,
                registered,
                [Cell::vector(keys.iter().map(row))],
            ));
        };
        let number = |text: &str| {
            let number = text.split(' ').next().expect("a first word");
            number.parse::<usize>().expect("a number")
        };
        let to = slice.split("(min ").nth(1).expect("two bounds");
        let (from, to) = (number(slice), number(to));
        let sums = source.contains("reduce");
        self.pages.push((if sums { 's' } else { 'r' }, to - from));
        if to - from > self.limit {
            return query_error("JUICE");
        }
        let range = from.min(self.registered)..to.min(self.registered);
        let rest = if sums {
            let count = i64::try_from(range.len()).expect("a small registry");
            vec![
                Cell::integer(3_003 * COIN * count),
                Cell::from(weight_of(range.len())),
            ]
        } else {
            vec![Cell::vector(rows(range))]
        };
        Ok(page_at(block, registered, rest))
    }

    fn read_with(&mut self, mut reading: RegistryReader) -> Result<Registry, RegistryError> {
        while let Some(query) = reading.next_query() {
            reading.handle_answer(self.answer(query.source()))?;
        }
        Ok(reading.finish().expect("at least one page was read"))
    }

    fn read(&mut self) -> Result<Registry, RegistryError> {
        self.read_with(RegistryReader::default())
    }

    /// Kinds and sizes of the pages, the balances left out.
    fn pages(&self) -> String {
        let pages = self.pages.iter().filter(|(kind, _)| *kind != 'b');
        let pages: Vec<String> = pages.map(|(kind, size)| format!("{kind}{size}")).collect();
        pages.join(" ")
    }
}

fn weight_of(peers: usize) -> f64 {
    3e12 * f64::from(u32::try_from(peers).expect("a small registry"))
}

fn totals(registered: usize) -> Totals {
    let count = i64::try_from(registered).expect("a small registry");
    Totals {
        stake_copper: 3_003 * COIN * count,
        weight: weight_of(registered),
    }
}

#[test]
fn a_registry_is_read_with_the_balances_of_its_controllers() {
    let registry = Peer::new(3, 1000).read().unwrap();
    assert_eq!((registry.state_time_ms, registry.registered), (NOW, 3));
    assert_eq!(registry.state_block, 0);
    assert_eq!(registry.coverage, Coverage::Complete(totals(3)));
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
    let weights = registry.weights();
    assert!((weights[&key(2)] - 1.0 / 3.0).abs() < 1e-12, "{weights:?}");
}

#[test]
fn rows_of_real_peers_are_read() {
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

        // The same as JSON, a moment earlier: only rewards and blocks may differ.
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
fn a_large_registry_is_read_in_pages_of_one_state() {
    let mut peer = Peer::new(9_000, 4_000);
    let registry = peer.read().unwrap();
    assert_eq!(peer.pages(), "r4000 r4000 r4000");
    assert_eq!(registry.coverage, Coverage::Complete(totals(9_000)));
    assert_eq!(registry.peers.len(), 9_000);
    let sum: f64 = registry.weights().values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert_eq!(
        registry.controllers.len(),
        1_000,
        "a limited number of balances"
    );
}

#[test]
fn all_pages_are_read_again_when_a_block_is_made_between_them() {
    let mut peer = Peer::new(9_000, 4_000);
    peer.block_every = 4;
    let registry = peer.read().unwrap();
    assert_eq!(peer.pages(), "r4000 r4000 r4000");
    assert_eq!(registry.state_block, 0);

    let mut peer = Peer::new(9_000, 4_000);
    peer.pages = vec![('b', 0); 2];
    peer.block_every = 4;
    let registry = peer.read().unwrap();
    assert_eq!(peer.pages(), "r4000 r4000 r4000 r4000 r4000 r4000");
    assert_eq!((registry.state_block, registry.peers.len()), (1, 9_000));
}

#[test]
fn totals_and_watched_keys_are_read_where_blocks_outrun_the_pages() {
    let watched = [key(3), key(8_000), key(9_000)];
    let mut peer = Peer::new(9_000, 100_000);
    peer.block_every = 1;
    let registry = peer.read_with(RegistryReader::new(watched)).unwrap();
    assert_eq!(peer.pages(), ["r4000"; 8].join(" ") + " s25000 k3");
    assert_eq!(registry.coverage, Coverage::Totals(totals(9_000)));
    assert_eq!(registry.state_block, 8, "that of the totals");
    assert_eq!(registry.peers.len(), 2);
    let is_registered = [3, 8_000, 9_000, 4].map(|i| registry.is_registered(&key(i)));
    assert_eq!(is_registered, [Some(true), Some(true), Some(false), None]);
    assert!((registry.stakes()[&key(3)] - 1.0 / 9_000.0).abs() < 1e-12);
    assert_eq!(registry.controllers.len(), 2);
}

#[test]
fn of_more_peers_than_fit_only_totals_and_watched_keys_are_read() {
    let registered = MAX_PEERS + 1;
    let mut peer = Peer::new(registered, 100_000);
    let registry = peer.read_with(RegistryReader::new([key(5)])).unwrap();
    assert_eq!(
        peer.pages(),
        "r4000 ".to_owned() + &["s25000"; 5].join(" ") + " k1"
    );
    assert_eq!(registry.coverage, Coverage::Totals(totals(registered)));
    assert_eq!(
        (registry.registered, registry.peers.len()),
        (registered as u64, 1)
    );

    let mut peer = Peer::new(registered, 100_000);
    peer.block_every = 1;
    let registry = peer.read_with(RegistryReader::new([key(5)])).unwrap();
    assert_eq!(
        registry.coverage,
        Coverage::Watched,
        "the totals are unknown"
    );
    assert!(registry.weights().is_empty());
    assert_eq!(registry.is_registered(&key(5)), Some(true));
}

#[test]
fn a_registry_without_end_is_given_up() {
    let mut reading = RegistryReader::new([key(1)]);
    let mut queries = 0;
    while reading.next_query().is_some() {
        let sums = [Cell::integer(0), Cell::from(0.0)];
        let answer = if queries == 0 {
            page(i64::MAX, rows(0..4000))
        } else {
            page_at(7, i64::MAX, sums)
        };
        reading.handle_answer(Ok(answer)).unwrap();
        queries += 1;
    }
    assert!(queries <= 401, "{queries}");
    assert_eq!(reading.finish().unwrap().coverage, Coverage::Watched);
}

#[test]
fn smaller_pages_are_requested_when_one_is_too_large() {
    let mut peer = Peer::new(600, 250);
    let registry = peer.read().unwrap();
    assert_eq!(peer.pages(), "r4000 r2000 r1000 r500 r250 r250 r250");
    assert_eq!(registry.coverage, Coverage::Complete(totals(600)));

    let mut reading = RegistryReader::default();
    let first = reading.next_query();
    reading.handle_answer(too_large()).unwrap();
    assert_ne!(reading.next_query(), first);

    let mut peer = Peer::new(70, 1000);
    peer.read_with(RegistryReader::default().with_max_page(40))
        .unwrap();
    assert_eq!(peer.pages(), "r40 r40");
}

#[test]
fn a_peer_that_refuses_even_the_smallest_page_is_an_error() {
    let mut peer = Peer::new(70, 0);
    let error = peer.read().unwrap_err();
    assert!(matches!(error, RegistryError::Query(_)), "{error}");
    assert_eq!(
        peer.pages(),
        "r4000 r2000 r1000 r500 r250 r125 r62 r31 r15 r10"
    );
}

#[test]
fn less_is_read_from_a_peer_that_refuses_the_rest() {
    let mut reading = RegistryReader::new([key(0)]);
    reading
        .handle_answer(Ok(page(9_000, rows(0..4000))))
        .unwrap();
    let mut kinds = Vec::new();
    while let Some(query) = reading.next_query() {
        let kind = ["reduce", "get peers", "(balance a)"].map(|part| query.source().contains(part));
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
        reading.handle_answer(query_error("JUICE")).unwrap();
    }
    let [rows, sums, keys] = [[false; 3], [true, false, false], [false, true, false]];
    assert_eq!(kinds, [rows, sums, keys]);
    let registry = reading.finish().unwrap();
    assert_eq!(
        (registry.coverage, registry.registered),
        (Coverage::Watched, 9_000)
    );
    assert!(registry.peers.is_empty() && registry.controllers.is_empty());
}

#[test]
fn after_a_failure_the_same_query_can_go_to_another_peer() {
    let mut reading = RegistryReader::default();
    reading
        .handle_answer(Ok(page(4300, rows(0..4000))))
        .unwrap();
    let query = reading.next_query();
    let failure = Failure::new(FailureReason::Timeout, "as scripted");
    let error = reading
        .handle_answer(Err(failure.clone().into()))
        .unwrap_err();
    assert_eq!(error, RegistryError::Query(failure.into()));
    assert!(reading.handle_answer(query_error("NOBODY")).is_err());
    assert_eq!(reading.next_query(), query);
    reading
        .handle_answer(Ok(page(4300, rows(4000..4300))))
        .unwrap();
    assert!(reading.finish().unwrap().coverage.is_complete());
}

#[test]
fn without_an_answer_there_is_no_registry() {
    assert_eq!(RegistryReader::default().finish(), None);
}

#[test]
fn a_peer_on_two_pages_of_one_state_is_refused() {
    let mut reading = RegistryReader::default();
    reading
        .handle_answer(Ok(page(4001, rows(0..4000))))
        .unwrap();
    let query = reading.next_query();
    let error = reading
        .handle_answer(Ok(page(4001, rows(9..10))))
        .unwrap_err();
    assert!(error.to_string().ends_with("is on two pages"), "{error}");
    assert_eq!(reading.next_query(), query);
}

#[test]
fn a_missing_controller_block_or_url_is_unknown() {
    let mut missing = row(0);
    missing[1] = Cell::Nil;
    missing[5] = Cell::integer(-1);
    missing[6] = Cell::Nil;
    let mut long = row(1);
    long[6] = Cell::string(&"é".repeat(MAX_URL_BYTES / 2 + 1));
    let mut reading = RegistryReader::default();
    reading
        .handle_answer(Ok(page(2, [missing, long].map(Cell::vector))))
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
    let error = reading
        .handle_answer(Ok(value))
        .expect_err("an invalid value");
    assert!(matches!(error, RegistryError::Malformed(_)), "{error}");
    assert_eq!(reading.next_query(), before);
    assert_eq!(
        reading.finish(),
        None,
        "an invalid answer is dropped entirely"
    );
    error.to_string()
}

#[test]
fn an_invalid_row_is_refused_with_the_reason() {
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
fn an_answer_that_is_not_a_page_is_refused() {
    for text in [
        "nil",
        "12",
        "[]",
        "[1 2]",
        "[nil -2 0 0 []]",
        "[nil 0 -1 0 []]",
        "[nil 0 0 -1 []]",
        "[nil nil 0 0 []]",
        "[nil 0 0 0 [] 3]",
    ] {
        let message = problem(reader::read(text).unwrap());
        assert!(message.contains("is not a page"), "{text}: {message}");
    }
    problem(reader::read("[nil 0 0 0 {}]").unwrap());
}

#[test]
fn more_or_fewer_rows_than_requested_are_refused() {
    let message = problem(page(100_000, rows(0..100_000)));
    assert!(
        message.contains("expected 4000 of 100000 peers from position 0"),
        "{message}"
    );
    let message = problem(page(1 << 62, rows(0..3)));
    assert!(
        message.contains("expected 4000 of 4611686018427387904 peers from position 0"),
        "{message}"
    );
    problem(page(2, rows(0..3)));
}

#[test]
fn more_stake_than_coins_is_refused() {
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
fn invalid_balances_are_refused_and_the_peers_kept() {
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
