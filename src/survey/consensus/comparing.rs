//! Compares orders that walked peers hold, by the blocks that they still have.

use std::time::Duration;

use cad3::Hash;
use convex_client::belief::{Comparison, SignedOrder, compare_histories, compare_histories_at};
use tokio::time::{Instant, timeout_at};

use crate::fleet::{HistoryGrouping, OrderComparison, Walk};

use super::AskedPeers;

/// Longest time that all comparisons of a round take.
const COMPARISONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time that the comparison of two orders takes, with all peers that are asked for it.
const COMPARISON_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum number of peers, or pairs of peers, that are asked for one comparison.
const MAX_ASKED: usize = 3;

/// Returns the names of the walked peers that hold this order.
pub(super) fn holders<'a>(
    walks: &'a [Walk],
    order: &'a SignedOrder,
) -> impl Iterator<Item = &'a str> {
    let holds = |walk: &&Walk| holds(walk, &order.key, &order.hash);
    walks.iter().filter(holds).map(|walk| walk.name.as_str())
}

fn holds(walk: &Walk, key: &Hash, hash: &Hash) -> bool {
    let held = walk
        .belief
        .as_ref()
        .ok()
        .and_then(|belief| belief.orders.get(key));
    held.is_some_and(|held| held.hash == *hash)
}

/// Compares the orders of a round until it is known which peers have one history.
pub(super) async fn compare_all(
    peers: &impl AskedPeers,
    walks: &[Walk],
    mut grouping: HistoryGrouping,
) -> Vec<OrderComparison> {
    let round_ends = Instant::now() + COMPARISONS_TIMEOUT;
    while let Some([left, right]) = grouping.next_pair() {
        let deadline = round_ends.min(Instant::now() + COMPARISON_TIMEOUT);
        let comparing = compare(peers, walks, [&left, &right]);
        let compared = timeout_at(deadline, comparing).await;
        grouping.record(compared.ok().flatten());
    }
    grouping.finish()
}

/// Compares two orders: at a peer that holds both, otherwise at one peer each. None if no peer has
/// the blocks: not compared.
async fn compare(
    peers: &impl AskedPeers,
    walks: &[Walk],
    [left, right]: [&SignedOrder; 2],
) -> Option<Comparison> {
    let of_right: Vec<&str> = holders(walks, right).collect();
    let of_both = holders(walks, left).filter(|name| of_right.contains(name));
    for name in of_both.take(MAX_ASKED) {
        let mut cells = peers.cells_of(name);
        match compare_histories_at(&mut cells, &left.blocks, &right.blocks).await {
            Ok(comparison) => return Some(comparison),
            Err((_, error)) => {
                tracing::debug!(peer.name = %name, %error, "cannot compare two orders at this peer");
            }
        }
    }
    for (one, other) in holders(walks, left).zip(of_right).take(MAX_ASKED) {
        let (mut left_cells, mut right_cells) = (peers.cells_of(one), peers.cells_of(other));
        let sides = (
            (&left.blocks, &mut left_cells),
            (&right.blocks, &mut right_cells),
        );
        match compare_histories(sides.0, sides.1).await {
            Ok(comparison) => return Some(comparison),
            Err((side, error)) => {
                let name = [one, other][side as usize];
                tracing::debug!(peer.name = %name, %error, "cannot compare an order at this peer");
            }
        }
    }
    None
}
