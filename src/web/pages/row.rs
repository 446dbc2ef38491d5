//! One peer as a row of the fleet page.

use std::time::Duration;

use askama::Template;
use convex_client::LEVELS;

use crate::alerting;
use crate::config::Role;
use crate::fleet::{Condition, OrderState, PeerRecord, Snapshot};
use crate::history::Poll;
use crate::web::pages::format::{
    Clock, Markup, When, cvm_in_short, latency, number, offset, percent, span, visible,
};

use super::spark::{POLLS_SHOWN, poll_bar, sparkline};
use super::{labels, view};

/// A row; what is not known is absent.
#[derive(Template)]
#[template(path = "pages/row.html")]
pub(super) struct Row<'a> {
    prefix: &'a str,
    name: &'a str,
    /// Where there are several.
    network: Option<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
    is_reference: bool,
    health: &'static str,
    maintenance: bool,
    doubt: Option<String>,
    conditions: Vec<LoadedConfig>,
    endpoints: Vec<EndpointCell<'a>>,
    spark: Markup,
    polls: Markup,
    order: Option<OrderCell>,
    lag: Option<LagCell>,
    diverged: Option<bool>,
    first_divergent: Option<String>,
    stake: Option<StakeCell>,
    skew: Option<ClockCell>,
    certificate: Option<CertificateCell>,
    success: Option<When>,
}

/// What is in force, and the runbook that tells of it.
pub(super) struct LoadedConfig {
    pub(super) words: &'static str,
    pub(super) label: &'static str,
    pub(super) alert: &'static str,
}

struct EndpointCell<'a> {
    transport: &'static str,
    url: &'a str,
    latency: Option<String>,
    failure: Option<(&'static str, String)>,
}

struct OrderCell {
    levels: String,
    all: String,
    state: &'static str,
    class: &'static str,
}

struct LagCell {
    blocks: String,
    time: Option<String>,
    lagging: bool,
}

struct StakeCell {
    own: String,
    weight: Option<String>,
}

struct ClockCell {
    skew: String,
    uncertainty: String,
    off: bool,
}

struct CertificateCell {
    days: String,
    ends: When,
    soon: bool,
}

/// What is in force against a peer, each with its runbook.
pub(super) fn in_force(record: &PeerRecord) -> Vec<LoadedConfig> {
    let link = |condition: &Condition| LoadedConfig {
        words: labels::of_condition(*condition),
        label: condition.as_str(),
        alert: alerting::of_condition(*condition),
    };
    record.conditions.iter().map(link).collect()
}

impl<'a> Row<'a> {
    /// The row of `record`, whose last polls are `polls`.
    pub(super) fn new(
        prefix: &'a str,
        record: &'a PeerRecord,
        polls: &[Poll],
        snapshot: &Snapshot,
        clock: Clock,
    ) -> Self {
        let now = snapshot.now;
        let polls = &polls[polls.len().saturating_sub(POLLS_SHOWN)..];
        let endpoints = record.endpoints.iter().map(|endpoint| EndpointCell {
            transport: endpoint.transport.as_str(),
            url: &endpoint.url,
            latency: record
                .timings(endpoint, now)
                .map(|timings| latency(timings.took)),
            failure: endpoint
                .last_failure
                .as_ref()
                .map(|failure| (failure.reason.as_str(), visible(&failure.to_string()))),
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
            doubt: record.excuse.map(|doubt| doubt.to_string()),
            conditions: in_force(record),
            endpoints: endpoints.collect(),
            spark: sparkline(polls),
            polls: poll_bar(polls),
            order: OrderCell::of(record, snapshot),
            lag: LagCell::of(record, snapshot),
            diverged: record.diverged,
            first_divergent: record.first_divergent_block.map(number),
            stake: record.stake.as_ref().map(|stake| StakeCell {
                own: cvm_in_short(stake.registered.own_copper),
                weight: stake.weight.map(percent),
            }),
            skew: record.clock(now).map(|sample| ClockCell {
                skew: offset(sample.skew),
                uncertainty: offset(sample.uncertainty).replace('+', "±"),
                off: record.conditions.contains(&Condition::ClockSkew),
            }),
            certificate: CertificateCell::of(record, snapshot, clock),
            success: view::last_success(record).map(|at| clock.when(at)),
        }
    }
}

impl OrderCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot) -> Option<Self> {
        let order = record.order(snapshot.now)?;
        let levels = order.by_level();
        let named = LEVELS.iter().zip(levels);
        let all: Vec<String> = named
            .map(|(level, points)| format!("{level} {}", number(points)))
            .collect();
        let state = record.order_state(snapshot.now);
        let short = if levels.iter().all(|points| *points == order.finality) {
            number(order.finality)
        } else {
            // The differences are small beside the numbers.
            let above = levels[..3]
                .iter()
                .map(|points| format!("+{}", points.saturating_sub(order.finality)));
            format!(
                "{} {}",
                number(order.finality),
                above.rev().collect::<Vec<_>>().join(" ")
            )
        };
        Some(Self {
            levels: short,
            all: all.join(", "),
            state: labels::of_order(state),
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
            time: (lag.time >= Duration::from_secs(1)).then(|| span(lag.time)),
            lagging: record.conditions.contains(&Condition::Lagging),
        })
    }
}

impl CertificateCell {
    fn of(record: &PeerRecord, snapshot: &Snapshot, clock: Clock) -> Option<Self> {
        let ends = record
            .endpoints
            .iter()
            .filter_map(|it| it.certificate_ends)
            .min()?;
        let left = ends.duration_since(snapshot.wall);
        Some(Self {
            days: match left {
                Ok(left) => format!("{} d", left.as_secs() / 86_400),
                Err(_) => "ended".to_owned(),
            },
            ends: clock.when(ends),
            soon: left.unwrap_or_default() < record.peer.verdicts.certificate,
        })
    }
}
