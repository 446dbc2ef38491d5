//! Updates a peer's record with polls and readings of its host.

use std::time::SystemTime;

use convex_client::{Api, Attempt, FailureReason, Transport};
use tokio::time::Instant;

use crate::failure::Reason;
use crate::fleet::network::member::{Heard, MemberVerdict};
use crate::fleet::network::ring::BlockState;
use crate::fleet::{Comparison, EndpointObservation, Lag, Observation, Registration};
use crate::self_check::{Checks, Excuse, find_excuse};
use crate::sidecar::Reading;

use super::PeerRecord;
use super::condition::Condition;
use super::endpoint::Measured;
use super::genesis::GenesisShown;
use super::health::health;
use super::identity::Pins;
use super::last_poll::LastPoll;

impl PeerRecord {
    /// Records the result of one poll at `now` of a peer that is watched alone.
    pub fn record_poll(&mut self, observation: &Observation, now: Instant, wall: SystemTime) {
        self.record_checked_poll(observation, &Checks::default(), now, wall);
    }

    /// As [`Self::record_poll`]. What `checks` of this host explain does not count against the
    /// peer.
    pub fn record_checked_poll(
        &mut self,
        observation: &Observation,
        checks: &Checks,
        now: Instant,
        wall: SystemTime,
    ) {
        let excuse = find_excuse(&self.failed(observation), checks, false);
        self.record_observation(observation, excuse, now, wall);
        self.update_verdict(now, wall);
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
            record.record(endpoint, excuse.is_some(), now);
        }
        let pins = Pins {
            genesis: self.peer.genesis,
            key: self.peer.key,
        };
        let attempts: Vec<&Attempt> = endpoints.iter().map(|endpoint| &endpoint.attempt).collect();
        self.identity.record_attempts(&attempts, pins, wall);
        self.genesis_shown = GenesisShown::after(self.genesis_shown, &self.peer, observation, now);
        self.last_poll = outcome(endpoints);
        self.failures_excused =
            self.last_poll.is_good() && matches!(excuse, Some(Excuse::FailedCheck(_)));
        self.excuse = excuse.filter(|_| self.last_poll == LastPoll::Failed);
        if self.excuse.is_some() {
            self.last_poll = LastPoll::Excused;
        }
        if self.last_poll.is_good() {
            self.last_good_poll = Some(now);
        }
        self.record_measurements(endpoints, observation.asked, wall);
        self.heard = match self.polled_state(observation) {
            Some((block, _)) => Some(Heard {
                block,
                asked: observation.asked,
                until: observation.asked + self.fresh_for(),
            }),
            // A peer that answers its query with an error is still there.
            None => self.heard.filter(|_| self.last_poll.is_good()),
        };
        self.infer_restart(endpoints);
        let polling = &self.peer.polling;
        if let Some(up) = self.last_poll.up() {
            self.polls += 1;
            self.poll_failures += u64::from(!up);
            let previous = self.streak.verdict();
            self.streak.record(up, polling.up_after, polling.down_after);
            let verdict = self.streak.verdict();
            if previous.is_some() && verdict != previous {
                self.flapping.record_change(now);
            }
            self.flapping.record_poll(up, verdict == Some(false));
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

    /// Returns the block and the state that the last poll found, if it was good: `observation`,
    /// from its query or from a status that has both.
    pub(in crate::fleet) fn polled_state(&self, observation: &Observation) -> Option<BlockState> {
        let endpoints = observation.endpoints.iter().rev();
        let mut right = endpoints.filter(|endpoint| !endpoint.is_wrong());
        let pair = right.find_map(|endpoint| endpoint.attempt.state_pair())?;
        self.last_poll
            .is_good()
            .then(|| (pair.block, pair.hash.into()))
    }

    /// Whether this is how the peer is known to compare with its network, whatever the age of the
    /// evidence.
    pub(in crate::fleet) fn compares_as(&self, verdict: &MemberVerdict) -> bool {
        let known = MemberVerdict {
            comparison: self.comparison,
            compared: verdict.compared,
            registration: self.registration,
            standing: self.standing,
            upgrade: self.upgrade,
        };
        *verdict == known
    }

    /// Records how the peer compares with its network.
    pub(in crate::fleet) fn record_comparison(
        &mut self,
        verdict: MemberVerdict,
        now: Instant,
        wall: SystemTime,
    ) {
        self.comparison = verdict.comparison;
        self.compared = verdict.compared;
        self.registration = verdict.registration;
        self.standing = verdict.standing;
        self.upgrade = verdict.upgrade;
        if verdict.registration == Registration::Registered {
            self.registered_key = self.own_key();
        }
        self.update_verdict(now, wall);
    }

    /// Records how the states of the peer compare with those of others at `now`, if it is not
    /// watched by a fleet.
    pub fn record_states_compared(
        &mut self,
        comparison: Comparison,
        now: Instant,
        wall: SystemTime,
    ) {
        self.comparison = comparison;
        if comparison != Comparison::NotCompared {
            self.compared = Some(now);
        }
        self.update_verdict(now, wall);
    }

    /// Records how far the peer, asked at `asked`, was behind the head of its network.
    pub fn record_lag(&mut self, lag: Option<Lag>, asked: Instant) {
        let threshold = i64::try_from(self.peer.verdicts.lag_blocks).unwrap_or(i64::MAX);
        let is_behind = lag.is_some_and(|lag| lag.blocks >= threshold);
        self.behind_since = is_behind.then(|| self.behind_since.unwrap_or(asked));
        self.lag = lag.map(|value| Measured {
            value,
            obtained: asked,
            via: None,
        });
    }

    /// Updates conditions and health after a poll or a comparison.
    pub(in crate::fleet) fn update_verdict(&mut self, now: Instant, wall: SystemTime) {
        self.conditions = self.active_conditions(now, wall);
        self.update_condition_since(now, wall);
        let verdict = match self.last_poll {
            LastPoll::None | LastPoll::Excused => None,
            // A peer that answers often enough to flap is not unknown.
            LastPoll::Good | LastPoll::Failed => self.streak.verdict().or(self
                .conditions
                .contains(&Condition::Flapping)
                .then_some(true)),
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

    /// Records the values that the endpoints, asked at `asked`, answered with; if both answer,
    /// those of the binary one.
    fn record_measurements(
        &mut self,
        endpoints: &[EndpointObservation],
        asked: Instant,
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
            self.order_watch.record(order, state_block, asked);
            self.order = Some(Measured {
                value: order,
                obtained: asked,
                via,
            });
        }
        // Releases that say nothing of the protocol cannot execute any upgrade if they are older
        // than 0.8.3; of later ones it is not known.
        let said = preferred().find_map(|(via, attempt)| {
            let status = attempt.status.as_ref()?.value;
            Some((Some(via), status.protocol?))
        });
        let is_old = |attempt: &Attempt| {
            let answered = attempt
                .query
                .as_ref()
                .is_some_and(|query| query.value.is_ok());
            answered && attempt.api == Some(Api::V0_8_0)
        };
        let old = preferred().find(|(_, attempt)| is_old(attempt));
        let supported = said.or_else(|| old.map(|(via, _)| (Some(via), 0)));
        if let Some((via, value)) = supported {
            self.supported = Some(Measured {
                value,
                obtained: asked,
                via,
            });
        } else if status.is_some() {
            self.supported = None;
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
                        obtained: asked,
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
                obtained: asked,
                via,
            });
        }
    }

    /// Records what the host of the peer showed at `now`.
    pub fn record_host_reading(&mut self, reading: Reading, now: Instant) {
        match reading {
            Reading::Process(value) => {
                self.process = Some(Box::new(Measured {
                    value: *value,
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

/// Returns the outcome of a poll. It was good if an endpoint answered the query, or its status and
/// that it is too busy for queries, and neither it nor,
/// if it has no status to identify itself, the other endpoint is known to be another peer. It is
/// excused if it failed because of the agent itself.
fn outcome(endpoints: &[EndpointObservation]) -> LastPoll {
    let any_wrong = endpoints.iter().any(EndpointObservation::is_wrong);
    let good = |endpoint: &EndpointObservation| {
        let attempt = &endpoint.attempt;
        let is_busy = endpoint.reason() == Some(Reason::Client(FailureReason::Overloaded));
        let answers = attempt.query.is_some() || (is_busy && attempt.status.is_some());
        answers && !endpoint.is_wrong() && (attempt.status.is_some() || !any_wrong)
    };
    let is_own = |endpoint: &EndpointObservation| endpoint.reason() == Some(Reason::MONITOR);
    match () {
        () if endpoints.iter().any(good) => LastPoll::Good,
        () if endpoints.iter().any(is_own) => LastPoll::Excused,
        () => LastPoll::Failed,
    }
}
