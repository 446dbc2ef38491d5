//! `/api/v1/peers`: the current state of each peer.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use utoipa::IntoParams;

use crate::config::Role;
use crate::fleet::peer_json::PeerJson;
use crate::fleet::{ConsensusIndex, Health, PeerRecord, Snapshot};

use super::Api;
use super::conditional::json;
use super::parameters::{Limit, MAX_LIMIT, Parameters};
use super::peer_json;
use super::problem::Problem;

/// The query parameters of a list of peers.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeerParameters {
    /// Only peers of this network.
    network: Option<String>,
    /// Only peers with this health.
    #[param(inline)]
    health: Option<Health>,
    /// Only own peers, or only reference peers.
    #[param(inline)]
    role: Option<Role>,
    /// Only peers whose name sorts after this one, bytewise: the last name of the previous page.
    after: Option<String>,
    /// Maximum length of the list, unlimited by default.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

const _: () = assert!(MAX_LIMIT == 1000, "the maximum above is the largest limit");

impl PeerParameters {
    fn matches(&self, record: &PeerRecord) -> bool {
        let peer = &record.peer;
        let after = self.after.as_ref();
        self.network.as_ref().is_none_or(|it| *it == peer.network)
            && self.health.is_none_or(|it| it == record.health)
            && self.role.is_none_or(|it| it == peer.role)
            && after.is_none_or(|after| peer.name > *after)
    }

    /// Returns the `Link` header to the page after the peer `last`.
    fn next_link(&self, last: &str) -> Option<HeaderValue> {
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
        // Relative, so that it works under any path at which a proxy serves the agent.
        HeaderValue::try_from(format!("<?{}>; rel=\"next\"", query.finish())).ok()
    }
}

/// The current state of all peers, ordered by name.
#[utoipa::path(
    get,
    path = "/api/v1/peers",
    tag = "peers",
    params(PeerParameters),
    responses(
        (status = 200, description = "The peers.", body = [PeerJson], headers(
            ("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."),
            ("Link" = Option<String>, description = "The next page, if there is one, with `rel=\"next\"`."),
        )),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn peers(
    State(api): State<Api>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<PeerParameters>,
) -> Result<Response, Problem> {
    let snapshot = api.fleet.snapshot();
    // Serializing ten thousand peers takes too long for the threads that poll.
    let response = tokio::task::spawn_blocking(move || list(&snapshot, &headers, &parameters));
    response.await.map_err(|error| Problem::internal(&error))?
}

fn list(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    parameters: &PeerParameters,
) -> Result<Response, Problem> {
    let mut records: Vec<_> = snapshot
        .peers
        .iter()
        .filter(|record| parameters.matches(record))
        .collect();
    records.sort_unstable_by(|a, b| a.peer.name.cmp(&b.peer.name));
    let limit = parameters.limit.map_or(records.len(), Limit::get);
    let has_more = records.len() > limit;
    records.truncate(limit);
    let consensus = ConsensusIndex::new(snapshot.verdicts());
    let reports: Vec<PeerJson<'_>> = records
        .iter()
        .map(|record| {
            let report = PeerJson::new(record, snapshot.now, snapshot.wall);
            report
                .with_consensus(consensus.of(record))
                .with_opinions(record, snapshot)
        })
        .collect();
    let mut response = json(headers, &reports)?;
    let last = records.last().filter(|_| has_more);
    if let Some(link) = last.and_then(|last| parameters.next_link(&last.peer.name)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The current state of one peer.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}",
    tag = "peers",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The peer.", body = PeerJson, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn peer(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let snapshot = api.fleet.snapshot();
    json(&headers, &peer_json(&name, &snapshot)?)
}
