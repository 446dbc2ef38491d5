//! What a round found of each peer's orders: what others should hold a minute later. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::wall_time::unix_millis;

use super::facts::{OrderFacts, RoundFacts, WalkFacts};
use super::histories::HistoryWatch;
use super::seen::{Holder, holders, newest};
use super::stakes::Stakes;

/// How long after an order was seen others are expected to hold it.
pub(super) const SPREADS_WITHIN: Duration = Duration::from_secs(60);

/// Walks so much before a sighting show how far consensus was by then.
const ABOUT_BEFORE: Duration = Duration::from_secs(10);

/// The same after a sighting. Less, because consensus goes on.
const ABOUT_AFTER: Duration = Duration::from_secs(2);

/// Longer than anything that is watched.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The newest orders of the judged peers in one round, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    /// What other walked peers than the one that signed it held.
    pub(super) elsewhere: BTreeMap<Hash, Sighting>,
    /// What the peer that signed it held.
    pub(super) own: BTreeMap<Hash, Sighting>,
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) order: OrderFacts,
    /// When it was seen.
    seen: Instant,
    /// From when on others should hold it.
    due: Instant,
    /// The highest consensus point of others with the same history at about that time; none if none
    /// was read.
    consensus: Option<i64>,
}

impl Sightings {
    /// Takes the orders that a round found.
    pub(super) fn new(round: &RoundFacts, stakes: &Stakes, histories: &HistoryWatch) -> Self {
        let mut sightings = Self::default();
        for key in stakes.judged() {
            let (own, others): (Vec<Holder<'_>>, Vec<_>) = holders(round, key)
                .into_iter()
                .partition(|(walk, _)| walk.key == Some(*key));
            for (place, holders) in [
                (&mut sightings.elsewhere, others),
                (&mut sightings.own, own),
            ] {
                if let Some(newest) = newest(&holders) {
                    place.insert(*key, Sighting::new(newest, round, histories));
                }
            }
        }
        sightings
    }
}

impl Sighting {
    fn new((walk, order): Holder<'_>, round: &RoundFacts, histories: &HistoryWatch) -> Self {
        let about = |other: &&WalkFacts| {
            other.at + ABOUT_BEFORE >= walk.at && other.at <= walk.at + ABOUT_AFTER
        };
        let others = round.walks.iter().filter(about);
        let others = others
            .filter_map(WalkFacts::own_order)
            .filter(|other| other.key != order.key && histories.is_same(other, order));
        Self {
            order: *order,
            seen: walk.at,
            due: walk
                .at
                .checked_add(ahead(order, walk) + SPREADS_WITHIN)
                .unwrap_or(walk.at + NEVER),
            consensus: others.map(|other| other.points.consensus).max(),
        }
    }

    /// Whether others should hold the order at `at`.
    pub(super) fn is_due(&self, at: Instant) -> bool {
        self.due <= at
    }

    /// Whether it was long enough when it was seen for a peer that had consensus on so many blocks
    /// at its walk. Peers drop orders that are shorter than their consensus point.
    pub(super) fn is_long_enough(&self, consensus: i64, walked: Instant) -> bool {
        let own = (walked <= self.seen + ABOUT_AFTER).then_some(consensus);
        own.max(self.consensus)
            .is_some_and(|consensus| self.order.points.block >= consensus)
    }
}

/// Returns how far an order is dated ahead of the agent's clock. Peers drop such orders until then.
fn ahead(order: &OrderFacts, walk: &WalkFacts) -> Duration {
    let ahead_ms = order.signed_ms.saturating_sub(unix_millis(walk.wall));
    Duration::from_millis(u64::try_from(ahead_ms).unwrap_or_default())
}
