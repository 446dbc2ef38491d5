//! The limit on connections: regular slots, and a few overflow slots when those are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The free slots.
pub(super) struct ConnectionSlots {
    regular: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    max_connections: usize,
    /// Whether all regular slots were taken at the last connection.
    full: bool,
}

/// The right to serve one connection, until dropped.
pub(super) struct Slot {
    pub(super) is_overflow: bool,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub(super) fn new(regular: usize, overflow: usize) -> Self {
        Self {
            regular: Arc::new(Semaphore::new(regular)),
            overflow: Arc::new(Semaphore::new(overflow)),
            max_connections: regular,
            full: false,
        }
    }

    /// Returns a regular slot, else an overflow slot, else none.
    pub(super) fn acquire(&mut self) -> Option<Slot> {
        let regular = Arc::clone(&self.regular).try_acquire_owned();
        let full = regular.is_err();
        if full && !self.full {
            tracing::warn!(
                max_connections = self.max_connections,
                "connection limit reached; only health checks are answered on further connections"
            );
        }
        self.full = full;
        let Ok(permit) = regular else {
            return self.acquire_overflow();
        };
        Some(Slot {
            is_overflow: false,
            _permit: permit,
        })
    }

    /// Returns an overflow slot, if one is free.
    pub(super) fn acquire_overflow(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.overflow).try_acquire_owned().ok()?;
        Some(Slot {
            is_overflow: true,
            _permit: permit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_slots_are_used_only_while_all_regular_ones_are_taken() {
        let mut slots = ConnectionSlots::new(2, 1);
        let mut taken: Vec<_> = std::iter::from_fn(|| slots.acquire()).collect();
        let overflow: Vec<_> = taken.iter().map(|slot| slot.is_overflow).collect();
        assert_eq!(overflow, [false, false, true]);
        taken.remove(0);
        assert!(slots.acquire().is_some_and(|slot| !slot.is_overflow));
    }
}
