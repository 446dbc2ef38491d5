//! Metrics of peers, from one snapshot.

use cad3::Hash;
use convex_client::chain::economics::cvm;
use convex_client::{Api, ORDER_LEVELS, PollAnswer, seconds_from_ms, seconds_since_epoch};

use crate::config::Role;
use crate::fleet::{Condition, Health, OrderState, PeerRecord, Snapshot, Stake};

use super::catalogue::{self, Definition, Lean};
use super::text_format::{Family, Label, Writer};

/// The peers of a snapshot, at the configured detail.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// Whether `metrics.detail` is `full`.
    pub(super) full: bool,
}

/// Labels that all series of a peer start with.
pub(super) fn peer_labels(record: &PeerRecord) -> std::array::IntoIter<Label<'_>, 2> {
    [
        ("peer", record.peer.name.as_str()),
        ("network", record.peer.network.as_str()),
    ]
    .into_iter()
}

impl View<'_> {
    /// Writes the family that `fill` adds each peer's samples to, unless lean detail omits it.
    pub(super) fn each_peer(
        self,
        writer: &mut Writer<'_>,
        definition: &'static Definition,
        fill: impl Fn(&mut Family<'_, '_>, &PeerRecord),
    ) {
        if !self.full && definition.lean == Lean::Omitted {
            return;
        }
        writer.family(definition, |family| {
            for record in &self.snapshot.peers {
                // Lean detail leaves out the series about series.
                family.counting_since(self.full.then_some(record.counting_since));
                fill(family, record);
            }
        });
    }

    /// Whether to write a measurement that lean detail shows only while `condition` is active:
    /// alerts grade the condition by the value, or say it.
    fn shows_while(self, record: &PeerRecord, condition: Condition) -> bool {
        self.full || record.conditions.contains(&condition)
    }

    /// Writes all families of peers.
    pub(super) fn write(self, writer: &mut Writer<'_>) {
        self.write_polls(writer);
        self.write_probes(writer);
        self.write_endpoint_details(writer);
        self.write_state(writer);
        self.write_network_comparison(writer);
        self.write_consensus(writer);
        self.write_stake(writer);
        self.write_sidecar(writer);
    }

    /// Writes the verdicts and the counters of polls.
    fn write_polls(self, writer: &mut Writer<'_>) {
        self.each_peer(writer, &catalogue::PEER_UP, |family, record| {
            if let Some(up) = record.last_poll.up() {
                family.integer(peer_labels(record), up.into());
            }
        });
        self.each_peer(writer, &catalogue::PEER_HEALTH, |family, record| {
            for state in Health::ALL {
                family.integer(
                    peer_labels(record).chain([("state", state.as_str())]),
                    (state == record.health).into(),
                );
            }
        });
        self.each_peer(writer, &catalogue::PEER_CONDITION, |family, record| {
            for condition in &record.conditions {
                family.integer(
                    peer_labels(record).chain([("condition", condition.as_str())]),
                    1,
                );
            }
        });
        self.each_peer(
            writer,
            &catalogue::PEER_CONDITION_SINCE,
            |family, record| {
                for (condition, since) in &record.condition_since {
                    family.sample(
                        peer_labels(record).chain([("condition", condition.as_str())]),
                        seconds_since_epoch(*since),
                    );
                }
            },
        );
        self.each_peer(writer, &catalogue::PEER_MAINTENANCE, |family, record| {
            if record.in_maintenance(self.snapshot.wall) {
                family.integer(peer_labels(record), 1);
            }
        });
        self.each_peer(writer, &catalogue::PEER_POLLS, |family, record| {
            family.integer(peer_labels(record), record.polls);
        });
        self.each_peer(writer, &catalogue::PEER_POLL_FAILURES, |family, record| {
            family.integer(peer_labels(record), record.poll_failures);
        });
        self.each_peer(writer, &catalogue::PEER_TRANSITIONS, |family, record| {
            for (state, entered) in Health::ALL.into_iter().zip(record.transitions) {
                family.integer(
                    peer_labels(record).chain([("state", state.as_str())]),
                    entered,
                );
            }
        });
    }

    /// Writes what the registry says about each peer. Lean detail keeps the stake of own peers
    /// only.
    fn write_stake(self, writer: &mut Writer<'_>) {
        let each = |writer: &mut Writer<'_>,
                    definition: &'static Definition,
                    value: &dyn Fn(&Stake) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.stake.as_ref().and_then(value)
                    && (self.full || record.peer.role == Role::Own)
                {
                    family.sample(peer_labels(record), value);
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
                    && self.shows_while(record, Condition::OwnStakeLow)
                {
                    family.sample(peer_labels(record), cvm(stake.registered.eviction_margin()));
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
                    family.sample(peer_labels(record), every.as_secs_f64());
                }
            },
        );
    }

    /// Writes how each peer compares with its network, and whether its order advances.
    fn write_network_comparison(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_peer(writer, &catalogue::SUPPORTED_PROTOCOL, |family, record| {
            if let Some(version) = record.supported_protocol(self.snapshot.now) {
                family.sample(peer_labels(record), float(version));
            }
        });
        self.each_peer(writer, &catalogue::LAG_BLOCKS, |family, record| {
            if let Some(lag) = record.lag(now) {
                family.sample(peer_labels(record), float(lag.blocks));
            }
        });
        self.each_peer(writer, &catalogue::LAG_SECONDS, |family, record| {
            if let Some(lag) = record.lag(now)
                && self.shows_while(record, Condition::Lagging)
            {
                family.sample(peer_labels(record), lag.time.as_secs_f64());
            }
        });
        self.each_peer(writer, &catalogue::ORDER_STATE, |family, record| {
            for &state in OrderState::ALL {
                let active = state == record.order_state(now);
                family.integer(
                    peer_labels(record).chain([("state", state.as_str())]),
                    active.into(),
                );
            }
        });
        self.each_peer(writer, &catalogue::STATE_DIVERGED, |family, record| {
            if let Some(diverged) = record.comparison.diverged() {
                family.integer(peer_labels(record), diverged.into());
            }
        });
        self.each_peer(writer, &catalogue::STATE_COMPARED, |family, record| {
            if let Some(compared) = record.compared {
                let compared = seconds_since_epoch(self.snapshot.time_of(compared));
                family.sample(peer_labels(record), compared);
            }
        });
        self.each_peer(
            writer,
            &catalogue::DIVERGENCE_FIRST_BLOCK,
            |family, record| {
                if let Some(block) = record.comparison.first_block() {
                    family.sample(peer_labels(record), float(block));
                }
            },
        );
        self.each_peer(writer, &catalogue::RESTARTS, |family, record| {
            family.integer(peer_labels(record), record.restarts);
        });
    }

    /// Writes each peer's identity, order, state and clock.
    fn write_state(self, writer: &mut Writer<'_>) {
        let now = self.snapshot.now;
        self.each_peer(writer, &catalogue::PEER_INFO, |family, record| {
            write_info(family, record, record.release(now));
        });
        self.each_peer(writer, &catalogue::IDENTITY_MATCH, |family, record| {
            let identity = &record.identity;
            for (check, matches) in [
                ("genesis", identity.genesis_match),
                ("peer_key", identity.key_match),
                ("advertised_url", identity.advertised_match),
                ("transports_agree", identity.transports_agree),
                ("key_proof", identity.key_proof()),
            ] {
                if let Some(matches) = matches.to_bool() {
                    family.integer(
                        peer_labels(record).chain([("check", check)]),
                        matches.into(),
                    );
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
                family.integer(peer_labels(record).chain([("check", check)]), changes);
            }
        });
        self.each_peer(writer, &catalogue::ORDER_BLOCKS, |family, record| {
            let Some(order) = record.order(now) else {
                return;
            };
            for (level, blocks) in ORDER_LEVELS.into_iter().zip(order.by_level()) {
                family.sample(peer_labels(record).chain([("level", level)]), float(blocks));
            }
        });
        self.each_peer(writer, &catalogue::ORDER_ADVANCE, |family, record| {
            for (level, advanced) in ORDER_LEVELS.into_iter().zip(record.advanced) {
                if let Some(time) = advanced {
                    family.sample(
                        peer_labels(record).chain([("level", level)]),
                        seconds_since_epoch(time),
                    );
                }
            }
        });
        self.each_peer(writer, &catalogue::PENDING, |family, record| {
            if let Some(order) = record.order(now) {
                family.sample(peer_labels(record), float(order.pending()));
            }
        });
        let each_answer = |writer: &mut Writer<'_>,
                           definition: &'static Definition,
                           value: &dyn Fn(&PollAnswer) -> Option<f64>| {
            self.each_peer(writer, definition, |family, record| {
                if let Some(value) = record.poll_answer(now).and_then(value) {
                    family.sample(peer_labels(record), value);
                }
            });
        };
        each_answer(writer, &catalogue::STATE_BLOCK, &|answer| {
            answer.state_block.map(float)
        });
        each_answer(writer, &catalogue::STATE_TIMESTAMP, &|answer| {
            answer.timestamp_ms.map(seconds_from_ms)
        });
        each_answer(writer, &catalogue::STATE_HASH_PREFIX, &|answer| {
            answer.state_hash.map(hash_prefix)
        });
        each_answer(writer, &catalogue::ACCOUNTS, &|answer| {
            answer.accounts.map(float)
        });
        each_answer(writer, &catalogue::MEMORY_POOL, &|answer| {
            answer.memory_pool_bytes.map(float)
        });
        self.each_peer(writer, &catalogue::CLOCK_SKEW, |family, record| {
            if let Some(clock) = record.clock(now)
                && self.shows_while(record, Condition::ClockSkew)
            {
                family.sample(peer_labels(record), clock.skew);
            }
        });
        self.each_peer(
            writer,
            &catalogue::CLOCK_SKEW_UNCERTAINTY,
            |family, record| {
                if let Some(clock) = record.clock(now)
                    && self.shows_while(record, Condition::ClockSkew)
                {
                    family.sample(peer_labels(record), clock.uncertainty);
                }
            },
        );
    }
}

/// Writes exactly one info series per peer; an unknown text is an empty label.
fn write_info(family: &mut Family<'_, '_>, record: &PeerRecord, release: Option<&str>) {
    let hash = |hash: Option<Hash>| hash.map(|hash| hash.to_string()).unwrap_or_default();
    let (key, genesis) = (hash(record.identity.key), hash(record.identity.genesis));
    let facts = [
        ("peer_key", key.as_str()),
        ("genesis", genesis.as_str()),
        ("api", record.api.map_or("", Api::as_str)),
        ("release", release.unwrap_or_default()),
        ("role", record.peer.role.as_str()),
    ];
    let configured = record
        .peer
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    family.integer(peer_labels(record).chain(facts).chain(configured), 1);
}

/// Sample values are floats: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "the JSON API has the exact integers"
)]
pub(super) fn float(integer: i64) -> f64 {
    integer as f64
}

/// The first 6 bytes, an integer that a float holds exactly.
fn hash_prefix(hash: Hash) -> f64 {
    hash.as_bytes()[..6]
        .iter()
        .fold(0.0, |value, byte| value * 256.0 + f64::from(*byte))
}
