//! Sorts orders into histories by their first differences. Pure.
//!
//! d is the first index at which two orders differ, C and F are the lower of their consensus and
//! finality points. With d below F they are forked. With d below C neither peer accepts the order
//! of the other, but a release before 0.8.15 can take consensus back for a moment, so that takes a
//! second look. Above C they may differ: those are proposals.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use cad3::Hash;
use convex_client::OrderPoints;
use convex_client::belief::Comparison;

use super::facts::{Counted, OrderFacts};
use super::round::OrderComparison;
use super::stakes::Stakes;

/// The first difference of two orders, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstDifference {
    /// It is at this index.
    At(u64),
    /// There is none among this number of blocks.
    Beyond(u64),
}

impl From<&Comparison> for FirstDifference {
    fn from(comparison: &Comparison) -> Self {
        match comparison {
            Comparison::Same { blocks } => Self::Beyond(*blocks),
            Comparison::Different(difference) => Self::At(difference.index),
        }
    }
}

impl FirstDifference {
    /// Returns that of a and c, from this, which is that of a and b, and from that of b and c.
    fn through(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(other)) if one != other => Self::At(one.min(other)),
            (Self::At(one), Self::At(_)) => Self::Beyond(one),
            (Self::Beyond(one), Self::Beyond(other)) => Self::Beyond(one.min(other)),
            (Self::At(at), Self::Beyond(beyond)) | (Self::Beyond(beyond), Self::At(at)) => {
                if at < beyond {
                    Self::At(at)
                } else {
                    Self::Beyond(beyond)
                }
            }
        }
    }
}

/// How the histories of two peers relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The same as far as this number of blocks.
    Same(u64),
    /// Different from the block at this index on.
    Forked(u64),
    /// Not compared.
    Unknown,
}

impl Relation {
    /// Returns the relation of two orders. `is_confirmed`: whether they differed at the same index
    /// long enough ago.
    pub(super) fn new(
        orders: [&OrderFacts; 2],
        first: Option<FirstDifference>,
        is_confirmed: bool,
    ) -> Self {
        let consensus = lower(orders, |points| points.consensus);
        match first {
            None | Some(FirstDifference::Beyond(0)) => Self::Unknown,
            Some(FirstDifference::Beyond(blocks)) => Self::Same(blocks.min(consensus)),
            Some(FirstDifference::At(index)) => {
                let is_suspect = is_suspect(orders, index);
                if index < lower(orders, |points| points.finality) || (is_suspect && is_confirmed) {
                    Self::Forked(index)
                } else {
                    Self::Same(index.min(consensus))
                }
            }
        }
    }
}

/// Whether a difference of two orders at this index becomes a fork when it is seen again.
pub(super) fn is_suspect(orders: [&OrderFacts; 2], index: u64) -> bool {
    index < lower(orders, |points| points.consensus)
}

fn lower(orders: [&OrderFacts; 2], point: impl Fn(&OrderPoints) -> i64) -> u64 {
    let [left, right] = orders.map(|order| u64::try_from(point(&order.points)).unwrap_or_default());
    left.min(right)
}

/// Returns orders in the sequence in which they are grouped: those that reach furthest first, since
/// one that ends before a fork cannot tell the sides apart; of equal ones the heaviest.
pub(super) fn in_sequence(orders: BTreeMap<Hash, Counted>, stakes: &Stakes) -> Vec<Counted> {
    let mut orders: Vec<Counted> = orders.into_values().collect();
    orders.sort_by_key(|(order, _)| {
        let points = order.points;
        let reach = (points.finality, points.consensus, points.block);
        Reverse((reach, stakes.of(&order.key)))
    });
    orders
}

/// The first differences of the orders of a round, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Differences(HashMap<[Hash; 2], FirstDifference>);

impl Differences {
    /// Takes comparisons of the orders with these hashes.
    pub(super) fn new(orders: &[Counted], comparisons: &[OrderComparison]) -> Self {
        let of: HashMap<Hash, &OrderFacts> = orders
            .iter()
            .map(|(order, _)| (order.hash, order))
            .collect();
        let mut differences = Self::default();
        for comparison in comparisons {
            let [left, right] = comparison.orders.map(|hash| of.get(&hash));
            if let (Some(left), Some(right), Some(result)) = (left, right, &comparison.result) {
                differences.add([left, right], result.into());
            }
        }
        differences
    }

    pub(super) fn add(&mut self, [left, right]: [&OrderFacts; 2], first: FirstDifference) {
        self.0.insert([left.blocks, right.blocks], first);
        self.0.insert([right.blocks, left.blocks], first);
    }

    /// Returns what is known of two orders alone.
    pub(super) fn known(&self, [left, right]: [&OrderFacts; 2]) -> Option<FirstDifference> {
        if left.blocks == right.blocks {
            let blocks = u64::try_from(left.points.block).unwrap_or_default();
            return Some(FirstDifference::Beyond(blocks));
        }
        self.0.get(&[left.blocks, right.blocks]).copied()
    }

    /// Returns what is known of two orders, alone or from what is known of both and a third one.
    pub(super) fn between(
        &self,
        [left, right]: [&OrderFacts; 2],
        orders: &[Counted],
    ) -> Option<FirstDifference> {
        self.known([left, right]).or_else(|| {
            let through = |(third, _): &Counted| {
                let (one, other) = (self.known([left, third])?, self.known([third, right])?);
                Some(one.through(other))
            };
            let mut found: Vec<_> = orders.iter().filter_map(through).collect();
            // What says most: where they differ, or that they do not for long.
            found.sort_by_key(|first| match first {
                FirstDifference::At(_) => (0, Reverse(0)),
                FirstDifference::Beyond(blocks) => (1, Reverse(*blocks)),
            });
            found.first().copied()
        })
    }
}

/// Orders sorted into histories, by their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grouping {
    /// The histories, each with the order first that reaches furthest.
    pub(super) groups: Vec<Vec<usize>>,
    /// Orders that belong to no history for sure.
    pub(super) undecided: Vec<usize>,
}

enum Place {
    In(usize),
    Alone,
    Undecided,
}

impl Grouping {
    /// Sorts orders, which are [`in_sequence`], by the relations of two of them.
    ///
    /// # Errors
    /// A relation is not known yet.
    pub(super) fn new<E>(
        orders: &[Counted],
        stakes: &Stakes,
        mut relation: impl FnMut(usize, usize) -> Result<Relation, E>,
    ) -> Result<Self, E> {
        let mut grouping = Self::default();
        for order in 0..orders.len() {
            grouping.sort(orders, stakes);
            match grouping.place(order, &mut relation)? {
                Place::In(group) => grouping.groups[group].push(order),
                Place::Alone => grouping.groups.push(vec![order]),
                Place::Undecided => grouping.undecided.push(order),
            }
        }
        grouping.sort(orders, stakes);
        Ok(grouping)
    }

    /// Puts the heaviest history first.
    fn sort(&mut self, orders: &[Counted], stakes: &Stakes) {
        self.groups.sort_by_key(|group| {
            Reverse(stakes.sum(group.iter().map(|order| &orders[*order].0.key)))
        });
    }

    fn place<E>(
        &self,
        order: usize,
        relation: &mut impl FnMut(usize, usize) -> Result<Relation, E>,
    ) -> Result<Place, E> {
        // The histories that it may belong to, and how far it is the same.
        let mut open: Vec<usize> = (0..self.groups.len()).collect();
        let mut same = Vec::new();
        for (group, members) in self.groups.iter().enumerate() {
            match relation(members[0], order)? {
                Relation::Forked(_) => open.retain(|it| *it != group),
                Relation::Same(blocks) => same.push((group, blocks)),
                Relation::Unknown => {}
            }
            for (group, blocks) in &same {
                let mut reaches_beyond_the_fork = true;
                for other in open.iter().filter(|other| *other != group) {
                    let forked = relation(self.groups[*group][0], self.groups[*other][0])?;
                    reaches_beyond_the_fork &=
                        matches!(forked, Relation::Forked(index) if index < *blocks);
                }
                if reaches_beyond_the_fork {
                    return Ok(Place::In(*group));
                }
            }
        }
        Ok(if open.is_empty() {
            Place::Alone
        } else {
            Place::Undecided
        })
    }
}
