//! Which peers of a network can be trusted with queries about the chain.

use std::cmp::Reverse;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Role;

use super::{Fleet, Slot, lock};

impl Fleet {
    /// Returns the peers of a network that can be queried about the chain: up, not diverged, and
    /// not beyond the head. They are ordered by preference: peers whose state another peer confirms
    /// first, then peers of this shard, then own peers, then those with the newest state.
    /// Unconfirmed peers are included only once all peers were polled: the first one to answer may
    /// be the one that lies.
    #[must_use]
    pub fn majority_peers(&self, network: &str) -> Vec<Arc<Slot>> {
        let now = Instant::now();
        let watched = lock(&self.watched);
        let Some(network_record) = watched.networks.get(network) else {
            return Vec::new();
        };
        let (head, all_polled) = {
            let watch = lock(&network_record.watch);
            (watch.head(), watch.all_polled())
        };
        let mut ranked: Vec<_> = watched
            .slots
            .iter()
            .filter_map(|slot| {
                let record = Arc::clone(&lock(&slot.record));
                let confirmed = record.diverged == Some(false);
                let eligible = record.peer.network == network
                    && record.up == Some(true)
                    && record.diverged != Some(true)
                    && (confirmed || all_polled);
                let block = record
                    .poll_answer(now)
                    .filter(|_| eligible)?
                    .state_block
                    .filter(|block| Some(*block) <= head)?;
                let rank = (
                    !confirmed,
                    record.peer.sampled.is_some(),
                    record.peer.role == Role::Reference,
                    Reverse(block),
                );
                Some((rank, Arc::clone(slot)))
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, slot)| slot).collect()
    }
}
