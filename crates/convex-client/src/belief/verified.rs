//! Signed orders that were verified before. Peers of one network hold the same orders, so most
//! orders of a belief were read from another peer already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cad3::Hash;

use super::order::SignedOrder;

/// Maximum number of orders that are kept of those used since [`VerifiedOrders::forget_unused`]: as
/// many as 64 peers hold of 64 peers if none holds the order that another one holds. An order takes
/// up to about 800 bytes.
const MAX_VERIFIED: usize = 4096;

/// Signed orders that were read and verified, by their hashes. A [`BeliefReader`] that is given them
/// neither requests nor verifies one of them again: the hash of a signed order determines its key,
/// its content and its signature.
///
/// [`BeliefReader`]: super::BeliefReader
#[derive(Debug, Default)]
pub struct VerifiedOrders(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    used: HashMap<Hash, Arc<SignedOrder>>,
    /// Those that were not used since the last call of [`VerifiedOrders::forget_unused`].
    unused: HashMap<Hash, Arc<SignedOrder>>,
}

impl VerifiedOrders {
    /// Forgets the orders that were not used since the last call.
    pub fn forget_unused(&self) {
        let mut kept = self.lock();
        kept.unused = std::mem::take(&mut kept.used);
    }

    /// Returns the number of orders that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let kept = self.lock();
        kept.used.len() + kept.unused.len()
    }

    /// Returns whether no orders are kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the order with this hash.
    pub(super) fn get(&self, hash: &Hash) -> Option<Arc<SignedOrder>> {
        let mut kept = self.lock();
        if let Some(order) = kept.used.get(hash) {
            return Some(Arc::clone(order));
        }
        let order = Arc::clone(kept.unused.get(hash)?);
        if kept.add(&order) {
            kept.unused.remove(hash);
        }
        Some(order)
    }

    /// Keeps an order that was verified.
    pub(super) fn add(&self, order: &Arc<SignedOrder>) {
        self.lock().add(order);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic leaves the maps consistent: each entry is complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Returns whether there was room.
    fn add(&mut self, order: &Arc<SignedOrder>) -> bool {
        let has_room = self.used.len() < MAX_VERIFIED;
        if has_room {
            self.used.insert(order.hash, Arc::clone(order));
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use cad3::Cell;

    use crate::belief::Blocks;
    use crate::status::OrderPoints;

    use super::*;

    fn order(number: usize) -> Arc<SignedOrder> {
        Arc::new(SignedOrder {
            key: Hash::new([1; 32]),
            hash: Hash::of(&number.to_be_bytes()),
            timestamp_ms: 0,
            points: OrderPoints {
                block: 0,
                proposal: 0,
                consensus: 0,
                finality: 0,
            },
            blocks: Blocks::new(Cell::vector([]), 0).unwrap(),
            message: Vec::new(),
        })
    }

    #[test]
    fn orders_are_kept_while_they_are_used() {
        let verified = VerifiedOrders::default();
        let [used, unused] = [1, 2].map(order);
        verified.add(&used);
        verified.add(&unused);
        for _ in 0..3 {
            verified.forget_unused();
            assert_eq!(verified.get(&used.hash), Some(Arc::clone(&used)));
        }
        assert_eq!(verified.get(&unused.hash), None);
        assert_eq!(verified.len(), 1);
    }

    #[test]
    fn the_number_of_orders_is_bounded() {
        let verified = VerifiedOrders::default();
        for round in 0..3 {
            verified.forget_unused();
            for number in 0..2 * MAX_VERIFIED {
                verified.add(&order(number + round * 2 * MAX_VERIFIED));
            }
        }
        assert_eq!(verified.len(), 2 * MAX_VERIFIED);
        // What does not fit any more is still found until it is forgotten.
        let old = order(2 * MAX_VERIFIED);
        assert_eq!(verified.get(&old.hash), Some(old));
        verified.forget_unused();
        verified.forget_unused();
        assert!(verified.is_empty());
    }
}
