//! Cells of beliefs that were read before. Peers of one network hold the same orders, and on an
//! idle network the same belief, so most of a belief was read from another peer or at another
//! time already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cad3::Hash;

use super::order::SignedOrder;

/// Maximum size, in bytes, of the cells that are kept of those used since
/// [`BeliefCache::forget_unused`], and of the orders: as much as 64 different beliefs of 64 peers
/// take several times.
const MAX_BYTES: usize = 4 << 20;

/// Memory of an order besides its message, in bytes.
const ORDER_BYTES: usize = 400;

/// Cells of beliefs, and the signed orders among them that were verified. A [`BeliefReader`] that
/// is given them neither requests a cell nor verifies an order again: the hash of a cell determines
/// its content.
///
/// [`BeliefReader`]: super::BeliefReader
#[derive(Debug, Default)]
pub struct BeliefCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Encodings of cells that have their hashes.
    cells: ByUse<Arc<[u8]>>,
    /// Valid orders by the hashes of the signed orders.
    orders: ByUse<Arc<SignedOrder>>,
}

impl BeliefCache {
    /// Forgets the cells and orders that were not used since the last call.
    pub fn forget_unused(&self) {
        let mut kept = self.lock();
        kept.cells.forget_unused();
        kept.orders.forget_unused();
    }

    /// Returns the encoding of the cell with this hash.
    pub(super) fn cell(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.lock().cells.get(hash, |cell| cell.len())
    }

    /// Keeps the encoding of a cell, which has this hash.
    pub(super) fn add_cell(&self, hash: Hash, encoding: &Arc<[u8]>) {
        let mut kept = self.lock();
        kept.cells.add(hash, Arc::clone(encoding), encoding.len());
    }

    /// Returns the valid order with this hash.
    pub(super) fn order(&self, hash: &Hash) -> Option<Arc<SignedOrder>> {
        self.lock().orders.get(hash, |order| size_of_order(order))
    }

    /// Keeps a valid order.
    pub(super) fn add_order(&self, order: &Arc<SignedOrder>) {
        let mut kept = self.lock();
        let size = size_of_order(order);
        kept.orders.add(order.hash, Arc::clone(order), size);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic leaves the maps consistent: each entry is complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn size_of_order(order: &SignedOrder) -> usize {
    ORDER_BYTES + order.message.len()
}

/// Values by their hashes, as far as they were used recently.
#[derive(Debug)]
struct ByUse<T> {
    used: HashMap<Hash, T>,
    /// Size of those that were used.
    used_bytes: usize,
    /// Those that were not used since the last call of [`Self::forget_unused`].
    unused: HashMap<Hash, T>,
}

impl<T> Default for ByUse<T> {
    fn default() -> Self {
        Self {
            used: HashMap::new(),
            used_bytes: 0,
            unused: HashMap::new(),
        }
    }
}

impl<T: Clone> ByUse<T> {
    fn forget_unused(&mut self) {
        self.unused = std::mem::take(&mut self.used);
        self.used_bytes = 0;
    }

    fn get(&mut self, hash: &Hash, size: impl Fn(&T) -> usize) -> Option<T> {
        if let Some(value) = self.used.get(hash) {
            return Some(value.clone());
        }
        let value = self.unused.get(hash)?.clone();
        if self.add(*hash, value.clone(), size(&value)) {
            self.unused.remove(hash);
        }
        Some(value)
    }

    /// Returns whether there was room.
    fn add(&mut self, hash: Hash, value: T, size: usize) -> bool {
        let has_room = self.used_bytes + size <= MAX_BYTES;
        if has_room && self.used.insert(hash, value).is_none() {
            self.used_bytes += size;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> Hash {
        Hash::of(&number.to_be_bytes())
    }

    #[test]
    fn values_are_kept_while_they_are_used() {
        let mut values = ByUse::default();
        values.add(hash(1), 1, 1);
        values.add(hash(2), 2, 1);
        for _ in 0..3 {
            values.forget_unused();
            assert_eq!(values.get(&hash(1), |_| 1), Some(1));
        }
        assert_eq!(values.get(&hash(2), |_| 1), None);
        assert_eq!((values.used.len(), values.unused.len()), (1, 0));
    }

    #[test]
    fn the_size_of_the_values_is_bounded() {
        const SIZE: usize = 1024;
        const MOST: usize = MAX_BYTES / SIZE;
        let mut values = ByUse::default();
        for round in 0..3 {
            values.forget_unused();
            for number in 0..2 * MOST {
                values.add(hash(number + round * 2 * MOST), (), SIZE);
            }
        }
        assert_eq!((values.used.len(), values.unused.len()), (MOST, MOST));
        // What does not fit any more is still found until it is forgotten.
        let old = hash(2 * MOST);
        assert_eq!(values.get(&old, |()| SIZE), Some(()));
        assert_eq!(values.used.len(), MOST);
        values.forget_unused();
        assert_eq!(values.get(&old, |()| SIZE), None);
    }

    #[test]
    fn a_value_that_is_added_twice_counts_once() {
        let mut values = ByUse::default();
        for _ in 0..2 {
            values.add(hash(1), (), MAX_BYTES);
        }
        assert_eq!(values.used_bytes, MAX_BYTES);
    }
}
