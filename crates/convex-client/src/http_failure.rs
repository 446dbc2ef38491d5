//! What goes wrong over HTTP, as a reason: statuses, deadlines, and the errors of the client with their causes.

use std::error::Error;
use std::io;

use http::StatusCode;

use crate::attempt::Attempt;

use super::failure::{Failure, FailureReason};
use super::trace::Progress;

/// Whether a status says that there is too much to do.
pub(super) fn is_overload(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// What an HTTP status without an answer means.
pub(super) fn of_status(status: StatusCode, body: &[u8]) -> Failure {
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
        format!("HTTP status {}{note}: {}", status, beginning(body)),
    )
}

/// The first bytes of a body, for people.
pub(super) fn beginning(body: &[u8]) -> String {
    const SHOWN: usize = 60;
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    format!("{shown:?}")
}

/// What is wrong when the deadline passes.
pub(super) fn overdue<V>(progress: Progress, attempt: &Attempt<V>) -> Failure {
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
            "the TLS handshake was not done in time",
        ),
        Progress::Kept | Progress::Connected if attempt.query.is_some() => Failure::new(
            FailureReason::Timeout,
            "the query is answered, the status is not",
        ),
        Progress::Kept | Progress::Connected => {
            Failure::new(FailureReason::Timeout, "connected, but no answer came")
        }
    }
}

/// What an error of the HTTP client means, found in its chain of causes.
pub(super) fn of_client(error: &reqwest::Error) -> Failure {
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
            // One that wraps another does not name it as its source.
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
