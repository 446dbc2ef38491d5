//! Gives the polled peers of each network blocks in common, if they lack them, and compares them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Duration, Instant};

use crate::config::{Limits, Role};
use crate::poller::{MAX_ANCHORS, sample_common_blocks};

use super::Target;
use super::comparison::{Comparison, Shown};

/// How long to wait for the state of a peer that is sampled.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Compares the peers of each network, and records the differences as their verdicts. Returns the
/// comparisons by network.
pub(super) async fn compare_all(
    targets: &mut [Target],
    limits: &Limits,
) -> BTreeMap<String, Comparison> {
    let mut networks: BTreeMap<String, Vec<&mut Target>> = BTreeMap::new();
    for target in targets {
        let network = target.last.record.peer.network.clone();
        networks.entry(network).or_default().push(target);
    }
    let mut comparisons = BTreeMap::new();
    for (network, mut targets) in networks {
        if let Some(comparison) = compare(&network, &mut targets, limits).await {
            comparisons.insert(network, comparison);
        }
    }
    comparisons
}

/// Compares the peers of one network.
async fn compare(
    network: &str,
    targets: &mut [&mut Target],
    limits: &Limits,
) -> Option<Comparison> {
    let mut shown: Vec<Shown> = targets.iter().map(|target| target.shown()).collect();
    let mut comparison = Comparison::new(network, &shown)?;
    if comparison.lacks_common_blocks() {
        sample(targets, &mut shown, limits).await;
        comparison = Comparison::new(network, &shown)?;
    }
    let (now, wall) = (Instant::now(), SystemTime::now());
    for (target, shown) in targets.iter_mut().zip(&shown) {
        let found = comparison.of(shown);
        target.last.record.record_states_compared(found, now, wall);
    }
    Some(comparison)
}

/// Samples the peers that answer, some of them often, until they have blocks in common.
async fn sample(targets: &mut [&mut Target], shown: &mut [Shown], limits: &Limits) {
    let mut answering: Vec<usize> = (0..targets.len())
        .filter(|index| !shown[*index].states.is_empty())
        .collect();
    answering.sort_by_key(|index| targets[*index].last.record.peer.role != Role::Own);
    let (anchors, others) = answering.split_at(answering.len().min(MAX_ANCHORS));
    let permits = Semaphore::new(limits.max_inflight);
    let peers: Vec<_> = targets.iter_mut().zip(shown).map(Mutex::new).collect();
    let ask = |index: usize| {
        let (peers, permits) = (&peers, &permits);
        async move {
            let _permit = permits.acquire().await.ok()?;
            let mut peer = peers[index].lock().await;
            let (target, shown) = &mut *peer;
            let deadline = Instant::now() + SAMPLE_TIMEOUT;
            let sampled = target.prober.sample_state(deadline).await.ok()?.value;
            shown.states.insert((sampled.block, sampled.hash));
            Some(sampled.block)
        }
    };
    sample_common_blocks(anchors, others, ask).await;
}

impl Target {
    /// Returns what the last poll showed; no states if it failed.
    fn shown(&self) -> Shown {
        let record = &self.last.record;
        let is_good = record.last_poll.is_good();
        let endpoints = self.last.observation.endpoints.iter();
        let right = endpoints.filter(|endpoint| is_good && !endpoint.is_wrong());
        let states = right.filter_map(|endpoint| {
            let pair = endpoint.attempt.state_pair()?;
            Some((pair.block, pair.hash))
        });
        Shown {
            name: record.peer.name.clone(),
            key: record.identity.key,
            genesis: record.identity.genesis,
            states: states.collect(),
        }
    }
}
