//! What the peers of a network sign: blocks, orders and beliefs, as cells that are found by their
//! hashes (PEER-PROTOCOL, sections 5.8, 5.9 and 15). Cells are made when they are first needed.

use std::collections::{HashMap, VecDeque};

use cad3::{Cell, Hash, Limits, MAX_EMBEDDED_BYTES, VectorParts, decode_message, encode};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::world::History;

/// Tags of the records.
const BELIEF: u8 = 0xd4;
pub(super) const BLOCK: u8 = 0xd6;
const ORDER: u8 = 0xd7;
const INVOKE: u8 = 0xd0;

/// Bytes before the value in the encoding of signed data: tag, key and signature.
const SIGNED_VALUE_OFFSET: usize = 1 + 32 + 64;
/// Number of elements in a leaf of a vector.
const LEAF: usize = 16;
/// Smallest number of beliefs whose cells are kept. Real peers drop old ones too.
const KEPT_BELIEFS: usize = 64;
/// Number of beliefs kept per order in them, so that the belief of one peer can still be read after
/// all others have been polled several times.
const KEPT_BELIEFS_PER_ORDER: usize = 8;
/// Limit of the orders in all kept beliefs, unless these are fewer than the smallest number.
const KEPT_BELIEF_ORDERS: usize = 300_000;
/// Number of signed orders after which those that were made are forgotten, to be made again.
const KEPT_ORDERS: usize = 4096;
/// Blocks have 1 to this many transactions.
const MAX_TRANSACTIONS: usize = 3;

/// A key that signs orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum OrderKey {
    /// The key of the peer with this index.
    Usual(usize),
    /// The other key of that peer.
    Other(usize),
}

/// One order in a belief: which key signs it, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OrderId {
    pub(super) key: OrderKey,
    /// Number of blocks at each level.
    pub(super) levels: [i64; 4],
    pub(super) history: History,
    /// Time of the last change, in milliseconds since the epoch.
    pub(super) timestamp_ms: i64,
}

/// Everything that the peers have signed.
#[derive(Debug)]
pub(super) struct Ledger {
    signers: Vec<Signer>,
    /// Maker and date of each block, in milliseconds since the epoch, and its transaction; none for
    /// those of the traffic.
    blocks: Vec<(usize, i64, Option<Cell>)>,
    chains: HashMap<History, Chain>,
    transaction: Option<Cell>,
    /// Blocks and the complete nodes above them, by hash.
    cells: HashMap<Hash, Cell>,
    orders: HashMap<OrderId, Cell>,
    beliefs: VecDeque<StoredBelief>,
}

/// The blocks of one history.
#[derive(Debug)]
struct Chain {
    signed: Vec<Cell>,
    /// Vectors of the first 0, 16, 32 and so on blocks.
    prefixes: Vec<Cell>,
}

#[derive(Debug)]
struct StoredBelief {
    orders: Vec<OrderId>,
    hash: Hash,
    cells: HashMap<Hash, Cell>,
}

/// A key pair.
#[derive(Debug)]
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    /// Creates the key pair of this seed.
    pub(super) fn new(seed: &Hash) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_bytes());
        Self(pair.expect("32 bytes are a seed"))
    }

    /// Returns the public key.
    pub(super) fn key(&self) -> Hash {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        Hash::new(key)
    }

    /// Returns the other key pair of the same peer.
    pub(super) fn other(&self) -> Self {
        Self::new(&Hash::of(self.key().as_bytes()))
    }

    /// Signs a value over its encoding as a child.
    fn sign(&self, value: &Cell) -> Cell {
        let unsigned = encode(&Cell::signed(&self.key(), &[0; 64], value.clone()));
        let mut signature = [0; 64];
        let signed = self.0.sign(&unsigned[SIGNED_VALUE_OFFSET..]);
        signature.copy_from_slice(signed.as_ref());
        Cell::signed(&self.key(), &signature, value.clone())
    }
}

impl Ledger {
    pub(super) fn new(signers: Vec<Signer>) -> Self {
        Self {
            signers,
            blocks: Vec::new(),
            chains: HashMap::new(),
            transaction: None,
            cells: HashMap::new(),
            orders: HashMap::new(),
            beliefs: VecDeque::new(),
        }
    }

    /// Adds a block of `maker` with this date, in milliseconds since the epoch, and this
    /// transaction.
    pub(super) fn add_block(&mut self, maker: usize, dated_ms: i64, transaction: Option<Cell>) {
        self.blocks.push((maker, dated_ms, transaction));
    }

    /// Returns the hash of the belief with these orders.
    pub(super) fn belief(&mut self, orders: &[OrderId]) -> Hash {
        if let Some(known) = self
            .beliefs
            .iter()
            .rev()
            .find(|belief| belief.orders == orders)
        {
            return known.hash;
        }
        let mut cells = HashMap::new();
        let entries: Vec<_> = orders
            .iter()
            .map(|id| {
                let signed = self.order(id, &mut cells);
                (Cell::from(self.key(id.key)), signed)
            })
            .collect();
        let index = Cell::index(entries).unwrap_or(Cell::Nil);
        keep_index(&mut cells, &index);
        let belief = Cell::record(BELIEF, [index]);
        let hash = belief.hash();
        cells.insert(hash, belief);
        if self.beliefs.len() >= kept_beliefs(orders.len()) {
            self.beliefs.pop_front();
        }
        self.beliefs.push_back(StoredBelief {
            orders: orders.to_vec(),
            hash,
            cells,
        });
        hash
    }

    /// Returns the cell with this hash, without the cells that it refers to.
    pub(super) fn get(&self, hash: &Hash) -> Option<Cell> {
        let recent = self.beliefs.iter().rev();
        let cell = recent
            .map(|belief| &belief.cells)
            .chain([&self.cells])
            .find_map(|cells| cells.get(hash))?;
        let alone = decode_message(&encode(cell), &Limits::default()).ok()?;
        Some(alone.top)
    }

    /// Returns a signed block of a history; none if it has not been made.
    pub(super) fn signed_block(&mut self, history: History, index: usize) -> Option<Cell> {
        self.blocks(history, index.checked_add(1)?);
        self.chains.get(&history)?.signed.get(index).cloned()
    }

    /// Returns the public key.
    pub(super) fn key(&self, key: OrderKey) -> Hash {
        match key {
            OrderKey::Usual(peer) => self.signers[peer].key(),
            OrderKey::Other(peer) => self.signers[peer].other().key(),
        }
    }

    /// Signs a value with a key.
    pub(super) fn sign(&self, key: OrderKey, value: &Cell) -> Cell {
        match key {
            OrderKey::Usual(peer) => self.signers[peer].sign(value),
            OrderKey::Other(peer) => self.signers[peer].other().sign(value),
        }
    }

    /// Returns a signed order, and keeps it and the nodes above its blocks in `cells`.
    fn order(&mut self, id: &OrderId, cells: &mut HashMap<Hash, Cell>) -> Cell {
        let count = usize::try_from(id.levels[0]).unwrap_or_default();
        let blocks = self.blocks(id.history, count);
        keep_vector(cells, &self.cells, &blocks);
        let signed = if let Some(signed) = self.orders.get(id) {
            signed.clone()
        } else {
            let points = Cell::vector(id.levels.map(Cell::integer));
            let order = Cell::record(ORDER, [Cell::integer(id.timestamp_ms), points, blocks]);
            let signed = self.sign(id.key, &order);
            if self.orders.len() >= KEPT_ORDERS {
                self.orders.clear();
            }
            self.orders.insert(id.clone(), signed.clone());
            signed
        };
        keep_signed(cells, &signed);
        signed
    }

    /// Returns the vector of the first `count` blocks of a history.
    fn blocks(&mut self, history: History, count: usize) -> Cell {
        let count = count.min(self.blocks.len());
        let known = self.chains.get(&history).map_or(0, |it| it.signed.len());
        for index in known..count {
            let block = self.block(history, index);
            let chain = self.chains.entry(history).or_insert_with(Chain::new);
            chain.signed.push(block);
            if chain.signed.len().is_multiple_of(LEAF) {
                let prefix = chain.vector(chain.signed.len());
                keep_vector(&mut self.cells, &HashMap::new(), &prefix);
                chain.prefixes.push(prefix);
            }
        }
        let chain = self.chains.entry(history).or_insert_with(Chain::new);
        chain.vector(count)
    }

    /// Makes the block of a history at a position, or takes it from the history that it shares.
    fn block(&mut self, history: History, index: usize) -> Cell {
        let common = match history {
            History::Fork(first) => usize::try_from(first).is_ok_and(|first| index < first),
            History::Common | History::Foreign => false,
        };
        if common {
            let chain = self.chains.get(&History::Common);
            if let Some(block) = chain.and_then(|chain| chain.signed.get(index)) {
                return block.clone();
            }
        }
        let (maker, dated_ms, own) = &self.blocks[index];
        // A millisecond makes the blocks of other histories differ.
        let timestamp_ms = dated_ms + i64::from(!common && history != History::Common);
        let pair = &self.signers[*maker];
        let (transaction, count) = match own {
            Some(own) => (own, 1),
            None => (
                &*self.transaction.get_or_insert_with(|| {
                    let command = Cell::keyword("simulated");
                    let fields = [Cell::address(11), Cell::integer(1), command];
                    pair.sign(&Cell::record(INVOKE, fields))
                }),
                1 + index % MAX_TRANSACTIONS,
            ),
        };
        let transactions = Cell::vector(vec![transaction.clone(); count]);
        keep_signed(&mut self.cells, transaction);
        keep(&mut self.cells, &transactions);
        let fields = [Cell::integer(timestamp_ms), transactions];
        let block = pair.sign(&Cell::record(BLOCK, fields));
        keep_signed(&mut self.cells, &block);
        block
    }
}

/// Returns how many beliefs of this many orders are kept.
fn kept_beliefs(orders: usize) -> usize {
    (KEPT_BELIEFS_PER_ORDER * orders)
        .min(KEPT_BELIEF_ORDERS / orders.max(1))
        .max(KEPT_BELIEFS)
}

impl Chain {
    fn new() -> Self {
        Self {
            signed: Vec::new(),
            prefixes: vec![Cell::vector([])],
        }
    }

    /// Returns the vector of the first `count` blocks.
    fn vector(&self, count: usize) -> Cell {
        let prefix = (count / LEAF).min(self.prefixes.len() - 1);
        let rest = &self.signed[prefix * LEAF..count];
        let appended = rest
            .iter()
            .try_fold(self.prefixes[prefix].clone(), |vector, block| {
                vector.vector_with(block.clone())
            });
        appended.unwrap_or(Cell::Nil)
    }
}

/// Keeps a cell that is not embedded. Returns whether it was not known.
fn keep(cells: &mut HashMap<Hash, Cell>, cell: &Cell) -> bool {
    encode(cell).len() <= MAX_EMBEDDED_BYTES || cells.insert(cell.hash(), cell.clone()).is_none()
}

fn keep_signed(cells: &mut HashMap<Hash, Cell>, signed: &Cell) {
    keep(cells, signed);
    if let Some(parts) = signed.signed_parts() {
        keep(cells, parts.value);
    }
}

/// Keeps the nodes of a vector, except those that are in `known`.
fn keep_vector(cells: &mut HashMap<Hash, Cell>, known: &HashMap<Hash, Cell>, node: &Cell) {
    if known.contains_key(&node.hash()) || !keep(cells, node) {
        return;
    }
    match node.vector_parts() {
        Some(VectorParts::Tail { before, .. }) => keep_vector(cells, known, before),
        Some(VectorParts::Nodes { nodes, .. }) => {
            for node in nodes {
                keep_vector(cells, known, node);
            }
        }
        Some(VectorParts::Elements(_)) | None => {}
    }
}

fn keep_index(cells: &mut HashMap<Hash, Cell>, node: &Cell) {
    keep(cells, node);
    for (_, below) in node.index_node().into_iter().flat_map(|node| node.nodes()) {
        keep_index(cells, below);
    }
}
