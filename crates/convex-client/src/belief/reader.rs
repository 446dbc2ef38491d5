//! Reads a belief round by round (PEER-PROTOCOL, section 15). Does no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cad3::{Cell, Hash};

use super::cache::BeliefCache;
use super::cells::{CheckedCells, Needed};
use super::error::{BeliefError, SignedError};
use super::index::entries;
use super::order::SignedOrder;

/// Record tag of a Belief.
const BELIEF_TAG: u8 = 0xd4;

/// Maximum number of orders that are read from one belief: as many as one data request has hashes.
pub const MAX_ORDERS: usize = 254;

/// What a peer has heard: the newest signed order of each peer, including its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Belief {
    /// Hash of the belief.
    pub hash: Hash,
    /// Number of orders in the belief.
    pub count: u64,
    /// The orders that were read and are valid, by the keys of the peers.
    pub orders: BTreeMap<Hash, Arc<SignedOrder>>,
    /// The orders that were read and prove nothing, by the keys under which they stand.
    pub rejected: BTreeMap<Hash, SignedError>,
    /// The keys whose orders were requested; absent if all orders were.
    requested: Option<BTreeSet<Hash>>,
}

/// What a belief holds of one peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held<'a> {
    /// A valid signed order.
    Order(&'a SignedOrder),
    /// An order that proves nothing.
    Rejected(SignedError),
    /// No order.
    Nothing,
    /// Not compared: the belief has more orders than are read, and this was not among them.
    Unread,
}

impl Belief {
    /// Returns what the belief holds of the peer with this key.
    #[must_use]
    pub fn held(&self, key: &Hash) -> Held<'_> {
        if let Some(order) = self.orders.get(key) {
            return Held::Order(order);
        }
        if let Some(error) = self.rejected.get(key) {
            return Held::Rejected(*error);
        }
        match &self.requested {
            Some(requested) if !requested.contains(key) => Held::Unread,
            _ => Held::Nothing,
        }
    }

    /// Returns the number of orders that were not read, because the belief has more than
    /// [`MAX_ORDERS`].
    #[must_use]
    pub fn unread(&self) -> u64 {
        let read = self.orders.len() + self.rejected.len();
        self.count.saturating_sub(read as u64)
    }
}

/// Reads a belief from its hash.
///
/// ```
/// use cad3::{Cell, Hash, encode};
/// use convex_client::belief::BeliefReader;
///
/// // A belief without orders. A peer shows its hash in its status and has the cell by its hash.
/// let belief = Cell::record(0xd4, [Cell::index([]).unwrap()]);
/// let mut reader = BeliefReader::new(belief.hash(), &[]);
/// assert_eq!(reader.needed()?, [belief.hash()]);
/// reader.add(vec![Some(belief.clone())])?;
/// assert_eq!(reader.needed()?, []);
/// assert_eq!(reader.finish()?.orders.len(), 0);
/// # Ok::<(), convex_client::belief::BeliefError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BeliefReader {
    hash: Hash,
    heaviest: Vec<Hash>,
    cache: Arc<BeliefCache>,
    cells: CheckedCells,
    needed: Vec<Hash>,
    read: Option<Belief>,
}

/// An order of a belief whose signature is to be checked, or was.
enum Found {
    Verified(Arc<SignedOrder>),
    /// A signed order and the order in it.
    Read(Cell, Cell),
}

/// The state of a belief whose cells arrive.
enum Progress {
    Needs(Vec<Hash>),
    Done(Belief),
}

impl BeliefReader {
    /// Creates a reader of the belief with this hash. `heaviest` are the keys of the peers in the
    /// order of their stake, which matters if the belief has more than [`MAX_ORDERS`] orders: only
    /// those of the first [`MAX_ORDERS`] keys are read then.
    #[must_use]
    pub fn new(hash: Hash, heaviest: &[Hash]) -> Self {
        Self {
            hash,
            heaviest: heaviest.iter().copied().take(MAX_ORDERS).collect(),
            cache: Arc::default(),
            cells: CheckedCells::default(),
            needed: Vec::new(),
            read: None,
        }
    }

    /// Requests no cell and verifies no order that `cache` has, and adds those that it reads.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<BeliefCache>) -> Self {
        self.cells = CheckedCells::with_cache(Arc::clone(&cache));
        self.cache = cache;
        self
    }

    /// Returns the hashes of the cells to request next; none if the belief is complete.
    ///
    /// # Errors
    /// The cell is not a belief.
    pub fn needed(&mut self) -> Result<&[Hash], BeliefError> {
        self.needed.clear();
        if self.read.is_none() {
            match self.progress()? {
                Progress::Needs(hashes) => self.needed = hashes,
                Progress::Done(belief) => self.read = Some(belief),
            }
        }
        Ok(&self.needed)
    }

    /// Adds the cells that the peer has for the hashes that [`Self::needed`] returned, in their
    /// order.
    ///
    /// # Errors
    /// A cell is missing or is another one, or there are too many.
    pub fn add(&mut self, received: Vec<Option<Cell>>) -> Result<(), BeliefError> {
        let requested = std::mem::take(&mut self.needed);
        self.cells.add(&requested, received)
    }

    /// Returns the belief.
    ///
    /// # Errors
    /// The belief is not valid, or not complete: [`BeliefError::Gone`].
    pub fn finish(mut self) -> Result<Belief, BeliefError> {
        let missing = self.needed()?.first().copied();
        let hash = missing.unwrap_or(self.hash);
        self.read.ok_or(BeliefError::Gone { hash })
    }

    fn progress(&self) -> Result<Progress, BeliefError> {
        let mut needed = Needed::default();
        let Some(belief) = self.cells.get(&self.hash)? else {
            return Ok(Progress::Needs(vec![self.hash]));
        };
        let orders = belief
            .record_fields(BELIEF_TAG)
            .and_then(|fields| fields.get(0))
            .ok_or(BeliefError::Malformed {
                hash: self.hash,
                problem: "it is not a belief",
            })?;
        let Some(index) = self.cells.resolve(orders, &mut needed)? else {
            return Ok(Progress::Needs(needed.into_hashes()));
        };
        let count = index.count().unwrap_or_default();
        let requested = (count > MAX_ORDERS as u64)
            .then(|| self.heaviest.iter().copied().collect::<BTreeSet<_>>());
        let values = entries(&index, &self.cells, requested.as_ref(), &mut needed)?;
        let mut found = Vec::with_capacity(values.len());
        for (key, value) in values {
            if let Some(order) = self.cache.order(&value.hash()) {
                found.push((key, Found::Verified(order)));
                continue;
            }
            let Some(signed) = self.cells.resolve(&value, &mut needed)? else {
                continue;
            };
            let order = match signed.signed_parts() {
                Some(parts) => self.cells.resolve(parts.value, &mut needed)?,
                None => Some(Cell::Nil),
            };
            found.push((key, Found::Read(signed, order.unwrap_or(Cell::Nil))));
        }
        if !needed.is_empty() {
            return Ok(Progress::Needs(needed.into_hashes()));
        }
        let (mut orders, mut rejected) = (BTreeMap::new(), BTreeMap::new());
        for (key, found) in found {
            match self.verify(key, found) {
                Ok(order) => drop(orders.insert(key, order)),
                Err(error) => drop(rejected.insert(key, error)),
            }
        }
        Ok(Progress::Done(Belief {
            hash: self.hash,
            count,
            orders,
            rejected,
            requested,
        }))
    }

    /// Returns the valid order that stands under `key`.
    fn verify(&self, key: Hash, found: Found) -> Result<Arc<SignedOrder>, SignedError> {
        let order = match found {
            Found::Verified(order) if order.key == key => order,
            Found::Verified(order) => return Err(SignedError::WrongSigner { signer: order.key }),
            Found::Read(signed, order) => {
                let order = Arc::new(SignedOrder::read(key, &signed, &order)?);
                self.cache.add_order(&order);
                order
            }
        };
        Ok(order)
    }
}
