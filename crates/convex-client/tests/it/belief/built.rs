//! Peers with keys, and a source of the cells that they sign.

use std::collections::HashMap;

use cad3::{Cell, Hash, Limits, decode_message, encode};
use convex_client::belief::{BeliefHead, CellSource};
use convex_client::{Failure, OrderPoints, Status};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The key pair of a peer, which depends only on its number.
pub(super) fn key_pair(number: u32) -> Ed25519KeyPair {
    let seed = Hash::of(&number.to_be_bytes());
    Ed25519KeyPair::from_seed_unchecked(seed.as_bytes()).unwrap()
}

pub(super) fn key(number: u32) -> Hash {
    Hash::new(key_pair(number).public_key().as_ref().try_into().unwrap())
}

/// Signs a value over its encoding as a child.
pub(super) fn sign(number: u32, value: &Cell) -> Cell {
    let blank = encode(&Cell::signed(&key(number), &[0; 64], value.clone()));
    let signature = key_pair(number).sign(&blank[97..]);
    Cell::signed(
        &key(number),
        signature.as_ref().try_into().unwrap(),
        value.clone(),
    )
}

/// A block with this many transactions.
pub(super) fn block(time: i64, transactions: u8) -> Cell {
    let transaction = |i| sign(99, &Cell::blob(&[i; 200]));
    let transactions = Cell::vector((0..transactions).map(transaction));
    Cell::record(0xd6, [Cell::integer(time), transactions])
}

pub(super) fn points(levels: [i64; 4]) -> Cell {
    Cell::vector(levels.map(Cell::integer))
}

/// An order of these blocks, all of which are final.
pub(super) fn order(time: i64, blocks: &Cell) -> Cell {
    let count = i64::try_from(blocks.count().unwrap()).unwrap();
    Cell::record(
        0xd7,
        [Cell::integer(time), points([count; 4]), blocks.clone()],
    )
}

pub(super) fn belief(orders: impl IntoIterator<Item = (Hash, Cell)>) -> Cell {
    let entries = orders.into_iter().map(|(key, order)| (key.into(), order));
    Cell::record(0xd4, [Cell::index(entries).unwrap()])
}

/// A belief with the order of each of these peers, at `time`.
pub(super) fn belief_of(peers: impl IntoIterator<Item = u32>, time: i64, blocks: &Cell) -> Cell {
    belief(
        peers
            .into_iter()
            .map(|peer| (key(peer), sign(peer, &order(time, blocks)))),
    )
}

/// A peer that has cells, and the belief that it shows.
#[derive(Default)]
pub(super) struct Source {
    cells: HashMap<Hash, Cell>,
    /// Cells that are sent instead of others.
    pub(super) instead: HashMap<Hash, Option<Cell>>,
    /// The beliefs that the statuses show, one after another; the last is repeated.
    pub(super) beliefs: Vec<Hash>,
    pub(super) requests: usize,
    pub(super) requested: usize,
}

impl Source {
    /// A peer with this belief.
    pub(super) fn new(belief: &Cell) -> Self {
        let mut source = Self {
            beliefs: vec![belief.hash()],
            ..Self::default()
        };
        source.store(belief);
        source
    }

    /// Stores a value: its top cell, and each cell below it that is not embedded, without the
    /// branches below each.
    pub(super) fn store(&mut self, value: &Cell) {
        let message = cad3::encode_message(value);
        self.store_message(&message);
    }

    pub(super) fn store_message(&mut self, message: &[u8]) {
        let top = decode_message(message, &Limits::TRUSTED).unwrap().top;
        let mut rest = encode(&top).len();
        self.store_encoding(&message[..rest]);
        while rest < message.len() {
            let (size, used) = cad3::vlq::read(&message[rest..]).unwrap();
            let end = rest + used + usize::try_from(size).unwrap();
            self.store_encoding(&message[rest + used..end]);
            rest = end;
        }
    }

    fn store_encoding(&mut self, encoding: &[u8]) {
        let alone = decode_message(encoding, &Limits::TRUSTED).unwrap().top;
        self.cells.insert(Hash::of(encoding), alone);
    }

    pub(super) fn get(&self, hash: &Hash) -> Option<Cell> {
        match self.instead.get(hash) {
            Some(instead) => instead.clone(),
            None => self.cells.get(hash).cloned(),
        }
    }
}

impl CellSource for Source {
    async fn head(&mut self) -> Result<BeliefHead, Failure> {
        let belief = self.beliefs[0];
        if self.beliefs.len() > 1 {
            self.beliefs.remove(0);
        }
        let status = Status {
            genesis: Hash::of(b"genesis"),
            peer_key: key(0),
            order: OrderPoints {
                block: 0,
                proposal: 0,
                consensus: 0,
                finality: 0,
            },
            state: None,
            protocol: None,
        };
        let message = Vec::new();
        Ok(BeliefHead {
            belief,
            status,
            message,
        })
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, Failure> {
        self.requests += 1;
        self.requested += hashes.len();
        Ok(hashes.iter().map(|hash| self.get(hash)).collect())
    }
}
