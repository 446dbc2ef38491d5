//! One walk: reads the belief of one peer, and asks it whose orders it should hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::belief::{Belief, BeliefCache, BeliefError, BeliefHead, read_belief_cached};
use convex_client::chain::{effective_stake_query, read_effective_stake};
use tokio::time::{Instant, timeout};

use crate::fleet::{Fleet, Walk};
use crate::poller::wrong_identity;

use super::AskedPeers;
use super::targets::Target;

/// Longest time that it takes to read a belief. Each request waits until the peer is not polled.
const BELIEF_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the answer to a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);

/// What all walks of a network use.
#[derive(Debug)]
pub(super) struct Walker<'a, P> {
    pub(super) fleet: &'a Fleet,
    pub(super) network: &'a str,
    pub(super) peers: &'a P,
    /// The keys of the heaviest registered peers, whose orders are read first.
    pub(super) heaviest: &'a [Hash],
    pub(super) cache: &'a Arc<BeliefCache>,
}

impl<P: AskedPeers> Walker<'_, P> {
    /// Walks one peer.
    pub(super) async fn walk(&self, target: Target) -> Walk {
        let name = target.peer.name.clone();
        let read = match target.obstacle {
            Some(obstacle) => Err(format!("not read: {obstacle}")),
            None => self.read(&target).await,
        };
        let mut walk = Walk {
            name,
            key: None,
            at: Instant::now(),
            wall: self.peers.wall_clock(),
            every: target.every,
            belief: Err(String::new()),
            status: Vec::new(),
            registered: BTreeMap::new(),
        };
        match read {
            Ok((head, belief)) => {
                let key = head.status.peer_key;
                walk.registered = self.registered(&walk.name, &key, &belief).await;
                walk.key = Some(key);
                walk.status = head.message;
                walk.belief = Ok(belief);
            }
            Err(problem) => {
                let network = self.network;
                tracing::debug!(peer.name = %walk.name, peer.network = %network, error = %problem, "cannot read the belief of this peer");
                walk.belief = Err(problem);
            }
        }
        walk
    }

    async fn read(&self, target: &Target) -> Result<(BeliefHead, Belief), String> {
        let mut cells = self.peers.cells_of(&target.peer.name);
        let reading = read_belief_cached(&mut cells, self.heaviest, self.cache);
        let read = timeout(BELIEF_TIMEOUT, reading).await;
        let read = read.map_err(|_| format!("not read within {BELIEF_TIMEOUT:?}"))?;
        let (head, belief) = read.map_err(|error| describe(&error))?;
        match wrong_identity(&target.peer, &head.status) {
            Some(failure) => Err(failure.to_string()),
            None => Ok((head, belief)),
        }
    }

    /// Asks a peer which of the keys that are to be confirmed are registered in its own state.
    async fn registered(&self, name: &str, key: &Hash, belief: &Belief) -> BTreeMap<Hash, bool> {
        let keys = self
            .fleet
            .keys_to_confirm(self.network, (name, key), belief);
        if keys.is_empty() {
            return BTreeMap::new();
        }
        let answer = self.peers.query(name, effective_stake_query(&keys));
        let read = match timeout(QUERY_TIMEOUT, answer).await {
            Ok(Ok(value)) => read_effective_stake(&value, &keys),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {QUERY_TIMEOUT:?}")),
        };
        read.unwrap_or_else(|error| {
            tracing::debug!(peer.name = %name, %error, "cannot read the stakes of others from this peer");
            BTreeMap::new()
        })
    }
}

/// Describes why a belief was not read, and whether the peer is to blame for it.
fn describe(error: &BeliefError) -> String {
    if error.is_invalid() {
        format!("the belief is not valid: {error}")
    } else {
        format!("not read: {error}")
    }
}
