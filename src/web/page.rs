//! The landing page: a table of peers, and links.

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use tokio::time::Instant;

use crate::alert;
use crate::fleet::PeerRecord;

use super::{Site, internal};

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage<'a> {
    prefix: &'a str,
    vantage: &'a str,
    version: &'static str,
    peers: Vec<PeerRow<'a>>,
}

/// One row; what is not known is empty.
struct PeerRow<'a> {
    name: &'a str,
    network: &'a str,
    health: &'static str,
    conditions: Vec<ConditionLink>,
    endpoints: Vec<EndpointCell<'a>>,
    order: String,
    order_state: &'static str,
    lag: String,
    state_block: String,
    accounts: String,
}

/// What is in force, and the runbook that tells of it.
struct ConditionLink {
    name: &'static str,
    alert: &'static str,
}

struct EndpointCell<'a> {
    url: &'a str,
    latency: String,
    failure: Option<String>,
}

/// `GET /`
pub(super) async fn fleet(State(site): State<Site>) -> Response {
    let snapshot = site.fleet.snapshot();
    let in_force = site.current.get();
    let page = FleetPage {
        prefix: &site.prefix,
        vantage: &in_force.config.vantage,
        version: env!("CARGO_PKG_VERSION"),
        peers: snapshot
            .peers
            .iter()
            .map(|record| PeerRow::new(record, snapshot.now))
            .collect(),
    };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => internal(&error),
    }
}

/// `GET /style.css`
pub(super) async fn style() -> Response {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("style.css"),
    )
        .into_response()
}

impl<'a> PeerRow<'a> {
    fn new(record: &'a PeerRecord, now: Instant) -> Self {
        let figures = record.figures(now);
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let order = record.order(now).map(|order| {
            order
                .by_level()
                .map(|points| points.to_string())
                .join(" / ")
        });
        let conditions = record.conditions.iter().map(|condition| ConditionLink {
            name: condition.as_str(),
            alert: alert::of_condition(*condition),
        });
        let endpoints = record.endpoints.iter().map(|endpoint| EndpointCell {
            url: &endpoint.url,
            latency: record
                .timings(endpoint, now)
                .map(|timings| format!("{:.1} ms", timings.took.as_secs_f64() * 1000.0))
                .unwrap_or_default(),
            failure: endpoint.last_failure.as_ref().map(ToString::to_string),
        });
        Self {
            name: &record.peer.name,
            network: &record.peer.network,
            health: record.health.as_str(),
            conditions: conditions.collect(),
            endpoints: endpoints.collect(),
            order: order.unwrap_or_default(),
            order_state: record.order_state(now).as_str(),
            lag: number(record.lag(now).map(|lag| lag.blocks)),
            state_block: number(figures.and_then(|figures| figures.state_block)),
            accounts: number(figures.and_then(|figures| figures.accounts)),
        }
    }
}
