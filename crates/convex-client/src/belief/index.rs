//! The entries of an Index from keys to values whose nodes arrive one by one.

use std::collections::{BTreeMap, BTreeSet};

use cad3::{Cell, Hash, IndexNode};

use super::cells::{CheckedCells, Needed};
use super::error::BeliefError;

/// A node that has not been visited, and what must hold for it.
struct Pending {
    node: Cell,
    /// Digits that all keys in the node have, by position.
    path: Vec<(u8, u8)>,
    /// Maximum number of entries.
    most: u64,
}

/// Returns the number of entries of the Index `root` and the values by their keys: all values, or
/// those of the keys `only` as far as they are there. Nodes that are missing are added to `needed`.
///
/// # Errors
/// The Index is not valid.
pub(super) fn entries(
    root: &Cell,
    cells: &CheckedCells,
    only: Option<&BTreeSet<Hash>>,
    needed: &mut Needed,
) -> Result<BTreeMap<Hash, Cell>, BeliefError> {
    let mut found = BTreeMap::new();
    let mut pending = vec![Pending {
        node: root.clone(),
        path: Vec::new(),
        most: u64::MAX,
    }];
    let mut complete = true;
    while let Some(Pending { node, path, most }) = pending.pop() {
        let malformed = |problem| BeliefError::Malformed {
            hash: node.hash(),
            problem,
        };
        let Some(cell) = cells.resolve(&node, needed)? else {
            complete = false;
            continue;
        };
        let index = cell
            .index_node()
            .ok_or_else(|| malformed("it is not an index"))?;
        if index.count() > most {
            return Err(malformed("it has more entries than the index above it"));
        }
        if let Some((key, value)) = index.entry() {
            let key = key
                .as_hash()
                .ok_or_else(|| malformed("a key is not 32 bytes"))?;
            if path.iter().any(|(at, digit)| key.digit(*at) != *digit) {
                return Err(malformed("a key is not where its digits belong"));
            }
            if only.is_none_or(|only| only.contains(&key)) {
                found.insert(key, value.clone());
            }
        }
        let Some(depth) = index.depth() else { continue };
        if path.last().is_some_and(|(above, _)| *above >= depth) {
            return Err(malformed("it splits at a digit of the index above it"));
        }
        if sum_of_known_nodes(index, cells)?.is_some_and(|sum| sum != index.count()) {
            return Err(malformed("its count is not the sum of its nodes"));
        }
        for (digit, below) in index.nodes() {
            let mut path = path.clone();
            path.push((depth, digit));
            let matches = |key: &Hash| path.iter().all(|(at, digit)| key.digit(*at) == *digit);
            if only.is_none_or(|only| only.iter().any(matches)) {
                pending.push(Pending {
                    node: below.clone(),
                    path,
                    most: index.count() - 1,
                });
            }
        }
    }
    let count = root.count().unwrap_or_default();
    if only.is_none() && complete && found.len() as u64 != count {
        return Err(BeliefError::Malformed {
            hash: root.hash(),
            problem: "it does not have as many entries as its count",
        });
    }
    Ok(found)
}

/// Returns the number of entries in the nodes of `index` together, unless one is missing.
fn sum_of_known_nodes(
    index: IndexNode<'_>,
    cells: &CheckedCells,
) -> Result<Option<u64>, BeliefError> {
    let mut sum = u64::from(index.entry().is_some());
    for (_, below) in index.nodes() {
        let Some(below) = cells.resolve(below, &mut Needed::default())? else {
            return Ok(None);
        };
        sum = sum.saturating_add(below.count().unwrap_or_default());
    }
    Ok(Some(sum))
}
