//! The cells that one reader has received, each checked against its hash.

use std::collections::HashMap;
use std::sync::Arc;

use cad3::{Cell, Hash, Limits, decode_message, encode};

use super::cache::BeliefCache;
use super::error::BeliefError;

/// Maximum number of cells of one reader. A belief of 254 orders in a million takes about 1,500.
pub(super) const MAX_CELLS: usize = 4096;
/// Maximum size, in bytes, of the cells of one reader. A belief of 254 orders takes about 130 kB,
/// one of 254 orders in a million 1.4 MB.
pub(super) const MAX_BYTES: usize = 2 << 20;
/// Maximum number of rounds of requests, each for cells that those of earlier rounds refer to. Keys
/// of peers are hashes to an attacker, so the tree of a million of them is at most about 10 nodes
/// deep.
pub(super) const MAX_ROUNDS: usize = 24;

/// Encodings of cells by their hashes, without the cells that they refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckedCells {
    encodings: HashMap<Hash, Arc<[u8]>>,
    bytes: usize,
    rounds: usize,
    /// Cells that were read before.
    cache: Option<Arc<BeliefCache>>,
}

impl CheckedCells {
    /// Knows the cells in `cache` too, and adds those that it receives.
    pub(super) fn with_cache(cache: Arc<BeliefCache>) -> Self {
        Self {
            cache: Some(cache),
            ..Self::default()
        }
    }

    /// Adds the cells that were received for the hashes `requested`, in that order.
    ///
    /// # Errors
    /// A cell is missing, has another hash, or exceeds a limit.
    pub(super) fn add(
        &mut self,
        requested: &[Hash],
        received: Vec<Option<Cell>>,
    ) -> Result<(), BeliefError> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(BeliefError::TooDeep { limit: MAX_ROUNDS });
        }
        let mut received = received.into_iter();
        for hash in requested {
            let cell = received.next().flatten();
            self.add_one(*hash, &cell.ok_or(BeliefError::Gone { hash: *hash })?)?;
        }
        Ok(())
    }

    fn add_one(&mut self, requested: Hash, cell: &Cell) -> Result<(), BeliefError> {
        // Only canonical cells are decoded, so this equals the received bytes. The hash proves it.
        let encoding = encode(cell);
        let received = Hash::of(&encoding);
        if received != requested {
            return Err(BeliefError::WrongHash {
                requested,
                received,
            });
        }
        let size = encoding.len();
        let encoding: Arc<[u8]> = encoding.into();
        if let Some(cache) = &self.cache {
            cache.add_cell(requested, &encoding);
        }
        if self.encodings.insert(requested, encoding).is_some() {
            return Ok(());
        }
        self.bytes += size;
        if self.bytes > MAX_BYTES {
            return Err(BeliefError::TooLarge { limit: MAX_BYTES });
        }
        if self.encodings.len() > MAX_CELLS {
            return Err(BeliefError::TooManyCells { limit: MAX_CELLS });
        }
        Ok(())
    }

    /// Returns the encoding of a cell that was added, or that was read before.
    fn encoding(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        let added = self.encodings.get(hash).cloned();
        added.or_else(|| self.cache.as_ref()?.cell(hash))
    }

    /// Returns a cell that was added.
    ///
    /// # Errors
    /// The cell alone exceeds the limits of decoding.
    pub(super) fn get(&self, hash: &Hash) -> Result<Option<Cell>, BeliefError> {
        let Some(encoding) = self.encoding(hash) else {
            return Ok(None);
        };
        match decode_message(&encoding, &Limits::default()) {
            Ok(message) => Ok(Some(message.top)),
            Err(_) => Err(BeliefError::Malformed {
                hash: *hash,
                problem: "it does not decode",
            }),
        }
    }

    /// Returns a child of a cell: itself if it is embedded, otherwise the cell that was added. Adds
    /// its hash to `needed` if that is still missing.
    ///
    /// # Errors
    /// Same as [`Self::get`].
    pub(super) fn resolve(
        &self,
        child: &Cell,
        needed: &mut Needed,
    ) -> Result<Option<Cell>, BeliefError> {
        let Some(hash) = child.as_missing() else {
            return Ok(Some(child.clone()));
        };
        let found = self.get(&hash)?;
        if found.is_none() {
            needed.push(hash);
        }
        Ok(found)
    }
}

/// Hashes of cells that are needed next, each once, in the order in which they were needed first.
#[derive(Debug, Default)]
pub(super) struct Needed(Vec<Hash>);

impl Needed {
    pub(super) fn push(&mut self, hash: Hash) {
        if !self.0.contains(&hash) {
            self.0.push(hash);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_hashes(self) -> Vec<Hash> {
        self.0
    }
}
