//! Who may change something: who is known; where nobody is asked for, only somebody on this host; and never a foreign page in
//! their browser.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Caller {
    /// Somebody who has shown a password or a certificate that is asked for.
    Known,
    /// Somebody who has shown none, where one could be shown.
    Nobody,
    /// Authentication is not configured.
    Anybody {
        /// Whether the listener can be reached from this host alone.
        loopback: bool,
    },
}

/// Lets a request pass that may change something; else 403 in words.
pub(in crate::web) async fn changes(request: Request, next: Next) -> Response {
    match refusal(&request) {
        None => next.run(request).await,
        Some(why) => (StatusCode::FORBIDDEN, format!("refused: {why}\n")).into_response(),
    }
}

/// Why a state-changing request is refused.
pub(in crate::web) fn refusal(request: &Request) -> Option<&'static str> {
    let text = |name| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    // HTTP/2 has it in the address of the request.
    let authority = request.uri().authority().map(Authority::as_str);
    let host = text(header::HOST).or(authority).unwrap_or_default();
    match request.extensions().get() {
        Some(Caller::Known) => {}
        Some(Caller::Anybody { loopback: true }) if is_loopback(host) => {}
        Some(Caller::Anybody { loopback: true }) => {
            return Some(
                "the Host header must name a loopback address, such as 127.0.0.1 or localhost",
            );
        }
        Some(Caller::Anybody { loopback: false }) => {
            return Some(
                "without authentication this works only while the agent listens on a loopback address",
            );
        }
        Some(Caller::Nobody) | None => return Some("this needs a client certificate"),
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
    use axum::body::Body;

    use super::*;

    const HERE: Caller = Caller::Anybody { loopback: true };
    const ELSEWHERE: Caller = Caller::Anybody { loopback: false };

    fn refused(caller: Option<Caller>, host: &str, origin: Option<&str>) -> bool {
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
        refusal(&request).is_some()
    }

    #[test]
    fn only_this_host_and_its_own_page_may_change_something() {
        for (caller, host, origin, expected) in [
            (HERE, "127.0.0.1:18880", None, false),
            (
                HERE,
                "localhost:18880",
                Some("http://localhost:18880"),
                false,
            ),
            (HERE, "[::1]:18880", None, false),
            (ELSEWHERE, "127.0.0.1:18880", None, true),
            (HERE, "mon.example", None, true),
            (HERE, "127.0.0.1.evil.example", None, true),
            (HERE, "", None, true),
            (HERE, "localhost:18880", Some("http://evil.example"), true),
            (HERE, "localhost:18880", Some("http://localhost:9"), true),
            (HERE, "localhost:18880", Some("null"), true),
        ] {
            assert_eq!(
                refused(Some(caller), host, origin),
                expected,
                "{caller:?} {host} {origin:?}"
            );
        }
    }

    #[test]
    fn who_is_known_may_from_anywhere_but_a_foreign_page() {
        let known = Some(Caller::Known);
        assert!(!refused(known, "mon.example", None));
        assert!(!refused(known, "mon.example", Some("https://mon.example")));
        assert!(refused(known, "mon.example", Some("https://evil.example")));
        assert!(refused(Some(Caller::Nobody), "127.0.0.1", None));
        assert!(
            refused(None, "127.0.0.1", None),
            "who did not come through the gate"
        );
    }

    #[test]
    fn http_2_names_the_host_in_the_address() {
        for (uri, expected) in [
            ("http://127.0.0.1:1/-/reload", false),
            ("http://mon.example/-/reload", true),
        ] {
            let mut request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            request.extensions_mut().insert(HERE);
            assert_eq!(refusal(&request).is_some(), expected, "{uri}");
        }
    }
}
