//! `/api/v1/actions`: acknowledgements, silences and maintenance.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use convex_client::seconds_since_epoch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::alerting::OperatorAction;
use crate::alerting::operator_actions::{ActionKind, ActionRefused, Draft, Matchers};
use crate::web::operator::{self, NoBody};

use super::Api;
use super::conditional::json;
use super::parameters::Parameters;
use super::problem::Problem;

/// An acknowledgement, a silence or maintenance that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActionReport<'a> {
    /// Identifies it; absent if another agent was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    id: Option<u64>,
    /// `acknowledgement`, `silence` or `maintenance`.
    kind: &'static str,
    /// Name of the alerts that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    alertname: Option<&'a str>,
    /// Severity of the alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    /// The peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    /// The service of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    /// Who asked for it.
    created_by: &'a str,
    /// Why.
    comment: &'a str,
    /// When it begins, seconds since the epoch.
    starts_at: f64,
    /// When it ends by itself, seconds since the epoch.
    ends_at: f64,
    /// The other agent that was told, if not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    vantage: Option<&'a str>,
}

/// What to do. An acknowledgement needs as many labels as it takes to mean one firing alert, a
/// silence at least one, and maintenance `peer` or `network`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ActionRequest {
    /// `acknowledgement`, `silence` or `maintenance`.
    #[schema(value_type = String, pattern = "^(acknowledgement|silence|maintenance)$")]
    kind: ActionKind,
    /// Name of an alert.
    #[serde(default, deserialize_with = "present")]
    alertname: Option<String>,
    /// Severity of the alert.
    #[serde(default, deserialize_with = "present")]
    severity: Option<String>,
    /// Name of a peer.
    #[serde(default, deserialize_with = "present")]
    peer: Option<String>,
    /// Name of a network.
    #[serde(default, deserialize_with = "present")]
    network: Option<String>,
    /// Name of a service of the network.
    #[serde(default, deserialize_with = "present")]
    service: Option<String>,
    /// Name of the requester; by default the user of the password.
    #[serde(default, deserialize_with = "present")]
    created_by: Option<String>,
    /// Why: one line of at most 500 characters.
    comment: String,
    /// How long it lasts, in seconds: an acknowledgement at most 4 hours, which is the default;
    /// others at most 30 days.
    #[schema(minimum = 1, maximum = 2_592_000)]
    #[serde(default, deserialize_with = "present")]
    seconds: Option<u64>,
    /// When it begins, seconds since the epoch: now by default, and only of maintenance.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "present")]
    starts_at: Option<f64>,
}

/// The query parameters of an early end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EndParameters {
    /// Who ends it; by default the user of the password.
    pub(super) created_by: Option<String>,
}

impl<'a> ActionReport<'a> {
    pub(super) fn new(action: &'a OperatorAction) -> Self {
        let OperatorAction {
            id,
            kind,
            matchers,
            created_by,
            comment,
            starts_at,
            ends_at,
            vantage,
        } = action;
        Self {
            id: vantage.is_none().then_some(*id),
            kind: kind.as_str(),
            alertname: matchers.alertname.as_deref(),
            severity: matchers.severity.as_deref(),
            peer: matchers.peer.as_deref(),
            network: matchers.network.as_deref(),
            service: matchers.service.as_deref(),
            created_by,
            comment,
            starts_at: seconds_since_epoch(*starts_at),
            ends_at: seconds_since_epoch(*ends_at),
            vantage: vantage.as_deref(),
        }
    }
}

impl ActionRequest {
    fn draft(self, user: Option<String>) -> Result<Draft, Problem> {
        let starts_at = self.starts_at.map(|seconds| {
            let since = Duration::try_from_secs_f64(seconds).ok();
            let time = since.and_then(|it| SystemTime::UNIX_EPOCH.checked_add(it));
            time.ok_or_else(|| {
                Problem::bad_request(format!(
                    "`starts_at` is {seconds}; expected seconds since the epoch"
                ))
            })
        });
        Ok(Draft {
            kind: self.kind,
            matchers: Matchers {
                alertname: self.alertname,
                severity: self.severity,
                peer: self.peer,
                network: self.network,
                service: self.service,
            },
            created_by: signed(user, self.created_by)?,
            comment: self.comment,
            starts_at: starts_at.transpose()?,
            length: self.seconds.map(Duration::from_secs),
        })
    }
}

/// All acknowledgements, silences and maintenance that have not ended, the oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/actions",
    tag = "alerts",
    responses(
        (status = 200, description = "What operators did at this agent.", body = [ActionReport], headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
    )
)]
pub(super) async fn actions(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let actions = api.actions.active();
    let reports: Vec<ActionReport<'_>> = actions.iter().map(ActionReport::new).collect();
    json(&headers, &reports)
}

/// Acknowledges an alert, silences alerts, or begins maintenance.
#[utoipa::path(
    post,
    path = "/api/v1/actions",
    tag = "alerts",
    request_body(content = ActionRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "It counts from now on, or from its beginning.", body = ActionReport),
        (status = 400, description = "The body is not valid, or a text or time in it is not.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin; or authentication is not configured, and the request is not from this host to a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such alert fires, or no such peer or network is watched.", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body took too long.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Nothing is kept, as `state_dir` is not set; or several alerts have these labels; or there are too many actions.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not `application/json`.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn begin(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let user = operator::user(&request);
    let body: ActionRequest = read_json(request).await?;
    let action = api.actions.begin(body.draft(user)?).await?;
    let report = (StatusCode::CREATED, Json(ActionReport::new(&action)));
    Ok(uncached(report.into_response()))
}

/// Ends an acknowledgement, a silence or maintenance before its time.
#[utoipa::path(
    delete,
    path = "/api/v1/actions/{id}",
    tag = "alerts",
    params(
        ("id" = u64, Path, description = "Its id, as listed.", minimum = 0, maximum = 9_007_199_254_740_992_i64),
        EndParameters,
    ),
    responses(
        (status = 200, description = "What has ended.", body = ActionReport),
        (status = 400, description = "A parameter is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from another origin; or authentication is not configured, and the request is not from this host to a loopback listener.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Nothing active has this id.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    State(api): State<Api>,
    id: Result<Path<u64>, PathRejection>,
    Parameters(parameters): Parameters<EndParameters>,
    request: Request,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    let by = signed(operator::user(&request), parameters.created_by)?;
    let action = api.actions.end(id, &by).await?;
    Ok(uncached(Json(ActionReport::new(&action)).into_response()))
}

/// Reads an optional field, which may be absent but not null.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Returns the requester's name.
pub(super) fn signed(user: Option<String>, given: Option<String>) -> Result<String, Problem> {
    operator::signature(user, given).ok_or_else(|| {
        Problem::bad_request("`created_by` is missing: who asks, as no password says so")
    })
}

/// Reads the JSON of a request that changes something.
pub(super) async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    let bytes = operator::read_body(body).await.map_err(|why| match why {
        NoBody::Late => Problem::request_timeout(format!(
            "the body did not arrive within {:?}",
            operator::BODY_TIMEOUT
        )),
        NoBody::TooLarge => Problem::bad_request("the body is too large, or was cut off"),
    })?;
    let request = Request::from_parts(head, Body::from(bytes));
    let read = Json::from_request(request, &()).await;
    Ok(read.map(|Json(body)| body)?)
}

pub(super) fn uncached(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<ActionRefused> for Problem {
    fn from(refused: ActionRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            ActionRefused::Invalid(_) => Self::bad_request(detail),
            ActionRefused::NoSuchAlert(_)
            | ActionRefused::NotWatched(_)
            | ActionRefused::NoSuchAction(_) => Self::not_found(detail),
            ActionRefused::NotKept
            | ActionRefused::SeveralAlerts { .. }
            | ActionRefused::TooMany { .. } => Self::conflict(detail),
        }
    }
}
