//! Error responses as problem documents (RFC 9457).

use std::error::Error;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::ReadError;
use crate::web::listener::authentication::Refusal;
use crate::web::listener::log_limit::limited;

/// The media type of a problem.
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";

/// An error response: what is wrong with a request, or why it cannot be answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::web) struct Problem {
    /// Always `about:blank`: the status identifies the problem.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status as text.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The HTTP status of the response.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// The problem, and what is expected.
    #[schema(example = "no peer named \"x\"; /api/v1/peers lists all of them")]
    detail: String,
    /// Sent as `Retry-After`.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// 400: a parameter is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 403: the caller lacks write access.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such route or resource.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 404: no peer has this name.
    pub(super) fn no_peer(name: &str) -> Self {
        Self::not_found(format!(
            "no peer named {name:?}; /api/v1/peers lists all of them"
        ))
    }

    /// 405: the route does not support the method.
    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 408: the body of the request did not arrive in time.
    pub(super) fn request_timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// 409: the state of the agent does not allow it.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 429: requested again too soon.
    pub(super) fn too_many_requests(wait: Duration, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// 503: not available at the moment.
    pub(super) fn unavailable(wait: Duration, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 500: a bug in the agent; logs `error`.
    pub(super) fn internal(error: &dyn Error) -> Self {
        limited!(error, %error, "cannot answer a request");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; see the agent's log",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up so that a retry never comes too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            retry_after: refusal.retry_after,
            ..Self::new(refusal.status, refusal.reason)
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(format!("invalid path: {}", root_cause(&rejection)))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(root_cause(&rejection))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected a body of JSON with `Content-Type: application/json`",
            ),
            other => Self::bad_request(format!("invalid body: {}", root_cause(&other))),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotWatched => Self::not_found("the peer is no longer watched"),
            ReadError::Timeout | ReadError::Store(_) => Self::unavailable(
                Duration::from_secs(10),
                format!("cannot read the history: {error}"),
            ),
        }
    }
}

/// Formats the root cause of an error: it names the parameter, and the errors above it add nothing.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
