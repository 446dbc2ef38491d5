//! What goes wrong over HTTP, as a reason: statuses, deadlines, and the errors of the client with their causes.

use std::error::Error;
use std::io;

use http::StatusCode;

use super::exchange::Exchange;
use super::failure::{Failure, Reason};
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
        Reason::Overloaded
    } else {
        Reason::HttpStatus
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
pub(super) fn overdue<V>(progress: Progress, exchange: &Exchange<V>) -> Failure {
    match progress {
        Progress::Resolving => Failure::new(Reason::Dns, "the host name did not resolve in time"),
        Progress::Connecting => Failure::new(
            Reason::ConnectTimeout,
            "the peer did not accept the connection in time",
        ),
        Progress::Handshaking => Failure::new(
            Reason::ConnectTimeout,
            "the TLS handshake was not done in time",
        ),
        Progress::Kept | Progress::Connected if exchange.query.is_some() => {
            Failure::new(Reason::Timeout, "the query is answered, the status is not")
        }
        Progress::Kept | Progress::Connected => {
            Failure::new(Reason::Timeout, "connected, but no answer came")
        }
    }
}

/// What an error of the HTTP client means, found in its chain of causes.
pub(super) fn of_client(error: &reqwest::Error) -> Failure {
    let mut reason = if error.is_connect() {
        Reason::Unreachable
    } else {
        Reason::Closed
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
            return Failure::new(Reason::Malformed, error.to_string());
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
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Reason::TlsExpired,
        _ => Reason::Tls,
    };
    Failure::new(reason, error.to_string())
}
