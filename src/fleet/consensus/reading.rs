//! Chooses the order whose blocks are read. Pure.

use std::convert::Infallible;

use cad3::Hash;

use super::facts::{WalkFacts, compared_orders};
use super::grouping::{Differences, Grouping, Relation, in_sequence};
use super::round::{BlocksToRead, OrderComparison, Walk};
use super::watch::ConsensusWatch;

/// Returns which blocks to read: of the order that reaches furthest in the history of the majority,
/// or in the only one. `canary_key` signs the transactions of the canary.
pub(super) fn blocks_to_read(
    watch: &ConsensusWatch,
    walks: &[Walk],
    comparisons: &[OrderComparison],
    canary_key: Option<Hash>,
) -> Option<BlocksToRead> {
    let stakes = watch.stakes();
    let facts: Vec<WalkFacts> = walks
        .iter()
        .map(|walk| WalkFacts::new(walk, stakes.judged()))
        .collect();
    let orders = in_sequence(compared_orders(&facts, stakes.judged()), stakes);
    let differences = Differences::new(&orders, comparisons);
    let relation = |left: usize, right: usize| {
        let pair = [left, right].map(|order| &orders[order].0);
        let first = differences.between(pair, &orders);
        Ok::<_, Infallible>(Relation::new(pair, first, true))
    };
    let Ok(grouping) = Grouping::new(&orders, stakes, relation);
    let main = grouping.groups.first()?;
    let stake = stakes.sum(main.iter().map(|order| &orders[*order].0.key));
    if grouping.groups.len() > 1 && !stakes.is_majority(stake) {
        return None;
    }
    let (chosen, _) = orders[*main.first()?];
    let holds = |walk: &&Walk| {
        let belief = walk.belief.as_ref().ok();
        let held = belief.and_then(|belief| belief.orders.get(&chosen.key));
        held.is_some_and(|held| held.hash == chosen.hash)
    };
    let holders: Vec<&Walk> = walks.iter().filter(holds).collect();
    let belief = holders.first()?.belief.as_ref().ok()?;
    let order = belief.orders.get(&chosen.key)?;
    let (range, skipped) = watch.production().to_read(order.blocks.count());
    Some(BlocksToRead {
        order: order.as_ref().clone(),
        holders: holders.iter().map(|walk| walk.name.clone()).collect(),
        range,
        skipped,
        canary_key,
    })
}
