//! Beliefs that lie: each is bounded, reported for what it is, and accuses no other peer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use cad3::{Cell, Hash, Limits, decode_message, encode, encode_message, vlq};
use convex_peer_monitor::fleet::{Condition, Heard};

use crate::support::fake::{Beliefs, FakePeer, Script};
use crate::support::fleet::equal_stakes;
use crate::support::until;

use super::built::{belief, belief_of, block, key, order, sign};
use super::walked::{NETWORK, Walked};

/// The honest peers have the keys 1 to this; the liars those that follow.
const HONEST: u32 = 4;

/// How often the network is walked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Number of blocks of each order.
const BLOCKS: i64 = 20;

/// Most cells that a peer is asked for in a round, by whatever it answers.
const MAX_REQUESTED: usize = 5000;

/// What a liar shows.
struct Lie {
    name: &'static str,
    beliefs: Beliefs,
    expected: Expected,
}

/// What the agent has to find.
enum Expected {
    /// The walk fails with a problem that contains this text.
    Failure(&'static str),
    /// The belief is read, but what it holds of the first honest peer is this.
    Holds(Heard),
}

/// Blocks that depend on `seed`.
fn blocks(seed: i64) -> Cell {
    Cell::vector((0..BLOCKS).map(|i| sign(1, &block(1_000 * seed + i, 1))))
}

/// Stores a value: each cell of it by its hash, without those below it.
fn store(cells: &mut HashMap<Hash, Cell>, value: &Cell) {
    let message = encode_message(value);
    let top = decode_message(&message, &Limits::TRUSTED).unwrap().top;
    let mut at = encode(&top).len();
    let mut store = |encoding: &[u8]| {
        let alone = decode_message(encoding, &Limits::TRUSTED).unwrap().top;
        cells.insert(Hash::of(encoding), alone);
    };
    store(&message[..at]);
    while at < message.len() {
        let (size, used) = vlq::read(&message[at..]).unwrap();
        let end = at + used + usize::try_from(size).unwrap();
        store(&message[at + used..end]);
        at = end;
    }
}

/// Shows one belief, which is honest or not.
fn shown(belief: &Cell) -> Beliefs {
    let mut cells = HashMap::new();
    store(&mut cells, belief);
    Beliefs::new([belief.hash()], cells)
}

fn order_of(peer: u32, blocks: &Cell) -> (Hash, Cell) {
    (key(peer), sign(peer, &order(7, blocks)))
}

/// A node of an index with any count, depth and nodes.
fn index_node(count: u64, depth: u8, children: &[Hash; 16]) -> Cell {
    let mut encoding = vec![0x84];
    vlq::write(count, &mut encoding);
    encoding.extend([0, depth, 0xff, 0xff]);
    for child in children {
        encoding.push(0x20);
        encoding.extend(child.as_bytes());
    }
    decode_message(&encoding, &Limits::default()).unwrap().top
}

/// A belief whose index is this node, with these cells below it.
fn with_index(index: &Cell, mut cells: HashMap<Hash, Cell>) -> Beliefs {
    let belief = Cell::record(0xd4, [index.clone()]);
    store(&mut cells, &belief);
    store(&mut cells, index);
    Beliefs::new([belief.hash()], cells)
}

/// Nodes that lead to each other: sixteen times the same one at each level.
fn flood() -> Beliefs {
    let mut cells = HashMap::new();
    let mut below = Cell::index([(Cell::from(Hash::of(b"x")), Cell::blob(&[1; 138]))]).unwrap();
    store(&mut cells, &below);
    for depth in (0..10).rev() {
        below = index_node(200, depth, &[below.hash(); 16]);
        store(&mut cells, &below);
    }
    with_index(&below, cells)
}

/// A cell that is sent for its own hash and for that of each node below it would be a cycle, if a
/// hash could be chosen. What can be sent is the belief itself instead of its index.
fn cycle() -> Beliefs {
    let index = index_node(200, 0, &[Hash::of(b"x"); 16]);
    let belief = Cell::record(0xd4, [index.clone()]);
    let mut cells = HashMap::new();
    store(&mut cells, &belief);
    cells.insert(index.hash(), belief.clone());
    Beliefs::new([belief.hash()], cells)
}

/// A million orders, of which only those of the honest peers exist.
fn million(count: u32) -> Beliefs {
    let mut cells = HashMap::new();
    let children: [Hash; 16] = std::array::from_fn(|digit| {
        let entries = (1..=count)
            .filter(|peer| usize::from(key(*peer).digit(0)) == digit)
            .map(|peer| order_of(peer, &blocks(0)))
            .map(|(key, order)| (Cell::from(key), order));
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return Hash::new([u8::try_from(digit).unwrap(); 32]);
        }
        let child = Cell::index(entries).unwrap();
        store(&mut cells, &child);
        child.hash()
    });
    with_index(&index_node(1_000_000, 0, &children), cells)
}

/// The lies, told by peers of which the first has the key `HONEST + 1`.
fn lies() -> Vec<Lie> {
    let honest = blocks(0);
    let with_first = |order: Cell| {
        let others = (2..=HONEST).map(|peer| order_of(peer, &honest));
        shown(&belief(others.chain([(key(1), order)])))
    };
    let forged = Cell::signed(&key(1), &[1; 64], order(9, &blocks(1)));
    let mut changing = HashMap::new();
    let changes: Vec<Hash> = (0..1000)
        .map(|time| {
            let belief = belief_of(1..=HONEST, time, &blocks(0));
            if time == 0 {
                store(&mut changing, &belief);
            }
            belief.hash()
        })
        .collect();
    let another_cell = {
        // Cells that were read from others before are not requested.
        let belief = belief_of(1..=HONEST, 8, &honest);
        let mut cells = HashMap::new();
        store(&mut cells, &belief);
        let signed = sign(1, &order(8, &honest));
        cells.insert(signed.hash(), order_of(2, &honest).1);
        Beliefs::new([belief.hash()], cells)
    };
    let chain = {
        let mut cells = HashMap::new();
        let mut below = index_node(100, 63, &[Hash::of(b"a"); 16]);
        store(&mut cells, &below);
        for depth in (0..63).rev() {
            let count = below.count().unwrap() + 1;
            below = index_node(count, depth, &[below.hash(); 16]);
            store(&mut cells, &below);
        }
        with_index(&below, cells)
    };
    // As many as are registered.
    let million = million(HONEST + 9);
    let lies = [
        (
            "forged",
            with_first(forged),
            Expected::Holds(Heard::Invalid),
        ),
        (
            "another key",
            with_first(sign(HONEST + 2, &order(9, &blocks(2)))),
            Expected::Holds(Heard::Invalid),
        ),
        (
            "a known order under another key",
            with_first(order_of(2, &honest).1),
            Expected::Holds(Heard::Invalid),
        ),
        (
            "flood",
            flood(),
            Expected::Failure("the belief is not valid"),
        ),
        (
            "cycle",
            cycle(),
            Expected::Failure("the belief is not valid: requested the cell"),
        ),
        ("chain", chain, Expected::Failure("the belief is not valid")),
        ("a million orders", million, Expected::Holds(Heard::Current)),
        (
            "another cell",
            another_cell,
            Expected::Failure("the belief is not valid: requested the cell"),
        ),
        (
            "changing",
            Beliefs::new(changes, changing),
            Expected::Failure("not read: the belief changed during each of 3 reads"),
        ),
    ];
    let lie = |(name, beliefs, expected)| Lie {
        name,
        beliefs,
        expected,
    };
    lies.into_iter().map(lie).collect()
}

/// Starts a peer with this belief.
async fn start(peer: u32, beliefs: Beliefs) -> FakePeer {
    FakePeer::start(Script {
        key: key(peer),
        order: [BLOCKS; 4],
        block: BLOCKS - 1,
        beliefs,
        ..Script::default()
    })
    .await
}

#[tokio::test]
async fn a_peer_that_lies_accuses_nobody_else() {
    let lies = lies();
    let mut peers = Vec::new();
    for peer in 1..=HONEST {
        let belief = belief_of(1..=HONEST, 7, &blocks(0));
        peers.push(start(peer, shown(&belief)).await);
    }
    for (peer, lie) in (HONEST + 1..).zip(&lies) {
        peers.push(start(peer, lie.beliefs.clone()).await);
    }
    let mut text = format!(
        "networks: [{{ name: {NETWORK} }}]\n\
         defaults: {{ interval: 1s, timeout: 900ms }}\npeers:\n"
    );
    for (number, peer) in (1..).zip(&peers) {
        let (key, tcp) = (key(number), peer.tcp);
        writeln!(
            text,
            "- {{ name: p{number}, key: '{key}', endpoints: ['tcp://{tcp}'] }}"
        )
        .unwrap();
    }
    let watched = Walked::start(&text, INTERVAL);
    let all = u32::try_from(peers.len()).unwrap();
    let registry = equal_stakes((1..=all).map(key));
    watched
        .fleet
        .record_registry(NETWORK, Some((registry, "p1".to_owned(), false)));
    let mut rounds = 0;
    let mut last_read = None;
    until("four rounds were judged", async || {
        let consensus = watched.consensus();
        let read = consensus.walks.get("p1").and_then(|walk| walk.read);
        rounds += u32::from(read.is_some() && read != last_read);
        last_read = read;
        rounds >= 4
    })
    .await;
    let consensus = watched.consensus();
    for (number, lie) in (HONEST + 1..).zip(&lies) {
        let walk = &consensus.walks[&format!("p{number}")];
        match lie.expected {
            Expected::Failure(expected) => {
                let failure = walk.failure.as_deref().unwrap_or_default();
                assert!(failure.contains(expected), "{}: {failure:?}", lie.name);
            }
            Expected::Holds(expected) => {
                let mut rows = consensus.hearing.iter();
                let hearing = rows.find(|row| row.key == key(number));
                let cell = hearing.and_then(|hearing| hearing.cells.get(&key(1)));
                let heard = cell.map(|cell| cell.heard);
                assert_eq!(heard, Some(expected), "{}: {walk:?}", lie.name);
            }
        }
        let requested = lie.beliefs.requested();
        assert!(
            requested < MAX_REQUESTED * 8,
            "{}: {requested} cells",
            lie.name
        );
    }
    let snapshot = watched.fleet.snapshot();
    let accusations = [Condition::Forked, Condition::Isolated, Condition::Unheard];
    for record in &snapshot.peers[..usize::try_from(HONEST).unwrap()] {
        let name = &record.peer.name;
        for accusation in accusations {
            assert!(
                !record.conditions.contains(&accusation),
                "{name}: {accusation:?}"
            );
        }
        assert_eq!(consensus.walks[name].failure, None, "{name}");
    }
    let histories = consensus.histories.as_ref().map(|it| it.groups.len());
    assert_eq!(histories, Some(1));
}
