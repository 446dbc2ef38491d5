//! One peer as it is told to scripts: the shape of `/api/v1/peers` and of `probe --json`.

#![allow(
    unused_qualifications,
    reason = "what utoipa derives repeats the paths of the types"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{
    Api, ErrorReply, OrderPoints, PollAnswer, Transport, seconds_from_ms, seconds_since_epoch,
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Role;
use crate::failure::{Failure, Reason};
use crate::fleet::{Condition, EndpointRecord, Health, OrderState, PeerRecord, Stake};
use crate::sidecar::{ProcessReading, StoreReading};

/// Largest integer that every JSON reader takes exactly; larger ones are written as strings.
const EXACT: u64 = 1 << 53;

/// One peer. What is not known is absent. Times are seconds since the epoch, durations seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeerReport<'a> {
    name: &'a str,
    network: &'a str,
    role: Role,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    health: Health,
    conditions: &'a BTreeSet<Condition>,
    maintenance: bool,
    polls: u64,
    poll_failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Api>,
    identity: IdentityReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_error: Option<QueryErrorReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockReport>,
    standing: StandingReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    stake: Option<StakeReport>,
    restarts_inferred: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<SidecarReport<'a>>,
    endpoints: Vec<EndpointReport<'a>>,
}

/// Who answers, and whether that is as it should be.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis_match: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_key_match: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertised_url_match: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transports_agree: Option<bool>,
}

/// The order: how many blocks it has at each level.
#[derive(Debug, Serialize, ToSchema)]
struct OrderReport {
    #[serde(flatten)]
    points: PointsReport,
    pending: ExactInteger,
    state: OrderState,
}

/// How many blocks an order has at each level.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointsReport {
    block: ExactInteger,
    proposal: ExactInteger,
    consensus: ExactInteger,
    finality: ExactInteger,
}

/// What the host shows of the peer, and why it does not show the rest.
#[derive(Debug, Serialize, ToSchema)]
struct SidecarReport<'a> {
    #[serde(flatten)]
    process: Option<&'a ProcessReading>,
    #[serde(flatten)]
    store: Option<&'a StoreReading>,
    unavailable: BTreeMap<&'a str, &'a str>,
}

/// How the peer stands to its network.
#[derive(Debug, Serialize, ToSchema)]
struct StandingReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_blocks: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_divergent_block: Option<ExactInteger>,
}

/// What the chain says of the peer.
#[derive(Debug, Serialize, ToSchema)]
struct StakeReport {
    own_copper: ExactInteger,
    delegated_copper: ExactInteger,
    decay: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    eviction_margin_copper: ExactInteger,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller_balance_copper: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_block: Option<f64>,
}

/// PollAnswer of one state; those the peer could not tell are absent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_peers: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_pool_bytes: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_pool_copper: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copper_per_memory_byte: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copper_per_juice: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees_copper: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coin_supply_copper: Option<ExactInteger>,
}

/// The error that the query was answered with.
#[derive(Debug, Serialize, ToSchema)]
struct QueryErrorReport<'a> {
    code: &'a str,
    message: &'a str,
}

/// How far the peer's clock is ahead of the agent's.
#[derive(Debug, Serialize, ToSchema)]
struct ClockReport {
    skew_seconds: f64,
    uncertainty_seconds: f64,
}

/// One endpoint of the peer.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointReport<'a> {
    transport: Transport,
    url: &'a str,
    attempts: u64,
    failures: u64,
    retries: u64,
    reconnects: u64,
    ignored_messages: u64,
    consecutive_failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_not_after: Option<f64>,
}

/// Why the last poll of the endpoint failed.
#[derive(Debug, Serialize, ToSchema)]
struct FailureReport<'a> {
    reason: Reason,
    message: &'a str,
}

/// An integer that reaches the reader whole: as a number up to 2^53, as a string beyond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactInteger(pub(crate) i64);

impl Serialize for ExactInteger {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.unsigned_abs() <= EXACT {
            serializer.serialize_i64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

impl PartialSchema for ExactInteger {
    fn schema() -> RefOr<Schema> {
        let exact = 9_007_199_254_740_992_i64;
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(-exact))
            .maximum(Some(exact));
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^-?[0-9]{16,19}$"));
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some(
                "An exact integer: a number up to 2^53, decimal digits in a string beyond.",
            ))
            .into()
    }
}

impl ToSchema for ExactInteger {}

impl<'a> PeerReport<'a> {
    /// What is known of a peer at `now`.
    #[must_use]
    pub fn new(record: &'a PeerRecord, now: Instant) -> Self {
        let identity = &record.identity;
        let text = |hash: Option<Hash>| hash.map(|hash| hash.to_string());
        Self {
            name: &record.peer.name,
            network: &record.peer.network,
            role: record.peer.role,
            labels: &record.peer.labels,
            up: record.up,
            health: record.health,
            conditions: &record.conditions,
            maintenance: record.in_maintenance(SystemTime::now()),
            polls: record.polls,
            poll_failures: record.poll_failures,
            api: record.api,
            identity: IdentityReport {
                genesis: text(identity.genesis),
                peer_key: text(identity.key),
                genesis_match: identity.genesis_match,
                peer_key_match: identity.key_match,
                advertised_url_match: identity.advertised_match,
                transports_agree: identity.transports_agree,
            },
            order: record.order(now).map(|points| OrderReport {
                points: PointsReport::new(points),
                pending: ExactInteger(points.pending()),
                state: record.order_state(now),
            }),
            state: record.figures(now).map(StateReport::new),
            query_error: record.query_error.as_ref().map(QueryErrorReport::new),
            clock: record.clock(now).map(|clock| ClockReport {
                skew_seconds: clock.skew,
                uncertainty_seconds: clock.uncertainty,
            }),
            standing: StandingReport::new(record, now),
            stake: record.stake.as_ref().map(StakeReport::new),
            restarts_inferred: record.restarts,
            sidecar: SidecarReport::new(record, now),
            endpoints: record
                .endpoints
                .iter()
                .map(|endpoint| EndpointReport::new(record, endpoint, now))
                .collect(),
        }
    }
}

impl PointsReport {
    pub(crate) fn new(points: OrderPoints) -> Self {
        Self {
            block: ExactInteger(points.block),
            proposal: ExactInteger(points.proposal),
            consensus: ExactInteger(points.consensus),
            finality: ExactInteger(points.finality),
        }
    }
}

impl<'a> SidecarReport<'a> {
    fn new(record: &'a PeerRecord, now: Instant) -> Option<Self> {
        record.peer.sidecar.as_ref()?;
        let (process, store) = (record.process(now), record.store(now));
        let of_process = process.iter().flat_map(|it| &it.unavailable);
        let of_store = store.iter().flat_map(|it| &it.unavailable);
        Some(Self {
            process,
            store,
            unavailable: of_process
                .chain(of_store)
                .map(|(what, why)| (*what, why.as_str()))
                .collect(),
        })
    }
}

impl StandingReport {
    fn new(record: &PeerRecord, now: Instant) -> Self {
        let lag = record.lag(now);
        Self {
            lag_blocks: lag.map(|lag| ExactInteger(lag.blocks)),
            lag_seconds: lag.map(|lag| lag.time.as_secs_f64()),
            diverged: record.diverged,
            first_divergent_block: record.first_divergent_block.map(ExactInteger),
        }
    }
}

impl StakeReport {
    fn new(stake: &Stake) -> Self {
        let registered = &stake.registered;
        Self {
            own_copper: ExactInteger(registered.own_copper),
            delegated_copper: ExactInteger(registered.delegated_copper),
            decay: stake.decay,
            weight: stake.weight,
            eviction_margin_copper: ExactInteger(registered.eviction_margin()),
            controller: registered.controller.map(|address| format!("#{address}")),
            controller_balance_copper: stake.controller_balance.map(ExactInteger),
            last_block: registered.last_block_ms.map(seconds_from_ms),
        }
    }
}

impl StateReport {
    pub(crate) fn new(figures: &PollAnswer) -> Self {
        let exact = |value: Option<i64>| value.map(ExactInteger);
        Self {
            block: exact(figures.state_block),
            hash: figures.state_hash.map(|hash| hash.to_string()),
            timestamp_seconds: figures.timestamp_ms.map(seconds_from_ms),
            accounts: exact(figures.accounts),
            registered_peers: exact(figures.registered_peers),
            memory_pool_bytes: exact(figures.memory_pool_bytes),
            memory_pool_copper: exact(figures.memory_pool_copper),
            copper_per_memory_byte: figures
                .memory_price_copper
                .filter(|price| price.is_finite()),
            copper_per_juice: exact(figures.juice_price_copper),
            fees_copper: exact(figures.fees_copper),
            coin_supply_copper: exact(figures.coin_supply_copper),
        }
    }
}

impl<'a> QueryErrorReport<'a> {
    fn new(error: &'a ErrorReply) -> Self {
        Self {
            code: &error.code,
            message: &error.message,
        }
    }
}

impl<'a> EndpointReport<'a> {
    fn new(record: &PeerRecord, endpoint: &'a EndpointRecord, now: Instant) -> Self {
        let seconds = |time: Option<SystemTime>| time.map(seconds_since_epoch);
        let timings = record.timings(endpoint, now);
        Self {
            transport: endpoint.transport,
            url: &endpoint.url,
            attempts: endpoint.tally.attempts,
            failures: endpoint.tally.failed_in_all(),
            retries: endpoint.tally.retries,
            reconnects: endpoint.tally.reconnects,
            ignored_messages: endpoint.tally.ignored,
            consecutive_failures: endpoint.consecutive_failures,
            last_attempt: seconds(endpoint.last_attempt),
            last_success: seconds(endpoint.last_success),
            failure: endpoint.last_failure.as_ref().map(FailureReport::new),
            duration_seconds: timings
                .map(|timings| timings.took)
                .as_ref()
                .map(Duration::as_secs_f64),
            response_bytes: timings.map(|timings| timings.response_bytes),
            certificate_not_after: seconds(endpoint.certificate_ends),
        }
    }
}

impl<'a> FailureReport<'a> {
    fn new(failure: &'a Failure) -> Self {
        Self {
            reason: failure.reason,
            message: &failure.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_exact_at_its_extremes_too() {
        let told = |value| serde_json::to_string(&ExactInteger(value)).unwrap();
        let exact = 1 << 53;
        for (value, expected) in [
            (0, "0"),
            (exact, "9007199254740992"),
            (exact + 1, "\"9007199254740993\""),
            (-exact, "-9007199254740992"),
            (i64::MAX, "\"9223372036854775807\""),
            (i64::MIN, "\"-9223372036854775808\""),
        ] {
            assert_eq!(told(value), expected);
        }
    }
}
