//! Says which orders of a round to compare, until each is in a history. Does no I/O.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cad3::Hash;
use convex_client::belief::{Comparison, SignedOrder};

use super::facts::{Counted, WalkFacts, compared_orders};
use super::grouping::{Differences, FirstDifference, Grouping, Relation, in_sequence};
use super::round::{OrderComparison, Walk};
use super::stakes::Stakes;

/// Maximum number of comparisons in a round; what then is not compared waits for the next.
const MAX_COMPARISONS: usize = 256;

/// Finds out which peers of a network have the same history, one comparison after the other: asks
/// [`Self::next_pair`], takes the result with [`Self::record`], and in the end gives what was
/// compared.
#[derive(Debug)]
pub struct HistoryGrouping {
    orders: Vec<Counted>,
    signed: BTreeMap<Hash, Arc<SignedOrder>>,
    stakes: Arc<Stakes>,
    differences: Differences,
    compared: Vec<OrderComparison>,
    failed: HashSet<[usize; 2]>,
    asked: Option<[usize; 2]>,
}

impl HistoryGrouping {
    pub(super) fn new(walks: &[Walk], stakes: Arc<Stakes>) -> Self {
        let judged = stakes.judged();
        let facts: Vec<WalkFacts> = walks
            .iter()
            .map(|walk| WalkFacts::new(walk, judged))
            .collect();
        let orders = in_sequence(compared_orders(&facts, judged), &stakes);
        let beliefs = walks.iter().filter_map(|walk| walk.belief.as_ref().ok());
        let signed = beliefs.flat_map(|belief| belief.orders.values());
        let signed = signed.map(|order| (order.hash, Arc::clone(order)));
        Self {
            orders,
            signed: signed.collect(),
            stakes,
            differences: Differences::default(),
            compared: Vec::new(),
            failed: HashSet::new(),
            asked: None,
        }
    }

    /// Returns the two orders to compare next; none if all that can be is known.
    pub fn next_pair(&mut self) -> Option<[Arc<SignedOrder>; 2]> {
        if self.compared.len() >= MAX_COMPARISONS {
            return None;
        }
        let pair = self.grouping().err()?;
        self.asked = Some(pair);
        let [left, right] = pair.map(|order| self.signed.get(&self.orders[order].0.hash).cloned());
        left.zip(right).map(|(left, right)| [left, right])
    }

    /// Takes how the two orders compare; none if that could not be found out.
    pub fn record(&mut self, result: Option<Comparison>) {
        let Some(pair) = self.asked.take() else {
            return;
        };
        let orders = pair.map(|order| &self.orders[order].0);
        match &result {
            Some(result) => self.differences.add(orders, result.into()),
            None => drop(self.failed.insert(pair)),
        }
        let orders = orders.map(|order| order.hash);
        self.compared.push(OrderComparison { orders, result });
    }

    /// Returns what was compared.
    #[must_use]
    pub fn finish(self) -> Vec<OrderComparison> {
        self.compared
    }

    /// Sorts the orders into histories. A difference below consensus counts as a fork here, so that
    /// all is compared that its confirmation needs.
    ///
    /// # Errors
    /// These two orders have to be compared first.
    fn grouping(&self) -> Result<Grouping, [usize; 2]> {
        Grouping::new(&self.orders, &self.stakes, |left, right| {
            let orders = [left, right].map(|order| &self.orders[order].0);
            let first = self.differences.known(orders);
            if first.is_none() && !self.failed.contains(&[left, right]) {
                // An order without blocks has no history.
                if orders.iter().any(|order| order.points.block == 0) {
                    return Ok(Relation::new(
                        orders,
                        Some(FirstDifference::Beyond(0)),
                        true,
                    ));
                }
                return Err([left, right]);
            }
            Ok(Relation::new(orders, first, true))
        })
    }
}
