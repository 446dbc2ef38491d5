//! One peer as a row on the fleet page.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;

use crate::config::Role;
use crate::fleet::{Comparison, Condition, Health, OrderState, PeerRecord, Snapshot};
use crate::history::Poll;

use super::availability::Availability;
use super::columns::{Column, Columns};
use super::conditions::{ConditionLink, condition_links};
use super::format::{
    Markup, TimeFormat, Timestamp, latency, number, offset, percent, sanitize, short_cvm,
    short_duration,
};
use super::ladder::Ladder;
use super::sparklines::{ROW_POLLS, sparkline};
use super::vantages::VantageCell;
use super::{labels, selection};

/// A row; unknown values are `None`.
#[derive(Template)]
#[template(path = "pages/row.html")]
pub(super) struct Row<'a> {
    prefix: &'a str,
    columns: &'a Columns,
    name: &'a str,
    /// Only if there are several networks.
    network: Option<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
    is_reference: bool,
    health: &'static str,
    maintenance: bool,
    excuse: Option<String>,
    conditions: Vec<ConditionLink>,
    /// When it last answered, if it does not.
    last_success: Option<Timestamp>,
    vantages: Option<VantageCell>,
    availability: Option<Arc<Availability>>,
    endpoints: Vec<EndpointCell<'a>>,
    sparkline: Markup,
    order: Option<OrderCell>,
    lag: Option<LagCell>,
    state: StateCell,
    stake: Option<StakeCell>,
    skew: Option<ClockCell>,
    certificate: Option<CertificateCell>,
}

struct EndpointCell<'a> {
    transport: &'static str,
    url: &'a str,
    latency: Option<String>,
    failure: Option<EndpointFailure>,
}

struct EndpointFailure {
    /// Why it fails; empty where the health of the peer says it already.
    reason: &'static str,
    message: String,
}

/// The order as a ladder, and its state if that is trouble.
struct OrderCell {
    ladder: Ladder,
    trouble: Option<&'static str>,
}

/// Whether the state agrees with that of other peers.
struct StateCell {
    text: &'static str,
    class: &'static str,
    /// The first block that is known to differ.
    first_block: Option<String>,
    /// When it was last compared.
    compared: Option<Timestamp>,
    /// Whether that counts still.
    is_current: bool,
}

struct LagCell {
    blocks: String,
    time: Option<String>,
    is_lagging: bool,
}

struct StakeCell {
    own: String,
    weight: Option<String>,
}

struct ClockCell {
    skew: String,
    uncertainty: String,
    is_problem: bool,
}

struct CertificateCell {
    days: String,
    ends: Timestamp,
    ends_soon: bool,
}

/// What rows of one page share.
pub(super) struct RowContext<'a> {
    pub(super) prefix: &'a str,
    pub(super) columns: &'a Columns,
    pub(super) snapshot: &'a Snapshot,
    pub(super) times: TimeFormat,
}

impl<'a> Row<'a> {
    /// Returns the row of `record`, whose last polls are `polls`.
    pub(super) fn new(
        context: &RowContext<'a>,
        record: &'a PeerRecord,
        polls: &[Poll],
        availability: Option<Arc<Availability>>,
    ) -> Self {
        let (snapshot, times) = (context.snapshot, context.times);
        let now = snapshot.now;
        let polls = &polls[polls.len().saturating_sub(ROW_POLLS)..];
        let endpoints = record.endpoints.iter().map(|endpoint| EndpointCell {
            transport: endpoint.transport.as_str(),
            url: &endpoint.url,
            latency: record
                .timings(endpoint, now)
                .map(|timings| latency(timings.took)),
            failure: endpoint.last_failure.as_ref().map(|failure| {
                let is_said = record
                    .conditions
                    .contains(&Condition::Failing(failure.reason));
                EndpointFailure {
                    reason: if is_said {
                        ""
                    } else {
                        labels::reason(failure.reason)
                    },
                    message: sanitize(&failure.to_string()),
                }
            }),
        });
        let labels = record.peer.labels.iter();
        let is_silent = matches!(record.health, Health::Down | Health::Unknown);
        Self {
            prefix: context.prefix,
            columns: context.columns,
            name: &record.peer.name,
            network: (snapshot.networks.len() > 1).then_some(&record.peer.network),
            labels: labels
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            is_reference: record.peer.role == Role::Reference,
            health: record.health.as_str(),
            maintenance: record.in_maintenance(snapshot.wall),
            excuse: record.excuse.map(|excuse| excuse.to_string()),
            conditions: condition_links(record, times),
            last_success: selection::last_success(record)
                .filter(|_| is_silent)
                .map(|at| times.at(at)),
            vantages: VantageCell::of(record, snapshot),
            availability,
            endpoints: endpoints.collect(),
            sparkline: sparkline(polls),
            order: OrderCell::of(record, snapshot),
            lag: LagCell::of(record, snapshot),
            state: StateCell::of(record, snapshot, times),
            stake: record.stake.as_ref().map(|stake| StakeCell {
                own: short_cvm(stake.registered.own_copper),
                weight: stake.weight.map(percent),
            }),
            skew: record.clock(now).map(|sample| ClockCell {
                skew: offset(sample.skew),
                uncertainty: offset(sample.uncertainty).replace('+', "±"),
                is_problem: record.conditions.contains(&Condition::ClockSkew),
            }),
            certificate: CertificateCell::of(record, snapshot, times),
        }
    }

    fn shows(&self, column: Column) -> bool {
        self.columns.contains(column)
    }
}

impl OrderCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Option<Self> {
        let now = snapshot.now;
        let order = record.order(now)?;
        // The block whose state the peer has is the last one that it executed.
        let executed = record
            .poll_answer(now)
            .and_then(|answer| answer.state_block);
        let executed = executed.map(|block| block.saturating_add(1));
        let state = record.order_state(now);
        let trouble = matches!(state, OrderState::Stalled | OrderState::Receding);
        Some(Self {
            ladder: Ladder::new(order, executed),
            trouble: trouble.then(|| labels::order_state(state)),
        })
    }
}

impl StateCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot, times: TimeFormat) -> Self {
        let (text, class) = labels::comparison(record.comparison);
        Self {
            text,
            class,
            first_block: record.comparison.first_block().map(number),
            is_current: record.comparison != Comparison::NotCompared,
            compared: record.compared.map(|at| times.at(snapshot.time_of(at))),
        }
    }
}

impl LagCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Option<Self> {
        let lag = record.lag(snapshot.now)?;
        Some(Self {
            blocks: number(lag.blocks),
            time: (lag.time >= Duration::from_secs(1)).then(|| short_duration(lag.time)),
            is_lagging: record.conditions.contains(&Condition::Lagging),
        })
    }
}

impl CertificateCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot, times: TimeFormat) -> Option<Self> {
        let certificate = record
            .endpoints
            .iter()
            .filter_map(|it| it.certificate.as_ref())
            .min_by_key(|it| it.ends)?;
        let ends = certificate.ends;
        let remaining = ends.duration_since(snapshot.wall);
        Some(Self {
            days: match remaining {
                Ok(remaining) => format!("{} d", remaining.as_secs() / 86_400),
                Err(_) => "ended".to_owned(),
            },
            ends: times.at(ends),
            ends_soon: certificate.ends_soon(snapshot.wall, record.peer.verdicts.certificate),
        })
    }
}
