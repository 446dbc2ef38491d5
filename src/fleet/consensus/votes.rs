//! How the registered peers vote, and how much stake stands behind each level. Pure.

use std::cmp::Reverse;

use convex_client::ORDER_LEVELS;
use tokio::time::Instant;

use super::histories::HistoryWatch;
use super::seen::SeenOrders;
use super::stakes::{Stakes, ratio};
use super::verdict::Vote;

/// The head is final for more than one part in this many of the stake.
const HEAD_STAKE_DIVISOR: u128 = 3;

/// Returns the newest orders of the registered peers, the heaviest first.
pub(super) fn votes(seen: &SeenOrders, stakes: &Stakes, now: Instant) -> Vec<Vote> {
    let registered = seen
        .current(now)
        .filter(|seen| stakes.has(&seen.newest.key));
    let mut votes: Vec<Vote> = registered
        .map(|seen| Vote {
            key: seen.newest.key,
            stake: stakes.share(stakes.of(&seen.newest.key)),
            points: seen.newest.points,
            signed_ms: seen.newest.signed_ms,
            first_seen: seen.first_seen,
            held_by: seen.held_by,
        })
        .collect();
    votes.sort_by_key(|vote| Reverse(stakes.of(&vote.key)));
    votes
}

/// Returns the block that is decided next, and the share of the registered stake whose orders have
/// it at each level. Orders of another history than most have say nothing about it.
pub(super) fn levels(
    votes: &[Vote],
    histories: &HistoryWatch,
    stakes: &Stakes,
) -> Option<(i64, [f64; ORDER_LEVELS.len()])> {
    let total = stakes.total()?;
    let votes: Vec<_> = votes
        .iter()
        .filter(|vote| !histories.is_apart(&vote.key))
        .map(|vote| (vote.points, stakes.of(&vote.key)))
        .collect();
    let mut by_finality = votes.clone();
    by_finality.sort_by_key(|(points, _)| Reverse(points.finality));
    let mut reached = 0;
    let (head, _) = by_finality.into_iter().find(|(_, stake)| {
        reached += stake;
        reached * HEAD_STAKE_DIVISOR > total
    })?;
    // The number of final blocks is the index of the block after them.
    let next = head.finality;
    let is_made = votes.iter().any(|(points, _)| points.block > next);
    let deciding = if is_made { next } else { next - 1 };
    if deciding < 0 {
        return None;
    }
    let levels = std::array::from_fn(|level| {
        let reached = votes
            .iter()
            .filter(|(points, _)| points.by_level()[level] > deciding);
        ratio(reached.map(|(_, stake)| stake).sum(), total)
    });
    Some((deciding, levels))
}
