//! `/api/v1/peers`: what is known of each peer.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded::Serializer;
use utoipa::IntoParams;

use crate::config::Role;
use crate::fleet::peer_json::PeerJson;
use crate::fleet::{Health, PeerRecord, Snapshot};

use super::Api;
use super::conditional::json;
use super::parameters::{LONGEST, Limit, Parameters};
use super::problem::Problem;

/// Which peers are told.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Peers of this network alone.
    network: Option<String>,
    /// Peers of this health alone.
    #[param(inline)]
    health: Option<Health>,
    /// The operator's own peers alone, or the others.
    #[param(inline)]
    role: Option<Role>,
    /// Peers whose name comes after this one, by its bytes: where the page before ended.
    after: Option<String>,
    /// As many at most; without it, all.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

const _: () = assert!(LONGEST == 1000, "the description says so");

impl Which {
    fn takes(&self, record: &PeerRecord) -> bool {
        let peer = &record.peer;
        let after = self.after.as_ref();
        self.network.as_ref().is_none_or(|it| *it == peer.network)
            && self.health.is_none_or(|it| it == record.health)
            && self.role.is_none_or(|it| it == peer.role)
            && after.is_none_or(|after| peer.name > *after)
    }

    /// The link to what comes after the peer `last`.
    fn next(&self, last: &str) -> Option<HeaderValue> {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("network", self.network.as_deref()),
            ("health", self.health.map(Health::as_str)),
            ("role", self.role.map(Role::as_str)),
            ("after", Some(last)),
        ] {
            query.extend_pairs(value.map(|value| (name, value)));
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.get().to_string());
        }
        // Relative: right under whatever path a proxy serves the agent.
        HeaderValue::try_from(format!("<?{}>; rel=\"next\"", query.finish())).ok()
    }
}

/// What is known of all peers, in order of their names.
#[utoipa::path(
    get,
    path = "/api/v1/peers",
    tag = "peers",
    params(Which),
    responses(
        (status = 200, description = "The peers.", body = [PeerJson], headers(
            ("ETag" = String, description = "For If-None-Match."),
            ("Link" = Option<String>, description = "`rel=\"next\"`: the next page, where there is one."),
        )),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn peers(
    State(api): State<Api>,
    headers: HeaderMap,
    Parameters(which): Parameters<Which>,
) -> Result<Response, Problem> {
    let snapshot = api.fleet.snapshot();
    // Telling ten thousand peers takes a while: not on the threads that poll.
    let told = tokio::task::spawn_blocking(move || told(&snapshot, &headers, &which));
    told.await.map_err(|error| Problem::internal(&error))?
}

fn told(snapshot: &Snapshot, headers: &HeaderMap, which: &Which) -> Result<Response, Problem> {
    let mut records: Vec<_> = snapshot
        .peers
        .iter()
        .filter(|record| which.takes(record))
        .collect();
    records.sort_unstable_by(|a, b| a.peer.name.cmp(&b.peer.name));
    let limit = which.limit.map_or(records.len(), Limit::get);
    let more = records.len() > limit;
    records.truncate(limit);
    let reports: Vec<PeerJson<'_>> = records
        .iter()
        .map(|record| PeerJson::new(record, snapshot.now))
        .collect();
    let mut response = json(headers, &reports)?;
    let last = records.last().filter(|_| more);
    if let Some(link) = last.and_then(|last| which.next(&last.peer.name)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// What is known of one peer.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}",
    tag = "peers",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The peer.", body = PeerJson, headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "The path is no text.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No peer has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn peer(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let record = api.record(&name)?;
    json(&headers, &PeerJson::new(&record, Instant::now()))
}
