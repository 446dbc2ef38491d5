//! The cells of a peer, children first: reading a belief, comparing the histories of its orders and
//! reading their blocks ends with a result or an error, and what is proven stays proven.
//!
//! The last cell is the belief. Then the last two cells are the blocks of orders that a hostile
//! peer signs, and cells that are blocks are signed too.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use cad3::{Cell, Hash, Limits, MAX_EMBEDDED_BYTES, decode_message, encode, vlq};
use convex_client::belief::{
    BeliefReader, BlockReader, Comparison, HistoryComparison, ProvenBlock, Side, SignedOrder,
};
use libfuzzer_sys::fuzz_target;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// Begins a reference to an earlier cell, whose number follows.
const REFERENCE: [u8; 3] = [0x20, 0xee, 0xee];

/// More rounds of requests than any reader takes: it reports nesting that is deeper.
const MAX_ROUNDS: usize = 64;

/// Record tags.
const BLOCK: u8 = 0xd6;
const ORDER: u8 = 0xd7;

static SIGNER: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed"));

/// Signs a value over its encoding as a child.
fn sign(value: &Cell) -> Cell {
    let key = Hash::new(SIGNER.public_key().as_ref().try_into().expect("32 bytes"));
    let blank = encode(&Cell::signed(&key, &[0; 64], value.clone()));
    let signature = SIGNER.sign(&blank[97..]);
    Cell::signed(&key, signature.as_ref().try_into().expect("64 bytes"), value.clone())
}

/// The cells that a peer has.
#[derive(Default)]
struct Peer(HashMap<Hash, Cell>);

impl Peer {
    /// Reads cells, each with its length before it. Also returns their hashes.
    fn read(mut bytes: &[u8]) -> (Self, Vec<Hash>) {
        let (mut peer, mut hashes) = (Self::default(), Vec::new());
        while let Ok((size, used)) = vlq::read(bytes) {
            let rest = &bytes[used..];
            let size = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
            let encoding = link(&rest[..size], &hashes);
            bytes = &rest[size..];
            hashes.push(match decode_message(&encoding, &Limits::default()) {
                Ok(message) if message.top.record_fields(BLOCK).is_some() => {
                    peer.add(&message.top);
                    peer.add(&sign(&message.top))
                }
                Ok(message) => peer.add(&message.top),
                Err(_) => Hash::of(&encoding),
            });
            if hashes.len() == 256 {
                break;
            }
        }
        (peer, hashes)
    }

    fn add(&mut self, cell: &Cell) -> Hash {
        self.0.insert(cell.hash(), cell.clone());
        cell.hash()
    }

    fn get(&self, hashes: &[Hash]) -> Vec<Option<Cell>> {
        hashes.iter().map(|hash| self.0.get(hash).cloned()).collect()
    }
}

/// Returns a signed order with the blocks that this cell has.
fn order_of(blocks: &Cell) -> Option<SignedOrder> {
    let count = i64::try_from(blocks.count()?).ok()?;
    let points = Cell::vector([count; 4].map(Cell::integer));
    let order = Cell::record(ORDER, [Cell::integer(1), points, blocks.clone()]);
    let mut message = encode(&sign(&order));
    let branch = encode(&order);
    if branch.len() > MAX_EMBEDDED_BYTES {
        vlq::write(branch.len() as u64, &mut message);
        message.extend(branch);
    }
    SignedOrder::from_message(&message).ok()
}

fn link(bytes: &[u8], hashes: &[Hash]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if let Some([number, after @ ..]) = rest.strip_prefix(&REFERENCE)
            && let Some(hash) = hashes.get(usize::from(*number))
        {
            out.push(0x20);
            out.extend(hash.as_bytes());
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

fn compare(peer: &Peer, left: &SignedOrder, right: &SignedOrder) {
    let mut comparison = HistoryComparison::new(&left.blocks, &right.blocks);
    for _ in 0..MAX_ROUNDS {
        let Ok(needed) = comparison.needed().map(|needed| needed.map(<[Hash]>::to_vec)) else { return };
        if let Some(result) = comparison.result() {
            match result {
                Comparison::Same { blocks } => {
                    assert_eq!(*blocks, left.blocks.count().min(right.blocks.count()));
                }
                Comparison::Different(difference) => {
                    assert_ne!(difference.hashes[0], difference.hashes[1]);
                    assert!(difference.index < left.blocks.count().min(right.blocks.count()));
                }
            }
            return;
        }
        for (side, needed) in Side::BOTH.into_iter().zip(needed) {
            if !needed.is_empty() && comparison.add(side, peer.get(&needed)).is_err() {
                return;
            }
        }
    }
    panic!("the comparison does not end");
}

fn read_blocks(peer: &Peer, order: &SignedOrder) {
    let mut reader = BlockReader::new(&order.blocks, 0..u64::MAX);
    for _ in 0..MAX_ROUNDS {
        let Ok(needed) = reader.needed().map(<[Hash]>::to_vec) else { return };
        if !needed.is_empty() {
            if reader.add(peer.get(&needed)).is_err() {
                return;
            }
            continue;
        }
        for read in reader.finish().expect("nothing is needed") {
            if let Ok(block) = read.block {
                let proven = ProvenBlock::from_message(&block.message).expect("it was verified");
                assert_eq!((proven.hash, proven.maker), (read.hash, block.maker));
                assert_eq!(proven.timestamp_ms, block.timestamp_ms);
            }
        }
        return;
    }
    panic!("reading the blocks does not end");
}

fuzz_target!(|bytes: &[u8]| {
    // A message that proves itself, or not.
    let _ = SignedOrder::from_message(bytes);
    let _ = ProvenBlock::from_message(bytes);

    let (peer, hashes) = Peer::read(bytes);
    let blocks = hashes.iter().rev().take(2).filter_map(|hash| order_of(peer.0.get(hash)?));
    let orders: Vec<_> = blocks.collect();
    if let [left, right] = &orders[..] {
        compare(&peer, left, right);
        read_blocks(&peer, left);
    }

    let Some(last) = hashes.last() else { return };
    let mut reader = BeliefReader::new(*last, &[]);
    for _ in 0..MAX_ROUNDS {
        let Ok(needed) = reader.needed().map(<[Hash]>::to_vec) else { return };
        if !needed.is_empty() {
            if reader.add(peer.get(&needed)).is_err() {
                return;
            }
            continue;
        }
        let belief = reader.finish().expect("nothing is needed");
        assert!(belief.orders.len() + belief.rejected.len() <= 254);
        for (key, order) in &belief.orders {
            let proven = SignedOrder::from_message(&order.message).expect("it was verified");
            assert_eq!((&proven.key, proven.hash), (key, order.hash));
        }
        return;
    }
    panic!("reading the belief does not end");
});
