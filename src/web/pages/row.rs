//! One peer as a row on the fleet page.

use std::time::Duration;

use askama::Template;
use convex_client::ORDER_LEVELS;

use crate::alerting;
use crate::config::Role;
use crate::fleet::{Comparison, Condition, OrderState, PeerRecord, Snapshot};
use crate::history::Poll;

use super::format::{
    Markup, TimeFormat, Timestamp, latency, number, offset, percent, sanitize, short_cvm,
    short_duration,
};
use super::sparklines::{ROW_POLLS, poll_bar, sparkline};
use super::{labels, selection};

/// A row; unknown values are `None`.
#[derive(Template)]
#[template(path = "pages/row.html")]
pub(super) struct Row<'a> {
    prefix: &'a str,
    name: &'a str,
    /// Only if there are several networks.
    network: Option<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
    is_reference: bool,
    health: &'static str,
    maintenance: bool,
    excuse: Option<String>,
    conditions: Vec<ConditionLink>,
    endpoints: Vec<EndpointCell<'a>>,
    sparkline: Markup,
    poll_bar: Markup,
    order: Option<OrderCell>,
    lag: Option<LagCell>,
    diverged: Option<bool>,
    /// Whether another peer has another state, and nobody knows which is right.
    states_differ: bool,
    first_divergent: Option<String>,
    stake: Option<StakeCell>,
    skew: Option<ClockCell>,
    certificate: Option<CertificateCell>,
    last_success: Option<Timestamp>,
}

/// A condition with the name of its runbook.
pub(super) struct ConditionLink {
    pub(super) text: &'static str,
    pub(super) label: &'static str,
    pub(super) alert: &'static str,
    /// Since when its cause has lasted.
    pub(super) since: Option<Timestamp>,
}

struct EndpointCell<'a> {
    transport: &'static str,
    url: &'a str,
    latency: Option<String>,
    failure: Option<(&'static str, String)>,
}

struct OrderCell {
    levels: String,
    /// All levels by name, for the tooltip.
    all_levels: String,
    state: &'static str,
    class: &'static str,
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

/// Returns the conditions of a peer with their runbooks.
pub(super) fn condition_links(record: &PeerRecord, times: TimeFormat) -> Vec<ConditionLink> {
    let link = |condition: &Condition| ConditionLink {
        text: labels::condition(*condition),
        label: condition.as_str(),
        alert: alerting::alert_for_condition(*condition),
        since: record
            .condition_since
            .get(condition)
            .map(|since| times.lasting(*since)),
    };
    record.conditions.iter().map(link).collect()
}

impl<'a> Row<'a> {
    /// Returns the row of `record`, whose last polls are `polls`.
    pub(super) fn new(
        prefix: &'a str,
        record: &'a PeerRecord,
        polls: &[Poll],
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let now = snapshot.now;
        let polls = &polls[polls.len().saturating_sub(ROW_POLLS)..];
        let endpoints = record.endpoints.iter().map(|endpoint| EndpointCell {
            transport: endpoint.transport.as_str(),
            url: &endpoint.url,
            latency: record
                .timings(endpoint, now)
                .map(|timings| latency(timings.took)),
            failure: endpoint
                .last_failure
                .as_ref()
                .map(|failure| (failure.reason.as_str(), sanitize(&failure.to_string()))),
        });
        let labels = record.peer.labels.iter();
        Self {
            prefix,
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
            endpoints: endpoints.collect(),
            sparkline: sparkline(polls),
            poll_bar: poll_bar(polls),
            order: OrderCell::of(record, snapshot),
            lag: LagCell::of(record, snapshot),
            diverged: record.comparison.diverged(),
            states_differ: record.comparison == Comparison::Differs,
            first_divergent: record.comparison.first_block().map(number),
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
            last_success: selection::last_success(record).map(|at| times.at(at)),
        }
    }
}

impl OrderCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Option<Self> {
        let order = record.order(snapshot.now)?;
        let levels = order.by_level();
        let all_levels: Vec<String> = ORDER_LEVELS
            .iter()
            .zip(levels)
            .map(|(level, points)| format!("{level} {}", number(points)))
            .collect();
        let state = record.order_state(snapshot.now);
        let short_levels = if levels.iter().all(|points| *points == order.finality) {
            number(order.finality)
        } else {
            // The numbers are large and their differences small.
            let differences = levels[..3]
                .iter()
                .map(|points| format!("+{}", points.saturating_sub(order.finality)));
            format!(
                "{} {}",
                number(order.finality),
                differences.rev().collect::<Vec<_>>().join(" ")
            )
        };
        Some(Self {
            levels: short_levels,
            all_levels: all_levels.join(", "),
            state: labels::order_state(state),
            class: match state {
                OrderState::Stalled | OrderState::Receding => "down",
                _ => "quiet",
            },
        })
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
