//! Shared by the API and the pages for actions of operators: the requester, and the request's body.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use tokio::time::timeout;

use super::listener::authentication::MAX_BODY_BYTES;
use super::listener::authorization::User;

/// How long a client has to send the body of a request.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no body.
pub(super) enum NoBody {
    /// It did not arrive in time.
    Late,
    /// It is larger than [`MAX_BODY_BYTES`], or the connection broke.
    TooLarge,
}

/// Reads the body of a request.
pub(super) async fn read_body(body: Body) -> Result<Bytes, NoBody> {
    let limit = usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX);
    let read = timeout(BODY_TIMEOUT, to_bytes(body, limit)).await;
    read.map_err(|_| NoBody::Late)?
        .map_err(|_| NoBody::TooLarge)
}

/// Returns the user whose password came with a request.
pub(super) fn user(request: &Request) -> Option<String> {
    request
        .extensions()
        .get::<User>()
        .map(|user| user.0.clone())
}

/// Returns the requester: the user whose password was sent, and the name that the request gives;
/// none if there is neither.
pub(super) fn signature(user: Option<String>, given: Option<String>) -> Option<String> {
    match (user, given) {
        (Some(user), Some(given)) if user != given => Some(format!("{given} ({user})")),
        (user, given) => user.or(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_hide_who_the_password_belongs_to() {
        let owned = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (user, given, expected) in [
            ("", "", ""),
            ("", "bob", "bob"),
            ("ops", "", "ops"),
            ("ops", "ops", "ops"),
            ("ops", "bob", "bob (ops)"),
        ] {
            assert_eq!(signature(owned(user), owned(given)), owned(expected));
        }
    }
}
