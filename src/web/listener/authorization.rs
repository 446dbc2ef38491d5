//! Authorization of requests that change something: allowed for authenticated callers, and without
//! authentication only from this host; never from a page of another origin.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host;

/// The sender of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Caller {
    /// Sent a correct password or a valid client certificate.
    Authenticated,
    /// Sent no client certificate, where certificates are optional.
    Anonymous,
    /// Authentication is not configured.
    AuthDisabled {
        /// Whether the listener can be reached from this host only.
        is_loopback: bool,
    },
}

/// The user whose password came with a request.
#[derive(Clone, Debug)]
pub(in crate::web) struct User(pub(in crate::web) String);

/// Middleware: passes on requests that may change something; answers others 403 in plain text.
pub(in crate::web) async fn require_write_access(request: Request, next: Next) -> Response {
    match deny_reason(&request) {
        None => next.run(request).await,
        Some(reason) => (StatusCode::FORBIDDEN, format!("refused: {reason}\n")).into_response(),
    }
}

/// Returns why a request must not change anything; `None` if it may.
pub(in crate::web) fn deny_reason(request: &Request) -> Option<&'static str> {
    let header = |name| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    let host = host::authority(request.headers(), request.uri()).unwrap_or_default();
    match request.extensions().get() {
        Some(Caller::Authenticated) => {}
        Some(Caller::AuthDisabled { is_loopback: true }) if host::is_loopback(host) => {}
        Some(Caller::AuthDisabled { is_loopback: true }) => {
            return Some(
                "the Host header must name a loopback address, such as 127.0.0.1 or localhost",
            );
        }
        Some(Caller::AuthDisabled { is_loopback: false }) => {
            return Some(
                "without authentication this is allowed only while the agent listens on a loopback address",
            );
        }
        Some(Caller::Anonymous) | None => return Some("a client certificate is required"),
    }
    match header(header::ORIGIN) {
        Some(origin)
            if origin
                .split_once("://")
                .is_none_or(|(_, authority)| authority != host) =>
        {
            Some("the request comes from another origin")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LOOPBACK: Caller = Caller::AuthDisabled { is_loopback: true };
    const EXPOSED: Caller = Caller::AuthDisabled { is_loopback: false };

    fn denied(caller: Option<Caller>, host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::new(Body::empty());
        request
            .headers_mut()
            .insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert(header::ORIGIN, origin.parse().unwrap());
        }
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        deny_reason(&request).is_some()
    }

    #[test]
    fn without_authentication_only_this_host_and_its_own_pages_may_write() {
        for (caller, host, origin, expected) in [
            (LOOPBACK, "127.0.0.1:18880", None, false),
            (
                LOOPBACK,
                "localhost:18880",
                Some("http://localhost:18880"),
                false,
            ),
            (LOOPBACK, "[::1]:18880", None, false),
            (EXPOSED, "127.0.0.1:18880", None, true),
            (LOOPBACK, "mon.example", None, true),
            (LOOPBACK, "127.0.0.1.evil.example", None, true),
            (LOOPBACK, "", None, true),
            (
                LOOPBACK,
                "localhost:18880",
                Some("http://evil.example"),
                true,
            ),
            (
                LOOPBACK,
                "localhost:18880",
                Some("http://localhost:9"),
                true,
            ),
            (LOOPBACK, "localhost:18880", Some("null"), true),
        ] {
            assert_eq!(
                denied(Some(caller), host, origin),
                expected,
                "{caller:?} {host} {origin:?}"
            );
        }
    }

    #[test]
    fn authenticated_callers_may_write_but_not_from_a_page_of_another_origin() {
        let authenticated = Some(Caller::Authenticated);
        assert!(!denied(authenticated, "mon.example", None));
        assert!(!denied(
            authenticated,
            "mon.example",
            Some("https://mon.example")
        ));
        assert!(denied(
            authenticated,
            "mon.example",
            Some("https://evil.example")
        ));
        assert!(denied(Some(Caller::Anonymous), "127.0.0.1", None));
        assert!(
            denied(None, "127.0.0.1", None),
            "a request that did not pass the authentication middleware"
        );
    }

    #[test]
    fn http_2_requests_name_the_host_in_their_uri() {
        for (uri, expected) in [
            ("http://127.0.0.1:1/-/reload", false),
            ("http://mon.example/-/reload", true),
        ] {
            let mut request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            request.extensions_mut().insert(LOOPBACK);
            assert_eq!(deny_reason(&request).is_some(), expected, "{uri}");
        }
    }
}
