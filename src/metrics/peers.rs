//! Facts about peers as series, from one snapshot.

use cad3::Hash;
use convex_client::chain::economics::cvm;
use convex_client::{
    Api, ORDER_LEVELS, PollAnswer, Transport, seconds_from_ms, seconds_since_epoch,
};

use crate::config::Role;
use crate::failure::Reason;
use crate::fleet::{Condition, EndpointRecord, Health, OrderState, PeerRecord, Snapshot, Stake};

use super::catalogue::{self, Definition, Lean};
use super::family::{Family, Label, Writer};

/// A snapshot at one detail.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) full: bool,
}

/// The labels that every series of a peer begins with.
pub(super) fn of(record: &PeerRecord) -> std::array::IntoIter<Label<'_>, 2> {
    [
        ("peer", record.peer.name.as_str()),
        ("network", record.peer.network.as_str()),
    ]
    .into_iter()
}

/// The labels of an endpoint's series.
fn at<'a>(
    record: &'a PeerRecord,
    endpoint: &EndpointRecord,
) -> impl Iterator<Item = Label<'a>> + Clone {
    of(record).chain([("transport", endpoint.transport.as_str())])
}

impl View<'_> {
    /// Writes a family with what `fill` adds for each peer, unless lean detail leaves it out.
    pub(super) fn each_peer(
        self,
        writer: &mut Writer<'_>,
        definition: &'static Definition,
        fill: impl Fn(&mut Family<'_, '_>, &PeerRecord),
    ) {
        if !self.full && definition.lean == Lean::Left {
            return;
        }
        writer.family(definition, |family| {
            for record in &self.snapshot.peers {
                fill(family, record);
            }
        });
    }

    fn each_endpoint(
        self,
        writer: &mut Writer<'_>,
        definition: &'static Definition,
        fill: impl Fn(&mut Family<'_, '_>, &PeerRecord, &EndpointRecord),
    ) {
        self.each_peer(writer, definition, |family, record| {
            for endpoint in &record.endpoints {
                fill(family, record, endpoint);
            }
        });
    }

    /// Whether a measurement is written that lean detail leaves only while it is amiss, for alerts to grade.
    fn wanted(self, record: &PeerRecord, amiss: Condition) -> bool {
        self.full || record.conditions.contains(&amiss)
    }

    /// Writes every family that is about peers.
    pub(super) fn write(self, writer: &mut Writer<'_>) {
        self.polls(writer);
        self.probes(writer);
        self.endpoints(writer);
        self.peers(writer);
        self.standing(writer);
        self.stake(writer);
        self.host(writer);
    }

    fn polls(self, writer: &mut Writer<'_>) {
        self.each_peer(writer, &catalogue::PEER_UP, |family, record| {
            if let Some(up) = record.up {
                family.count(of(record), up.into());
            }
        });
        self.each_peer(writer, &catalogue::PEER_HEALTH, |family, record| {
            for state in Health::ALL {
                family.count(
                    of(record).chain([("state", state.as_str())]),
                    (state == record.health).into(),
                );
            }
        });
        self.each_peer(writer, &catalogue::PEER_CONDITION, |family, record| {
            for condition in &record.conditions {
                family.count(of(record).chain([("condition", condition.as_str())]), 1);
            }
        });
        self.each_peer(writer, &catalogue::PEER_MAINTENANCE, |family, record| {
            if record.in_maintenance(self.snapshot.wall) {
                family.count(of(record), 1);
            }
        });
        self.each_peer(writer, &catalogue::PEER_POLLS, |family, record| {
            family.count(of(record), record.polls);
        });
        self.each_peer(writer, &catalogue::PEER_POLL_FAILURES, |family, record| {
            family.count(of(record), record.poll_failures);
        });
        self.each_peer(writer, &catalogue::PEER_TRANSITIONS, |family, record| {
            for (state, entered) in Health::ALL.into_iter().zip(record.transitions) {
                family.count(of(record).chain([("state", state.as_str())]), entered);
            }
        });
    }

    fn probes(self, writer: &mut Writer<'_>) {
        self.each_endpoint(
            writer,
            &catalogue::PROBE_ATTEMPTS,
            |family, record, endpoint| {
                family.count(at(record, endpoint), endpoint.tally.attempts);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_FAILURES,
            |family, record, endpoint| {
                if !self.full {
                    family.count(at(record, endpoint), endpoint.tally.failed_in_all());
                    return;
                }
                for reason in possible(endpoint.transport) {
                    let labels = at(record, endpoint).chain([("reason", reason.as_str())]);
                    family.count(labels, endpoint.tally.failed(reason));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RETRIES,
            |family, record, endpoint| {
                family.count(at(record, endpoint), endpoint.tally.retries);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RECONNECTS,
            |family, record, endpoint| {
                family.count(at(record, endpoint), endpoint.tally.reconnects);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_IGNORED,
            |family, record, endpoint| {
                family.count(at(record, endpoint), endpoint.tally.ignored);
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_DURATION,
            |family, record, endpoint| {
                family.histogram(at(record, endpoint), &endpoint.tally.latencies, self.full);
            },
        );
    }

    fn endpoints(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_endpoint(
            writer,
            &catalogue::PROBE_REQUEST_DURATION,
            |family, record, endpoint| {
                for (request, took) in record
                    .timings(endpoint, now)
                    .iter()
                    .flat_map(|timings| timings.requests)
                {
                    if let Some(took) = took {
                        family.sample(
                            at(record, endpoint).chain([("request", request)]),
                            took.as_secs_f64(),
                        );
                    }
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_PHASE_DURATION,
            |family, record, endpoint| {
                let Some(timings) = record.timings(endpoint, now) else {
                    return;
                };
                let phases = timings.phases;
                for (phase, took) in [
                    ("resolve", phases.resolve),
                    ("connect", phases.connect),
                    ("tls", phases.tls),
                ] {
                    if let Some(took) = took {
                        family.sample(
                            at(record, endpoint).chain([("phase", phase)]),
                            took.as_secs_f64(),
                        );
                    }
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_LAST_ATTEMPT,
            |family, record, endpoint| {
                if let Some(time) = endpoint.last_attempt {
                    family.sample(at(record, endpoint), seconds_since_epoch(time));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_LAST_SUCCESS,
            |family, record, endpoint| {
                if let Some(time) = endpoint.last_success {
                    family.sample(at(record, endpoint), seconds_since_epoch(time));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_CONSECUTIVE_FAILURES,
            |family, record, endpoint| {
                family.count(at(record, endpoint), endpoint.consecutive_failures.into());
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_RESPONSE_BYTES,
            |family, record, endpoint| {
                if let Some(timings) = record.timings(endpoint, now) {
                    family.count(at(record, endpoint), timings.response_bytes as u64);
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::PROBE_TLS_NOT_AFTER,
            |family, record, endpoint| {
                if let Some(time) = endpoint.certificate_ends {
                    family.sample(of(record), seconds_since_epoch(time));
                }
            },
        );
        self.each_endpoint(
            writer,
            &catalogue::ENDPOINT_INFO,
            |family, record, endpoint| {
                family.count(
                    at(record, endpoint).chain([("url", endpoint.url.as_str())]),
                    1,
                );
            },
        );
    }

    /// What the chain says of the peer. At lean detail stakes are left of own peers alone: a change of theirs is an alert.
    fn stake(self, writer: &mut Writer<'_>) {
        let each = |writer: &mut Writer<'_>,
                    definition: &'static Definition,
                    value: &dyn Fn(&Stake) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.stake.as_ref().and_then(value)
                    && (self.full || record.peer.role == Role::Own)
                {
                    family.sample(of(record), value);
                }
            });
        };
        each(writer, &catalogue::STAKE_OWN, &|stake| {
            Some(cvm(stake.registered.own_copper))
        });
        each(writer, &catalogue::STAKE_DELEGATED, &|stake| {
            Some(cvm(stake.registered.delegated_copper))
        });
        each(writer, &catalogue::STAKE_DECAY, &|stake| Some(stake.decay));
        each(writer, &catalogue::STAKE_WEIGHT, &|stake| stake.weight);
        self.each_peer(
            writer,
            &catalogue::STAKE_EVICTION_MARGIN,
            |family, record| {
                if let Some(stake) = &record.stake
                    && self.wanted(record, Condition::OwnStakeLow)
                {
                    family.sample(of(record), cvm(stake.registered.eviction_margin()));
                }
            },
        );
        each(writer, &catalogue::LAST_BLOCK, &|stake| {
            stake.registered.last_block_ms.map(seconds_from_ms)
        });
        self.each_peer(
            writer,
            &catalogue::EXPECTED_BLOCK_INTERVAL,
            |family, record| {
                if let Some(every) = record.peer.expect_block_every {
                    family.sample(of(record), every.as_secs_f64());
                }
            },
        );
    }

    /// How the peer stands to its network, and whether it moves.
    fn standing(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_peer(writer, &catalogue::LAG_BLOCKS, |family, record| {
            if let Some(lag) = record.lag(now) {
                family.sample(of(record), float(lag.blocks));
            }
        });
        self.each_peer(writer, &catalogue::LAG_SECONDS, |family, record| {
            if let Some(lag) = record.lag(now) {
                family.sample(of(record), lag.time.as_secs_f64());
            }
        });
        self.each_peer(writer, &catalogue::ORDER_STATE, |family, record| {
            for &state in OrderState::ALL {
                let is = state == record.order_state(now);
                family.count(of(record).chain([("state", state.as_str())]), is.into());
            }
        });
        self.each_peer(writer, &catalogue::STATE_DIVERGED, |family, record| {
            if let Some(diverged) = record.diverged {
                family.count(of(record), diverged.into());
            }
        });
        self.each_peer(
            writer,
            &catalogue::DIVERGENCE_FIRST_BLOCK,
            |family, record| {
                if let Some(block) = record.first_divergent_block {
                    family.sample(of(record), float(block));
                }
            },
        );
        self.each_peer(writer, &catalogue::RESTARTS, |family, record| {
            family.count(of(record), record.restarts);
        });
    }

    fn peers(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_peer(writer, &catalogue::PEER_INFO, info);
        self.each_peer(writer, &catalogue::IDENTITY_MATCH, |family, record| {
            let identity = &record.identity;
            for (check, matches) in [
                ("genesis", identity.genesis_match),
                ("peer_key", identity.key_match),
                ("advertised_url", identity.advertised_match),
                ("transports_agree", identity.transports_agree),
            ] {
                if let Some(matches) = matches {
                    family.count(of(record).chain([("check", check)]), matches.into());
                }
            }
        });
        self.each_peer(writer, &catalogue::IDENTITY_CHANGES, |family, record| {
            let identity = &record.identity;
            for (check, changes) in [
                ("genesis", identity.genesis_changes),
                ("peer_key", identity.key_changes),
                ("advertised_url", identity.advertised_changes),
            ] {
                family.count(of(record).chain([("check", check)]), changes);
            }
        });
        self.each_peer(writer, &catalogue::ORDER_BLOCKS, |family, record| {
            let Some(order) = record.order(now) else {
                return;
            };
            for (level, blocks) in ORDER_LEVELS.into_iter().zip(order.by_level()) {
                family.sample(of(record).chain([("level", level)]), float(blocks));
            }
        });
        self.each_peer(writer, &catalogue::ORDER_ADVANCE, |family, record| {
            for (level, advanced) in ORDER_LEVELS.into_iter().zip(record.advanced) {
                if let Some(time) = advanced {
                    family.sample(
                        of(record).chain([("level", level)]),
                        seconds_since_epoch(time),
                    );
                }
            }
        });
        self.each_peer(writer, &catalogue::PENDING, |family, record| {
            if let Some(order) = record.order(now) {
                family.sample(of(record), float(order.pending()));
            }
        });
        let figure = |writer: &mut Writer<'_>,
                      definition: &'static Definition,
                      value: &dyn Fn(&PollAnswer) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.figures(now).and_then(value) {
                    family.sample(of(record), value);
                }
            });
        };
        figure(writer, &catalogue::STATE_BLOCK, &|figures| {
            figures.state_block.map(float)
        });
        figure(writer, &catalogue::STATE_TIMESTAMP, &|figures| {
            figures.timestamp_ms.map(seconds_from_ms)
        });
        figure(writer, &catalogue::STATE_HASH_PREFIX, &|figures| {
            figures.state_hash.map(prefix)
        });
        figure(writer, &catalogue::ACCOUNTS, &|figures| {
            figures.accounts.map(float)
        });
        figure(writer, &catalogue::MEMORY_POOL, &|figures| {
            figures.memory_pool_bytes.map(float)
        });
        self.each_peer(writer, &catalogue::CLOCK_SKEW, |family, record| {
            if let Some(clock) = record.clock(now)
                && self.wanted(record, Condition::ClockSkew)
            {
                family.sample(of(record), clock.skew);
            }
        });
        self.each_peer(
            writer,
            &catalogue::CLOCK_SKEW_UNCERTAINTY,
            |family, record| {
                if let Some(clock) = record.clock(now) {
                    family.sample(of(record), clock.uncertainty);
                }
            },
        );
    }
}

/// The reasons that `transport` can fail with, each a series from the start.
pub(super) fn possible(transport: Transport) -> impl Iterator<Item = Reason> {
    Reason::ALL
        .iter()
        .copied()
        .filter(move |reason| reason.possible_on(transport))
}

/// Exactly one info series a peer; a text that is not known yet is an empty label.
fn info(family: &mut Family<'_, '_>, record: &PeerRecord) {
    let hash = |hash: Option<Hash>| hash.map(|hash| hash.to_string()).unwrap_or_default();
    let (key, genesis) = (hash(record.identity.key), hash(record.identity.genesis));
    let facts = [
        ("peer_key", key.as_str()),
        ("genesis", genesis.as_str()),
        ("api", record.api.map_or("", Api::as_str)),
        ("role", record.peer.role.as_str()),
    ];
    let own = record
        .peer
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    family.count(of(record).chain(facts).chain(own), 1);
}

/// The exposition has only floats; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "the JSON API has the exact integers"
)]
pub(super) fn float(integer: i64) -> f64 {
    integer as f64
}

/// The first 6 bytes: an integer that a float holds exactly.
fn prefix(hash: Hash) -> f64 {
    hash.as_bytes()[..6]
        .iter()
        .fold(0.0, |value, byte| value * 256.0 + f64::from(*byte))
}
