//! Updates a peer's record with polls and readings of its host.

use std::time::SystemTime;

use convex_client::{Attempt, FailureReason, Transport};
use tokio::time::Instant;

use crate::failure::Reason;
use crate::fleet::network::member::PolledState;
use crate::fleet::{EndpointObservation, NetworkComparison, Observation};
use crate::self_check::Excuse;
use crate::sidecar::Reading;

use super::endpoint::Measured;
use super::health::health;
use super::identity::Pins;
use super::{FLAPPING_CHANGES, FRESH_INTERVALS, PeerRecord};

impl PeerRecord {
    /// Records the result of one poll at `now`, and how the peer compares with its network; none if
    /// it is watched alone.
    pub fn record_poll(
        &mut self,
        observation: &Observation,
        comparison: Option<NetworkComparison>,
        now: Instant,
        wall: SystemTime,
    ) {
        self.record_observation(observation, None, now, wall);
        self.update_verdict(comparison, now, wall);
    }

    /// Records the result of one poll, and what excuses its failure. [`Self::update_verdict`] has
    /// to follow.
    pub(in crate::fleet) fn record_observation(
        &mut self,
        observation: &Observation,
        excuse: Option<Excuse>,
        now: Instant,
        wall: SystemTime,
    ) {
        let endpoints = &observation.endpoints;
        for (record, endpoint) in self.endpoints.iter_mut().zip(endpoints) {
            record.record(endpoint, now);
        }
        let pins = Pins {
            genesis: self.peer.genesis,
            key: self.peer.key,
        };
        let attempts: Vec<&Attempt> = endpoints.iter().map(|endpoint| &endpoint.attempt).collect();
        self.identity.record_attempts(&attempts, pins, wall);
        self.up = was_good(endpoints);
        self.failures_excused =
            self.up == Some(true) && matches!(excuse, Some(Excuse::FailedCheck(_)));
        self.excuse = excuse.filter(|_| self.up == Some(false));
        if self.excuse.is_some() {
            self.up = None;
        }
        self.record_measurements(endpoints, now, wall);
        self.infer_restart(endpoints);
        let polling = &self.peer.polling;
        if let Some(up) = self.up {
            self.polls += 1;
            self.poll_failures += u64::from(!up);
            let previous = self.streak.verdict();
            self.streak.record(up, polling.up_after, polling.down_after);
            if previous.is_some() && self.streak.verdict() != previous {
                self.changes.push_back(now);
                if self.changes.len() > FLAPPING_CHANGES {
                    self.changes.pop_front();
                }
            }
            if up {
                self.suspected_since = None;
            }
        } else if self.excuse.is_some_and(Excuse::is_suspicion) {
            // Counted all the same, so that the verdict is ready when the suspicion ends.
            self.streak
                .record(false, polling.up_after, polling.down_after);
            self.suspected_since.get_or_insert(now);
        }
    }

    /// Returns the state that the poll at `now` found, if the poll was good.
    pub(in crate::fleet) fn polled_state(&self, now: Instant) -> Option<PolledState> {
        let answer = self
            .poll_answer
            .as_ref()
            .filter(|answer| answer.obtained == now)?;
        let (block, hash) = (answer.value.state_block?, answer.value.state_hash?);
        (self.up == Some(true)).then(|| PolledState {
            block,
            hash,
            key: self.identity.key,
            registered: answer.value.registered_peers,
            fresh_for: self.peer.polling.interval.saturating_mul(FRESH_INTERVALS),
        })
    }

    /// Updates conditions and health after a poll, given how the peer compares with its network.
    pub(in crate::fleet) fn update_verdict(
        &mut self,
        comparison: Option<NetworkComparison>,
        now: Instant,
        wall: SystemTime,
    ) {
        if let Some(comparison) = comparison {
            self.lag = comparison.lag.map(|value| Measured {
                value,
                obtained: now,
                via: None,
            });
            self.diverged = comparison.diverged;
            self.first_divergent_block = comparison.first_divergent_block;
            let threshold = i64::try_from(self.peer.verdicts.lag_blocks).unwrap_or(i64::MAX);
            let lagging = comparison.lag.is_some_and(|lag| lag.blocks >= threshold);
            self.lagging_since = lagging.then(|| self.lagging_since.unwrap_or(now));
        }
        self.conditions = self.active_conditions(now, wall);
        let verdict = if self.up.is_none() {
            None
        } else {
            self.streak.verdict()
        };
        let health = health(verdict, !self.conditions.is_empty());
        if health != self.health {
            self.transitions[health as usize] += 1;
            self.health = health;
        }
    }

    /// A peer never closes a connection by itself, and a running one does not refuse connections:
    /// if either happens and the peer answers again, its process was started in between.
    fn infer_restart(&mut self, endpoints: &[EndpointObservation]) {
        let refused = Some(Reason::Client(FailureReason::Refused));
        let answered_before = self.polls > self.poll_failures;
        self.lost |= answered_before
            && endpoints
                .iter()
                .any(|endpoint| endpoint.reason() == refused);
        self.lost |= endpoints.iter().any(|endpoint| {
            endpoint.transport == Transport::Tcp && endpoint.attempt.reconnects > 0
        });
        if self.lost && endpoints.iter().all(|endpoint| endpoint.failure.is_none()) {
            self.restarts += 1;
            self.lost = false;
        }
    }

    /// Records the values that the endpoints answered with; if both answer, those of the binary
    /// one.
    fn record_measurements(
        &mut self,
        endpoints: &[EndpointObservation],
        now: Instant,
        wall: SystemTime,
    ) {
        let attempts: Vec<(Transport, &Attempt)> = endpoints
            .iter()
            .filter(|endpoint| !endpoint.is_wrong())
            .map(|endpoint| (endpoint.transport, &endpoint.attempt))
            .collect();
        let preferred = || attempts.iter().rev().copied();
        let status =
            preferred().find_map(|(via, attempt)| Some((Some(via), attempt.status.as_ref()?)));
        if let Some((via, status)) = status {
            let order = status.value.order;
            if let Some(previous) = &self.order {
                let previous = previous.value.by_level();
                for (level, points) in order.by_level().into_iter().enumerate() {
                    if points > previous[level] {
                        self.advanced[level] = Some(wall);
                    }
                }
            }
            let state_block = preferred()
                .find_map(|(_, attempt)| attempt.query.as_ref()?.value.as_ref().ok()?.state_block);
            self.order_watch.record(order, state_block, now);
            self.order = Some(Measured {
                value: order,
                obtained: now,
                via,
            });
        }
        self.api = preferred()
            .find_map(|(_, attempt)| attempt.api)
            .or(self.api);
        let query =
            preferred().find_map(|(via, attempt)| Some((Some(via), attempt.query.as_ref()?)));
        if let Some((via, query)) = query {
            match &query.value {
                Ok(answer) => {
                    self.query_error = None;
                    self.poll_answer = Some(Measured {
                        value: answer.clone(),
                        obtained: now,
                        via,
                    });
                }
                Err(error) => self.query_error = Some(error.clone()),
            }
        }
        let clock =
            preferred().find_map(|(via, attempt)| Some((Some(via), attempt.clock.as_ref()?)));
        if let Some((via, sample)) = clock {
            self.clock = Some(Measured {
                value: sample.value,
                obtained: now,
                via,
            });
        }
    }

    /// Records what the host of the peer showed at `now`.
    pub fn record_host_reading(&mut self, reading: Reading, now: Instant) {
        match reading {
            Reading::Process(value) => {
                self.process = Some(Box::new(Measured {
                    value,
                    obtained: now,
                    via: None,
                }));
            }
            Reading::Store(value) => {
                self.store = Some(Box::new(Measured {
                    value,
                    obtained: now,
                    via: None,
                }));
            }
        }
    }
}

/// Whether a poll was good: an endpoint answered the query, and neither it nor, if it has no status
/// to identify itself, the other endpoint is known to be another peer. None if the poll failed
/// because of the agent itself.
fn was_good(endpoints: &[EndpointObservation]) -> Option<bool> {
    let any_wrong = endpoints.iter().any(EndpointObservation::is_wrong);
    let good = |endpoint: &EndpointObservation| {
        let attempt = &endpoint.attempt;
        attempt.query.is_some() && !endpoint.is_wrong() && (attempt.status.is_some() || !any_wrong)
    };
    if endpoints.iter().any(good) {
        return Some(true);
    }
    if endpoints
        .iter()
        .any(|endpoint| endpoint.reason() == Some(Reason::MONITOR))
    {
        None
    } else {
        Some(false)
    }
}
