//! What one peer knows at one time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cad3::{Cell, Hash};
use convex_client::StatePair;

use crate::ledger::{Ledger, OrderId, OrderKey};
use crate::script::ActiveFaults;
use crate::state::State;

use super::history::History;

/// What one peer knows at one time, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) genesis: Hash,
    pub(crate) genesis_state: Arc<State>,
    pub(crate) key: Hash,
    /// The pair of that key.
    pub(super) order_key: OrderKey,
    /// The orders in the peer's belief; none if the network is too large for beliefs.
    pub(super) heard: Option<Vec<OrderId>>,
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// Number of blocks at each level: block, proposal, consensus, finality.
    pub(crate) levels: [i64; 4],
    /// The history of the peer's own order.
    pub(super) history: History,
    pub(crate) state: Arc<State>,
    /// Highest version of the protocol that the peer can execute.
    pub(crate) protocol: i64,
    /// The peer's clock, in milliseconds since the epoch.
    pub(crate) clock_ms: i64,
    pub(crate) faults: ActiveFaults,
}

impl View {
    /// Returns the block and the hash of the state.
    pub(crate) fn state_pair(&self) -> StatePair {
        StatePair {
            block: self.state.block,
            hash: self.state.hash,
        }
    }

    /// Returns the hash of the peer's belief. In a network that is too large, no cell has it.
    pub(crate) fn belief(&self) -> Hash {
        match &self.heard {
            Some(heard) => self.ledger().belief(heard),
            None => Hash::of(format!("belief {} {:?}", self.key, self.levels).as_bytes()),
        }
    }

    /// Returns the signed block at a position of the peer's order; none if the order has no block
    /// there.
    pub(crate) fn signed_block(&self, index: i64) -> Option<Cell> {
        let index = Some(index).filter(|index| *index < self.levels[0])?;
        let index = usize::try_from(index).ok()?;
        self.ledger().signed_block(self.history, index)
    }

    /// Returns a block, order or belief, or a part of one, by its hash.
    pub(crate) fn signed_cell(&self, hash: &Hash) -> Option<Cell> {
        self.ledger().get(hash)
    }

    /// Signs a value with the peer's key.
    pub(crate) fn sign(&self, value: &Cell) -> Cell {
        self.ledger().sign(self.order_key, value)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
