//! `/api/v1/status` and `/api/v1/incidents`: what the status page shows, and what operators say
//! about its incidents.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::operator;
use crate::web::status::{Incident, NoteRefused, PublicStatus};

use super::Api;
use super::actions::{EndParameters, present, read_json, signed, uncached};
use super::conditional::json;
use super::parameters::Parameters;
use super::problem::Problem;

/// An incident of the status page, as operators see it. Times are seconds since the epoch.
#[derive(Debug, Serialize, ToSchema)]
struct IncidentReport<'a> {
    /// Identifies it; stays the same.
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    id: u64,
    /// The peer that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    /// The network that it is about, or that of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    /// The public name of the peer or network.
    component: &'a str,
    /// `degraded`, or `down` if it ever was.
    state: &'static str,
    /// Why, in the words of the page.
    cause: &'a str,
    /// When it began.
    begins_at: u64,
    /// When it ended; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    /// How many times it came back within minutes.
    recurrences: u32,
    /// The text that the page shows about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<NoteReport<'a>>,
}

/// A public text about an incident.
#[derive(Debug, Serialize, ToSchema)]
struct NoteReport<'a> {
    /// The text.
    text: &'a str,
    /// Who wrote it; not public.
    created_by: &'a str,
    /// When.
    at: u64,
}

/// A public text about an incident.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NoteRequest {
    /// One line of at most 1000 characters, which everybody can read.
    #[schema(min_length = 1, max_length = 1000)]
    text: String,
    /// Who writes it; by default the user of the password.
    #[serde(default, deserialize_with = "present")]
    created_by: Option<String>,
}

impl<'a> IncidentReport<'a> {
    fn new(incident: &'a Incident) -> Self {
        let public = &incident.public;
        let note = incident.note.as_ref();
        Self {
            id: incident.id,
            peer: incident.peer.as_deref(),
            network: incident.network.as_deref(),
            component: &public.component,
            state: public.state.as_str(),
            cause: &public.cause,
            begins_at: public.begins_at,
            ends_at: public.ends_at,
            recurrences: public.recurrences,
            note: note.map(|note| NoteReport {
                text: &note.text,
                created_by: &note.created_by,
                at: note.at / 1000,
            }),
        }
    }
}

/// What the status page shows, with nothing else in it.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "status page",
    responses(
        (status = 200, description = "What the page shows.", body = PublicStatus, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 404, description = "No status page is configured.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn status(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let status = api.status.status().await;
    json(&headers, &status.ok_or(NoteRefused::NoPage)?)
}

/// The incidents of the status page, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/incidents",
    tag = "status page",
    responses(
        (status = 200, description = "At most 100 incidents of the last 90 days.", body = [IncidentReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 404, description = "No status page is configured.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn incidents(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let incidents = api.status.incidents().ok_or(NoteRefused::NoPage)?;
    let reports: Vec<_> = incidents.iter().map(IncidentReport::new).collect();
    json(&headers, &reports)
}

/// Sets the public text about an incident, in place of the one before.
#[utoipa::path(
    put,
    path = "/api/v1/incidents/{id}/note",
    tag = "status page",
    params(("id" = u64, Path, description = "The incident.", minimum = 0, maximum = 9_007_199_254_740_992_i64)),
    request_body(content = NoteRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The incident with the text.", body = IncidentReport),
        (status = 400, description = "The body is not valid, or a text in it is not.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin; or authentication is not configured, and the request is not from this host to a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No incident has this id, or no status page is configured.", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Nothing is kept, as `state_dir` is not set.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not `application/json`.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn set_note(
    State(api): State<Api>,
    id: Result<Path<u64>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    let user = operator::user(&request);
    let body: NoteRequest = read_json(request).await?;
    let by = signed(user, body.created_by)?;
    let incident = api.status.note(id, Some(&body.text), &by).await?;
    let report = Json(IncidentReport::new(&incident));
    Ok(uncached(report.into_response()))
}

/// Removes the public text about an incident.
#[utoipa::path(
    delete,
    path = "/api/v1/incidents/{id}/note",
    tag = "status page",
    params(
        ("id" = u64, Path, description = "The incident.", minimum = 0, maximum = 9_007_199_254_740_992_i64),
        EndParameters,
    ),
    responses(
        (status = 200, description = "The incident without the text.", body = IncidentReport),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin; or authentication is not configured, and the request is not from this host to a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No incident has this id, or no status page is configured.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Nothing is kept, as `state_dir` is not set.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove_note(
    State(api): State<Api>,
    id: Result<Path<u64>, PathRejection>,
    Parameters(parameters): Parameters<EndParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    let by = signed(operator::user(&request), parameters.created_by)?;
    let incident = api.status.note(id, None, &by).await?;
    let report = Json(IncidentReport::new(&incident));
    Ok(uncached(report.into_response()))
}

impl From<NoteRefused> for Problem {
    fn from(refused: NoteRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            NoteRefused::Invalid(_) => Self::bad_request(detail),
            NoteRefused::NoPage | NoteRefused::NoSuchIncident(_) => Self::not_found(detail),
            NoteRefused::NotKept => Self::conflict(detail),
        }
    }
}
