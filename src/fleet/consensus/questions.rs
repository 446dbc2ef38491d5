//! What the survey asks before and while it walks the peers of a network.

use cad3::Hash;
use convex_client::belief::{Belief, Held};
use tokio::time::Instant;

use crate::fleet::{Fleet, lock};

use super::comparing::HistoryGrouping;
use super::facts::HeldFact;
use super::reading::blocks_to_read;
use super::round::{BlocksToRead, OrderComparison, Walk};

impl Fleet {
    /// Returns the keys of the registered peers whose orders others accept, the heaviest first; at
    /// most as many as orders are read from one belief.
    #[must_use]
    pub fn heaviest_keys(&self, network: &str) -> Vec<Hash> {
        let network = self.network(network);
        network.map_or_else(Vec::new, |it| {
            it.judgement().consensus.stakes().heaviest().to_vec()
        })
    }

    /// Returns the keys of registered peers that the walked peer `name` with `key` has to be asked
    /// for, whether its own state has them with enough stake: those of which that is not known, and
    /// those whose newer orders `belief` lacks.
    #[must_use]
    pub fn keys_to_confirm(
        &self,
        network: &str,
        (name, key): (&str, &Hash),
        belief: &Belief,
    ) -> Vec<Hash> {
        let Some(network) = self.network(network) else {
            return Vec::new();
        };
        let held = |key: &Hash| match belief.held(key) {
            Held::Order(order) => Some(HeldFact::Order(order.into())),
            Held::Rejected(_) => Some(HeldFact::Invalid),
            Held::Unread => Some(HeldFact::Unread),
            Held::Nothing => None,
        };
        let judgement = network.judgement();
        judgement
            .consensus
            .keys_to_confirm((name, key), held, Instant::now())
    }

    /// Returns what says which orders of these walks to compare.
    #[must_use]
    pub fn history_grouping(&self, network: &str, walks: &[Walk]) -> HistoryGrouping {
        let network = self.network(network);
        let stakes = network.map(|network| network.judgement().consensus.stakes().clone());
        HistoryGrouping::new(walks, stakes.unwrap_or_default())
    }

    /// Returns which blocks to read after these walks and comparisons: the newest of the history
    /// that most of the registered stake has, or of the only one. None if there is no such history.
    #[must_use]
    pub fn blocks_to_read(
        &self,
        network: &str,
        walks: &[Walk],
        comparisons: &[OrderComparison],
    ) -> Option<BlocksToRead> {
        let network = self.network(network)?;
        let canary_key = lock(&network.canary).as_ref().map(|record| record.key);
        let judgement = network.judgement();
        blocks_to_read(&judgement.consensus, walks, comparisons, canary_key)
    }
}
