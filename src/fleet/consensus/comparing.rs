//! Says which orders of a round to compare, until each is in a history. Does no I/O.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cad3::Hash;
use convex_client::belief::{Comparison, SignedOrder};

use super::facts::{Counted, OrderFacts, WalkFacts, compared_orders};
use super::grouping::{Differences, Grouping, Relation, in_sequence};
use super::round::{OrderComparison, Walk};
use super::stakes::Stakes;

/// Maximum number of comparisons in a round; what then is not compared waits for the next.
const MAX_COMPARISONS: usize = 256;

/// Finds out which peers of a network have the same history, one comparison after the other: asks
/// [`Self::next_pair`], takes the result with [`Self::record`], and in the end gives what was
/// compared.
#[derive(Debug)]
pub struct HistoryGrouping {
    comparing: Comparing,
    signed: BTreeMap<Hash, Arc<SignedOrder>>,
}

/// The same without the cells of the orders.
#[derive(Debug)]
pub(super) struct Comparing {
    orders: Vec<Counted>,
    stakes: Arc<Stakes>,
    differences: Differences,
    compared: Vec<OrderComparison>,
    failed: HashSet<[usize; 2]>,
    /// Orders that two walked peers signed with one key, to be compared last.
    of_one_key: Vec<[OrderFacts; 2]>,
    /// Number of these that were asked for.
    asked_of_one_key: usize,
    asked: Option<Asked>,
}

/// A comparison that was asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Of the orders at these positions.
    Orders([usize; 2]),
    /// Of the orders of one key at this position.
    OfOneKey(usize),
}

impl HistoryGrouping {
    pub(super) fn new(walks: &[Walk], stakes: Arc<Stakes>) -> Self {
        let judged = stakes.judged();
        let facts: Vec<WalkFacts> = walks
            .iter()
            .map(|walk| WalkFacts::new(walk, judged))
            .collect();
        let beliefs = walks.iter().filter_map(|walk| walk.belief.as_ref().ok());
        let signed = beliefs.flat_map(|belief| belief.orders.values());
        let signed = signed.map(|order| (order.hash, Arc::clone(order)));
        Self {
            signed: signed.collect(),
            comparing: Comparing::new(&facts, stakes),
        }
    }

    /// Returns the two orders to compare next; none if all that can be is known.
    pub fn next_pair(&mut self) -> Option<[Arc<SignedOrder>; 2]> {
        let [left, right] = self.comparing.next_pair()?;
        let signed = |order: OrderFacts| self.signed.get(&order.hash).cloned();
        Some([signed(left)?, signed(right)?])
    }

    /// Takes how the two orders compare; none if that could not be found out.
    pub fn record(&mut self, result: Option<Comparison>) {
        self.comparing.record(result);
    }

    /// Returns what was compared.
    #[must_use]
    pub fn finish(self) -> Vec<OrderComparison> {
        self.comparing.finish()
    }
}

impl Comparing {
    pub(super) fn new(walks: &[WalkFacts], stakes: Arc<Stakes>) -> Self {
        Self {
            orders: in_sequence(compared_orders(walks, stakes.judged()), &stakes),
            stakes,
            differences: Differences::default(),
            compared: Vec::new(),
            failed: HashSet::new(),
            of_one_key: of_one_key(walks),
            asked_of_one_key: 0,
            asked: None,
        }
    }

    pub(super) fn next_pair(&mut self) -> Option<[OrderFacts; 2]> {
        if self.compared.len() >= MAX_COMPARISONS {
            return None;
        }
        let asked = match self.grouping() {
            Err(pair) => Asked::Orders(pair),
            Ok(_) if self.asked_of_one_key < self.of_one_key.len() => {
                self.asked_of_one_key += 1;
                Asked::OfOneKey(self.asked_of_one_key - 1)
            }
            Ok(_) => return None,
        };
        self.asked = Some(asked);
        Some(self.orders_of(asked))
    }

    pub(super) fn record(&mut self, result: Option<Comparison>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let orders = self.orders_of(asked);
        match (asked, &result) {
            (_, Some(result)) => self.differences.add(orders.each_ref(), result.into()),
            (Asked::Orders(pair), None) => drop(self.failed.insert(pair)),
            (Asked::OfOneKey(_), None) => {}
        }
        let orders = orders.map(|order| order.hash);
        self.compared.push(OrderComparison { orders, result });
    }

    pub(super) fn finish(self) -> Vec<OrderComparison> {
        self.compared
    }

    fn orders_of(&self, asked: Asked) -> [OrderFacts; 2] {
        match asked {
            Asked::Orders(pair) => pair.map(|order| self.orders[order].0),
            Asked::OfOneKey(position) => self.of_one_key[position],
        }
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
            // An order without blocks has no history.
            let has_blocks = orders.iter().all(|order| order.points.block > 0);
            if first.is_none() && has_blocks && !self.failed.contains(&[left, right]) {
                return Err([left, right]);
            }
            Ok(Relation::new(orders, first, true))
        })
    }
}

/// Returns the orders with different blocks that two walked peers hold under one key, which both
/// show.
fn of_one_key(walks: &[WalkFacts]) -> Vec<[OrderFacts; 2]> {
    let mut pairs = Vec::new();
    for (position, walk) in walks.iter().enumerate() {
        let others = walks[..position].iter().filter(|it| it.key == walk.key);
        for other in others {
            if let (Some(one), Some(two)) = (other.own_order(), walk.own_order())
                && one.blocks != two.blocks
            {
                pairs.push([*one, *two]);
            }
        }
    }
    pairs
}
