//! Classification of HTTP failures: statuses, deadlines, and errors of the HTTP client.

use std::error::Error;
use std::io;

use http::StatusCode;

use crate::attempt::Attempt;
use crate::failure::{Failure, FailureReason};

use super::trace::Progress;

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

/// Returns the first bytes of a body as quoted text.
pub(super) fn excerpt(body: &[u8]) -> String {
    const MAX_BYTES: usize = 60;
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(MAX_BYTES)]);
    format!("{excerpt:?}")
}

/// Returns the failure for an attempt that reached its deadline.
pub(super) fn deadline_passed<V>(progress: Progress, attempt: &Attempt<V>) -> Failure {
    match progress {
        Progress::Resolving => {
            Failure::new(FailureReason::Dns, "the host name did not resolve in time")
        }
        Progress::Connecting => Failure::new(
            FailureReason::ConnectTimeout,
            "the peer did not accept the connection in time",
        ),
        Progress::Handshaking => Failure::new(
            FailureReason::ConnectTimeout,
            "the TLS handshake did not finish in time",
        ),
        Progress::Reused | Progress::Connected if attempt.query.is_some() => Failure::new(
            FailureReason::Timeout,
            "the peer answered the query but not the status request",
        ),
        Progress::Reused | Progress::Connected => {
            Failure::new(FailureReason::Timeout, "connected, but no answer arrived")
        }
    }
}

/// Returns the failure for an error of the HTTP client, found in its chain of causes.
pub(super) fn from_client_error(error: &reqwest::Error) -> Failure {
    let mut reason = if error.is_connect() {
        FailureReason::Unreachable
    } else {
        FailureReason::Closed
    };
    let mut deepest = error.to_string();
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        deepest = current.to_string();
        cause = current.source();
        if let Some(failure) = current.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if let Some(error) = current.downcast_ref::<rustls::Error>() {
            return tls_failure(error);
        }
        if let Some(error) = current
            .downcast_ref::<hyper::Error>()
            .filter(|error| error.is_parse())
        {
            return Failure::new(FailureReason::Malformed, error.to_string());
        }
        if let Some(error) = current.downcast_ref::<io::Error>() {
            // An I/O error does not return the error that it wraps as its source.
            match error.get_ref() {
                Some(inner) => cause = Some(inner),
                None => return Failure::from_io(error),
            }
            reason = Failure::from_io(error).reason;
        }
    }
    Failure::new(reason, deepest)
}

fn tls_failure(error: &rustls::Error) -> Failure {
    use rustls::CertificateError::{Expired, ExpiredContext};
    let reason = match error {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            FailureReason::TlsExpired
        }
        _ => FailureReason::Tls,
    };
    Failure::new(reason, error.to_string())
}
