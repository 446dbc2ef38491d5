//! The JSON shape of a peer in `/api/v1/peers` and in `probe --json`.
//!
//! The names of its components in `openapi.json` are part of the API: generated clients use them.

#![allow(
    unused_qualifications,
    reason = "code derived by utoipa repeats the paths of types"
)]

mod consensus;
mod vantages;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{
    Api, ErrorReply, OrderPoints, PollAnswer, Transport, seconds_from_ms, seconds_since_epoch,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::Role;
use crate::failure::{Failure, Reason};
use crate::sidecar::{ProcessReading, StoreReading};

use super::wall_time::wall_time;
use super::{
    Condition, EndpointRecord, Health, OrderState, PeerConclusion, PeerConsensus, PeerRecord,
    Place, Snapshot, Stake,
};
pub(crate) use consensus::ForkJson;
use consensus::PeerConsensusJson;
use vantages::PeerVantageJson;

/// Largest integer that all JSON parsers read exactly; larger ones are written as strings.
const MAX_EXACT: u64 = 1 << 53;

/// A peer. Unknown values are absent. Times are seconds since the epoch, durations are seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PeerJson)]
pub struct PeerJson<'a> {
    name: &'a str,
    network: &'a str,
    role: Role,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    health: Health,
    conditions: &'a BTreeSet<Condition>,
    /// When the trouble began that each condition reports, seconds since the epoch.
    condition_since: BTreeMap<&'static str, f64>,
    maintenance: bool,
    polls: u64,
    poll_failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Api>,
    /// The release that the peer tells over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    /// Highest version of the protocol that the peer's release can execute.
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_protocol_version: Option<ExactInteger>,
    identity: IdentityJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_error: Option<QueryErrorJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockJson>,
    standing: NetworkComparisonJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    stake: Option<StakeJson>,
    /// Absent if neither the peer's belief nor an order of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    consensus: Option<PeerConsensusJson<'a>>,
    /// What follows from the opinions of several agents; absent unless the peer is down for one of
    /// them and another one has evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<PeerConclusionJson>,
    /// What each other agent says, if others are configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vantages: Vec<PeerVantageJson<'a>>,
    restarts_inferred: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<SidecarJson<'a>>,
    endpoints: Vec<EndpointJson<'a>>,
}

/// What follows from the opinions of several agents on a peer that is down for one of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PeerConclusionReport)]
struct PeerConclusionJson {
    /// Where the cause lies.
    place: Place,
    /// Whether the peer answers an agent on its own host: its process is alive.
    process_alive: bool,
}

/// Genesis hash and peer key, and whether they are the expected ones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IdentityReport)]
struct IdentityJson {
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
    /// Whether the peer answered a challenge with the key that it says it has; absent if it proved
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_proven: Option<bool>,
}

/// The order: its number of blocks at each level.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderReport)]
struct OrderJson {
    #[serde(flatten)]
    points: OrderPointsJson,
    pending: ExactInteger,
    state: OrderState,
}

/// The number of blocks in an order at each level.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PointsReport)]
pub(crate) struct OrderPointsJson {
    block: ExactInteger,
    proposal: ExactInteger,
    consensus: ExactInteger,
    finality: ExactInteger,
}

/// Readings of the peer's host, and why the others are unavailable.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SidecarReport)]
struct SidecarJson<'a> {
    #[serde(flatten)]
    process: Option<&'a ProcessReading>,
    #[serde(flatten)]
    store: Option<&'a StoreReading>,
    unavailable: BTreeMap<&'a str, &'a str>,
}

/// The peer compared with its network.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StandingReport)]
struct NetworkComparisonJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_blocks: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diverged: Option<bool>,
    /// How the peer's states compare with those of the others: `not_compared`, `agrees`, `differs`
    /// or `diverged`.
    comparison: &'static str,
    /// When the peer last showed a block that another peer showed too, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_divergent_block: Option<ExactInteger>,
    /// The first block at which the peer's history differs from that of the majority.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_forked_block: Option<ExactInteger>,
}

/// The peer's entry in the registry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StakeReport)]
struct StakeJson {
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

/// Values of one state; those that the peer did not report are absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateReport)]
pub(crate) struct StateJson {
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

/// The error that the peer answered the query with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryErrorReport)]
struct QueryErrorJson<'a> {
    code: &'a str,
    message: &'a str,
}

/// How far the peer's clock is ahead of the agent's clock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClockReport)]
struct ClockJson {
    skew_seconds: f64,
    uncertainty_seconds: f64,
}

/// An endpoint of the peer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndpointReport)]
struct EndpointJson<'a> {
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
    failure: Option<FailureJson<'a>>,
    /// Why the last connection that was to replace an old one failed; absent if it worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_connection_failure: Option<FailureJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_not_after: Option<f64>,
    /// Subject of the certificate that ends first in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_subject: Option<&'a str>,
}

/// Why something failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailureReport)]
struct FailureJson<'a> {
    reason: Reason,
    message: &'a str,
}

/// An integer that is read exactly: a number up to 2^53, a string beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactInteger(pub i64);

impl ExactInteger {
    /// Counts beyond the largest integer are that one.
    pub(crate) fn from_count(count: u64) -> Self {
        Self(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Serialize for ExactInteger {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.unsigned_abs() <= MAX_EXACT {
            serializer.serialize_i64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ExactInteger {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
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
                "An exact integer: a number up to 2^53, a string of decimal digits beyond.",
            ))
            .into()
    }
}

impl ToSchema for ExactInteger {}

impl<'a> PeerJson<'a> {
    /// The peer as polls have shown it, as known at `now`, which is the time `wall`.
    #[must_use]
    pub fn new(record: &'a PeerRecord, now: Instant, wall: SystemTime) -> Self {
        let identity = &record.identity;
        let hex = |hash: Option<Hash>| hash.map(|hash| hash.to_string());
        Self {
            name: &record.peer.name,
            network: &record.peer.network,
            role: record.peer.role,
            labels: &record.peer.labels,
            up: record.last_poll.up(),
            health: record.health,
            conditions: &record.conditions,
            condition_since: record
                .condition_since
                .iter()
                .map(|(condition, since)| (condition.as_str(), seconds_since_epoch(*since)))
                .collect(),
            maintenance: record.in_maintenance(SystemTime::now()),
            polls: record.polls,
            poll_failures: record.poll_failures,
            api: record.api,
            release: record.release(now).map(str::to_owned),
            supported_protocol_version: record.supported_protocol(now).map(ExactInteger),
            identity: IdentityJson {
                genesis: hex(identity.genesis),
                peer_key: hex(identity.key),
                genesis_match: identity.genesis_match.to_bool(),
                peer_key_match: identity.key_match.to_bool(),
                advertised_url_match: identity.advertised_match.to_bool(),
                transports_agree: identity.transports_agree.to_bool(),
                key_proven: identity.key_proof().to_bool(),
            },
            order: record.order(now).map(|points| OrderJson {
                points: OrderPointsJson::new(points),
                pending: ExactInteger(points.pending()),
                state: record.order_state(now),
            }),
            state: record.poll_answer(now).map(StateJson::new),
            query_error: record.query_error.as_ref().map(QueryErrorJson::new),
            clock: record.clock(now).map(|clock| ClockJson {
                skew_seconds: clock.skew,
                uncertainty_seconds: clock.uncertainty,
            }),
            standing: NetworkComparisonJson::new(record, now, wall),
            stake: record.stake.as_ref().map(StakeJson::new),
            consensus: None,
            conclusion: None,
            vantages: Vec::new(),
            restarts_inferred: record.restarts,
            sidecar: SidecarJson::new(record, now),
            endpoints: record
                .endpoints
                .iter()
                .map(|endpoint| EndpointJson::new(record, endpoint, now))
                .collect(),
        }
    }

    /// The same peer with the opinions of other agents, and what follows from all.
    #[must_use]
    pub fn with_opinions(self, record: &'a PeerRecord, snapshot: &'a Snapshot) -> Self {
        let json = |it: PeerConclusion| PeerConclusionJson {
            place: it.place,
            process_alive: it.process_alive,
        };
        Self {
            conclusion: snapshot.conclusion_on_peer(record).map(json),
            vantages: PeerVantageJson::all(record, snapshot),
            ..self
        }
    }

    /// The same peer with what orders and beliefs say about it.
    #[must_use]
    pub fn with_consensus(self, consensus: PeerConsensus<'a>) -> Self {
        Self {
            consensus: PeerConsensusJson::new(consensus),
            ..self
        }
    }
}

impl OrderPointsJson {
    pub(crate) fn new(points: OrderPoints) -> Self {
        Self {
            block: ExactInteger(points.block),
            proposal: ExactInteger(points.proposal),
            consensus: ExactInteger(points.consensus),
            finality: ExactInteger(points.finality),
        }
    }
}

impl<'a> SidecarJson<'a> {
    fn new(record: &'a PeerRecord, now: Instant) -> Option<Self> {
        record.peer.sidecar.as_ref()?;
        let (process, store) = (record.process(now), record.store(now));
        let process_unavailable = process.iter().flat_map(|reading| &reading.unavailable);
        let store_unavailable = store.iter().flat_map(|reading| &reading.unavailable);
        Some(Self {
            process,
            store,
            unavailable: process_unavailable
                .chain(store_unavailable)
                .map(|(value, why)| (*value, why.as_str()))
                .collect(),
        })
    }
}

impl NetworkComparisonJson {
    fn new(record: &PeerRecord, now: Instant, wall: SystemTime) -> Self {
        let lag = record.lag(now);
        Self {
            lag_blocks: lag.map(|lag| ExactInteger(lag.blocks)),
            lag_seconds: lag.map(|lag| lag.time.as_secs_f64()),
            diverged: record.comparison.diverged(),
            comparison: record.comparison.as_str(),
            compared: record.compared.map(|compared| {
                let at = wall_time(compared, now, wall);
                seconds_since_epoch(at.unwrap_or(SystemTime::UNIX_EPOCH))
            }),
            first_divergent_block: record.comparison.first_block().map(ExactInteger),
            first_forked_block: record.forked_at().map(ExactInteger::from_count),
        }
    }
}

impl StakeJson {
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

impl StateJson {
    pub(crate) fn new(answer: &PollAnswer) -> Self {
        let exact = |value: Option<i64>| value.map(ExactInteger);
        Self {
            block: exact(answer.state_block),
            hash: answer.state_hash.map(|hash| hash.to_string()),
            timestamp_seconds: answer.timestamp_ms.map(seconds_from_ms),
            accounts: exact(answer.accounts),
            registered_peers: exact(answer.registered_peers),
            memory_pool_bytes: exact(answer.memory_pool_bytes),
            memory_pool_copper: exact(answer.memory_pool_copper),
            copper_per_memory_byte: answer.memory_price_copper.filter(|price| price.is_finite()),
            copper_per_juice: exact(answer.juice_price_copper),
            fees_copper: exact(answer.fees_copper),
            coin_supply_copper: exact(answer.coin_supply_copper),
        }
    }
}

impl<'a> QueryErrorJson<'a> {
    fn new(error: &'a ErrorReply) -> Self {
        Self {
            code: &error.code,
            message: &error.message,
        }
    }
}

impl<'a> EndpointJson<'a> {
    fn new(record: &PeerRecord, endpoint: &'a EndpointRecord, now: Instant) -> Self {
        let seconds = |time: Option<SystemTime>| time.map(seconds_since_epoch);
        let timings = record.timings(endpoint, now);
        let certificate = endpoint.certificate.as_ref();
        Self {
            transport: endpoint.transport,
            url: &endpoint.url,
            attempts: endpoint.tally.attempts,
            failures: endpoint.tally.total_failures(),
            retries: endpoint.tally.retries,
            reconnects: endpoint.tally.reconnects,
            ignored_messages: endpoint.tally.ignored,
            consecutive_failures: endpoint.consecutive_failures,
            last_attempt: seconds(endpoint.last_attempt),
            last_success: seconds(endpoint.last_success),
            failure: endpoint.last_failure.as_ref().map(FailureJson::new),
            new_connection_failure: endpoint
                .new_connection_failure
                .as_ref()
                .map(FailureJson::new),
            duration_seconds: timings
                .map(|timings| timings.took)
                .as_ref()
                .map(Duration::as_secs_f64),
            response_bytes: timings.map(|timings| timings.response_bytes),
            certificate_not_after: certificate.map(|it| seconds_since_epoch(it.ends)),
            certificate_subject: certificate.map(|it| it.subject.as_str()),
        }
    }
}

impl<'a> FailureJson<'a> {
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
    fn integers_are_exact_up_to_their_extremes() {
        let json = |value| serde_json::to_string(&ExactInteger(value)).unwrap();
        let exact = 1 << 53;
        for (value, expected) in [
            (0, "0"),
            (exact, "9007199254740992"),
            (exact + 1, "\"9007199254740993\""),
            (-exact, "-9007199254740992"),
            (i64::MAX, "\"9223372036854775807\""),
            (i64::MIN, "\"-9223372036854775808\""),
        ] {
            assert_eq!(json(value), expected);
        }
    }
}
