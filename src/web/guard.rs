//! Who may change something: without authentication only somebody on this host, and no foreign page in their browser.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Lets a request pass when the listener is on loopback, and Host and Origin are this listener's; else 403 in words.
pub(super) async fn local_only(
    State(loopback): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(loopback, request.headers()) {
        None => next.run(request).await,
        Some(why) => (StatusCode::FORBIDDEN, format!("refused: {why}\n")).into_response(),
    }
}

/// Why a state-changing request is refused.
pub(super) fn refusal(loopback: bool, headers: &HeaderMap) -> Option<&'static str> {
    if !loopback {
        return Some(
            "without authentication this works only while the agent listens on a loopback address",
        );
    }
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Some(
            "the Host header must name a loopback address, such as 127.0.0.1 or localhost",
        );
    }
    match text(header::ORIGIN) {
        Some(origin)
            if origin
                .split_once("://")
                .is_none_or(|(_, authority)| authority != host) =>
        {
            Some("the request comes from a page of another origin")
        }
        _ => None,
    }
}

/// Whether an authority (`host` or `host:port`) is of this host.
fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(loopback: bool, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        refusal(loopback, &headers).is_some()
    }

    #[test]
    fn only_this_host_and_its_own_page_may_change_something() {
        for (loopback, host, origin, expected) in [
            (true, "127.0.0.1:18880", None, false),
            (
                true,
                "localhost:18880",
                Some("http://localhost:18880"),
                false,
            ),
            (true, "[::1]:18880", None, false),
            (false, "127.0.0.1:18880", None, true),
            (true, "mon.example", None, true),
            (true, "127.0.0.1.evil.example", None, true),
            (true, "", None, true),
            (true, "localhost:18880", Some("http://evil.example"), true),
            (true, "localhost:18880", Some("http://localhost:9"), true),
            (true, "localhost:18880", Some("null"), true),
        ] {
            assert_eq!(
                refused(loopback, host, origin),
                expected,
                "{loopback} {host} {origin:?}"
            );
        }
    }
}
