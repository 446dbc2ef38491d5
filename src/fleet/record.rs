//! Records the results of polls, queries and readings of hosts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::chain::{ExecutedTransactions, Registry};
use tokio::time::Instant;

use crate::config;
use crate::sidecar::Reading;

use super::network::record::RegistryReading;
use super::network::ring::{BlockState, Shown};
use super::{Fleet, Health, Observation, PeerRecord, Round, Slot, lock};

impl Fleet {
    /// Records the result of one poll. The next verdict on its network includes it.
    pub fn record(&self, slot: &Slot, observation: &Observation) {
        self.record_poll_of(&slot.peer(), slot, observation);
    }

    /// Records the result of one poll, unless `polled` is no longer how the peer is configured:
    /// then the endpoints may be others.
    pub fn record_poll_of(
        &self,
        polled: &Arc<config::Peer>,
        slot: &Slot,
        observation: &Observation,
    ) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut state = lock(&slot.state);
        if state.retired || !Arc::ptr_eq(polled, &state.record.peer) {
            // The last poll of a task that has not yet noticed a reload.
            return;
        }
        let state = &mut *state;
        let is_of_this_shard = state.record.peer.sampled.is_none();
        if is_of_this_shard {
            let mut tallies = lock(&slot.network.tallies);
            for endpoint in &observation.endpoints {
                tallies[endpoint.transport as usize].record(endpoint);
            }
        }
        let record = Arc::make_mut(&mut state.record);
        let previous_health = record.health;
        let excuse = self.excuse(record, observation, now);
        record.record_observation(observation, excuse, now, wall);
        let network = slot.network.judgement();
        record.stake = record.own_key().and_then(|key| network.stake_of(&key));
        let found = record.polled_state(observation);
        if found.is_some() {
            let (reached, asked) = (record.final_block(now), observation.asked);
            let lag = reached.and_then(|block| network.lag(slot.id, block, asked));
            record.record_lag(lag, asked);
        }
        record.update_verdict(now, wall);
        if record.is_judged_down() {
            self.set_contact(record, None);
        }
        if record.health != previous_health {
            log_health_change(record, previous_health);
        }
        if let Some(observer) = self.observer.as_ref().filter(|_| is_of_this_shard) {
            observer.on_poll(record, observation, now);
        }
        state.unjudged.polled = true;
        if let Some(state_shown) = found {
            let shown = Shown {
                state: state_shown,
                at: now,
            };
            state.unjudged.add_state(shown);
        }
        slot.network.changed.notify_one();
    }

    /// Records a state that a peer showed between two polls, as evidence for comparisons only.
    pub fn record_sample(&self, slot: &Slot, sample: BlockState) {
        let shown = Shown {
            state: sample,
            at: Instant::now(),
        };
        let mut state = lock(&slot.state);
        if !state.retired {
            state.unjudged.add_state(shown);
            slot.network.changed.notify_one();
        }
    }

    /// Records the registry of a network as read from the peer `reader` of its majority; none if no
    /// peer answered. `only_reader`: no other peer could have been read.
    pub fn record_registry(&self, network: &str, registry: Option<(Registry, String, bool)>) {
        let Some(network) = self.network(network) else {
            return;
        };
        network.record(|unjudged| {
            unjudged.query_error = Some(registry.is_none());
            if let Some((registry, reader, only_reader)) = registry {
                unjudged.registry = Some(RegistryReading {
                    registry,
                    reader,
                    only_reader,
                    read: SystemTime::now(),
                });
            }
        });
    }

    /// Records what a round of walks found in a network. The next verdict on it includes it.
    pub fn record_round(&self, network: &str, round: Arc<Round>) {
        if let Some(network) = self.network(network) {
            network.record(|unjudged| unjudged.rounds.push(round));
        }
    }

    /// Records the result of a custom query; none if no peer answered.
    pub fn record_query_value(&self, network: &str, query: &str, value: Option<f64>) {
        let Some(network) = self.network(network) else {
            return;
        };
        let mut queries = lock(&network.queries);
        let record = queries.entry(query.to_owned()).or_default();
        record.success = value.is_some();
        if let Some(value) = value {
            record.value = Some((value, Instant::now()));
            record.last_success = Some(SystemTime::now());
        }
    }

    /// Records how many transactions a network has executed, as read at `at` from a peer of its
    /// majority; the next reading is due after `interval`.
    pub fn record_executed(
        &self,
        network: &str,
        executed: ExecutedTransactions,
        at: Instant,
        interval: Duration,
    ) {
        if let Some(network) = self.network(network) {
            lock(&network.executed).take(executed, at, interval);
        }
    }

    /// Whether the orders of a network tell how many transactions it executes.
    #[must_use]
    pub fn orders_tell_throughput(&self, network: &str) -> bool {
        let network = self.network(network);
        network.is_some_and(|network| network.throughput_of_orders().is_some())
    }

    /// Records the release that the peer of `slot` tells; none if it tells none.
    pub fn record_release(&self, slot: &Slot, release: Option<&str>) {
        slot.update(|record| record.record_release(release, Instant::now()));
    }

    /// Records what the host of `peer` shows; ignored if that peer is no longer watched as
    /// configured.
    pub fn record_host_reading(&self, peer: &config::Peer, reading: Reading) {
        let slots = self.slots();
        if let Some(slot) = slots.iter().find(|slot| *slot.peer() == *peer) {
            slot.update(|record| record.record_host_reading(reading, Instant::now()));
        }
    }
}

/// Logs a change of health. Peers of other shards are left to their own agents.
pub(super) fn log_health_change(record: &PeerRecord, previous: Health) {
    if record.peer.sampled.is_some() {
        return;
    }
    let failures = record.endpoints.iter().filter_map(|endpoint| {
        let failure = endpoint.last_failure.as_ref()?;
        Some(format!("{}: {failure}", endpoint.transport))
    });
    let why: Vec<String> = record
        .excuse
        .iter()
        .map(ToString::to_string)
        .chain(failures)
        .collect();
    let conditions: Vec<&str> = record
        .conditions
        .iter()
        .map(|condition| condition.as_str())
        .collect();
    let (name, network) = (&record.peer.name, &record.peer.network);
    let (from, to) = (previous.as_str(), record.health.as_str());
    if matches!(record.health, Health::Up) {
        tracing::info!(peer.name = %name, peer.network = %network, from, to, "the peer's health changed");
    } else {
        tracing::warn!(peer.name = %name, peer.network = %network, from, to, conditions = %conditions.join(", "), why = %why.join("; "), "the peer's health changed");
    }
}
