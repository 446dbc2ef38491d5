//! The belief that a scripted peer shows, and the cells that it has.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use cad3::{Cell, Hash};

/// The beliefs and cells of a peer, shared by all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beliefs(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    /// The belief in each status, one after another; the last is repeated.
    beliefs: Mutex<VecDeque<Hash>>,
    cells: HashMap<Hash, Cell>,
    /// Number of cells requested so far.
    requested: Mutex<usize>,
}

impl Beliefs {
    /// Shows the `beliefs` with these hashes one after another, and has these cells by their
    /// hashes, which need not be right.
    pub(crate) fn new(beliefs: impl IntoIterator<Item = Hash>, cells: HashMap<Hash, Cell>) -> Self {
        Self(Arc::new(Shown {
            beliefs: Mutex::new(beliefs.into_iter().collect()),
            cells,
            requested: Mutex::default(),
        }))
    }

    /// Number of cells requested so far.
    pub(crate) fn requested(&self) -> usize {
        *self.0.requested.lock().unwrap()
    }

    /// Returns the belief that the next status shows.
    pub(super) fn next(&self) -> Hash {
        let mut beliefs = self.0.beliefs.lock().unwrap();
        let next = beliefs.front().copied();
        if beliefs.len() > 1 {
            beliefs.pop_front();
        }
        next.unwrap_or_else(|| Hash::of(b"belief"))
    }

    /// Returns the cells with these hashes, nil for those that the peer does not have.
    pub(super) fn cells<'a>(&self, hashes: impl Iterator<Item = &'a Cell>) -> Cell {
        let cells = hashes.map(|hash| {
            *self.0.requested.lock().unwrap() += 1;
            let cell = hash.as_hash().and_then(|hash| self.0.cells.get(&hash));
            cell.cloned().unwrap_or(Cell::Nil)
        });
        Cell::vector(cells)
    }
}
