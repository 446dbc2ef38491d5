//! Classification of HTTP failures: statuses, deadlines, and errors of the HTTP client.

use std::error::Error;
use std::io;

use http::StatusCode;

use crate::attempt::Attempt;
use crate::failure::{Failure, FailureReason};

/// Returns whether a status means that the server is overloaded.
pub(super) fn is_overload(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// Returns the failure for an HTTP response without an answer.
pub(super) fn from_status(status: StatusCode, body: &[u8]) -> Failure {
    let reason = if is_overload(status) {
        FailureReason::Overloaded
    } else {
        FailureReason::HttpStatus
    };
    let note = if status.is_redirection() {
        " (redirects are not followed)"
    } else {
        ""
    };
    Failure::new(
        reason,
        format!("HTTP status {}{note}: {}", status, excerpt(body)),
    )
}

/// What releases before 0.8.0 answer a query that names no account (PEER-PROTOCOL, section 15.1).
const NEEDS_ADDRESS: &[u8] = b"query requires an 'address' field";

/// Returns the failure for an HTTP response to a query that is not an answer. A release that is not
/// supported is recognized by what it says, never by silence.
pub(super) fn from_query_status(status: StatusCode, body: &[u8]) -> Failure {
    let says_so = body
        .windows(NEEDS_ADDRESS.len())
        .any(|part| part == NEEDS_ADDRESS);
    if status == StatusCode::BAD_REQUEST && says_so {
        return Failure::new(
            FailureReason::UnsupportedRelease,
            "the peer wants an account with each query, as releases before 0.8.0 do; upgrade it to \
             0.8.0 or later",
        );
    }
    from_status(status, body)
}

/// Returns the first bytes of a body as quoted text.
pub(super) fn excerpt(body: &[u8]) -> String {
    const MAX_BYTES: usize = 60;
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(MAX_BYTES)]);
    format!("{excerpt:?}")
}

/// Returns the failure for an attempt that reached its deadline.
pub(super) fn deadline_passed<V>(attempt: &Attempt<V>) -> Failure {
    let message = if attempt.query.is_some() {
        "the peer answered the query but not the status request"
    } else {
        "connected, but no answer arrived"
    };
    Failure::new(FailureReason::Timeout, message)
}

/// Returns the failure for an error of the HTTP client, found in its chain of causes.
pub(super) fn from_client_error(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::new(FailureReason::Malformed, error.to_string());
    }
    let mut deepest = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(error) = current.downcast_ref::<io::Error>() {
            return Failure::from_io(error);
        }
        deepest = current.to_string();
        cause = current.source();
    }
    Failure::new(FailureReason::Closed, deepest)
}
