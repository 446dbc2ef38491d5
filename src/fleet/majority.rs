//! Which peers of a network can be trusted with queries about the chain.

use std::cmp::Reverse;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Role;

use super::{Comparison, Fleet, PeerRecord};

impl Fleet {
    /// Returns the peers of a network that can be queried about the chain: up, neither diverged nor
    /// forked, and not beyond the head; without a head only those that the operator configured.
    /// They are ordered by preference: peers whose state another peer confirms first, then peers of
    /// this shard, then own peers, then those with the newest state. Unconfirmed peers are included
    /// only once all peers were polled: the first one to answer may be the one that lies.
    #[must_use]
    pub fn majority_peers(&self, network: &str) -> Vec<Arc<PeerRecord>> {
        let now = Instant::now();
        let Some(network) = self.network(network) else {
            return Vec::new();
        };
        let judgement = network.judgement();
        let mut ranked: Vec<_> = self
            .slots_of(&network)
            .iter()
            .filter_map(|slot| {
                let record = slot.record();
                let confirmed = record.comparison == Comparison::Agrees;
                let eligible = record.last_poll.is_good()
                    && !record.is_apart()
                    && (confirmed || judgement.all_polled);
                let block = record
                    .poll_answer(now)
                    .filter(|_| eligible)?
                    .state_block
                    .filter(|block| match judgement.verdict.head {
                        Some(head) => *block <= head,
                        // Strangers have no part in finding out who has stake.
                        None => !record.peer.discovered,
                    })?;
                let rank = (
                    !confirmed,
                    record.peer.sampled.is_some(),
                    record.peer.role == Role::Reference,
                    Reverse(block),
                );
                Some((rank, record))
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, record)| record).collect()
    }
}
