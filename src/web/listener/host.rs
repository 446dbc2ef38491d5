//! The host that a request names, which a foreign page cannot choose: whether it is this one.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// Returns the host, with a port if one is given, that a request is for.
pub(super) fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(header::HOST) {
        Some(value) => Some(value.to_str().unwrap_or_default()),
        // HTTP/2 names the host in the URI instead.
        None => uri.authority().map(Authority::as_str),
    }
}

/// Whether a request names `localhost`, an IP address or the host `external`. A request that names
/// none is not from a browser.
pub(super) fn is_own(request: &Parts, external: Option<&str>) -> bool {
    let Some(authority) = authority(&request.headers, &request.uri) else {
        return true;
    };
    parse(authority).is_some_and(|host| match host {
        Host::Localhost | Host::Ip(_) => true,
        Host::Name(name) => external.is_some_and(|external| name.eq_ignore_ascii_case(external)),
    })
}

/// Whether an authority (`host` or `host:port`) names a loopback address.
pub(super) fn is_loopback(authority: &str) -> bool {
    parse(authority).is_some_and(|host| match host {
        Host::Localhost => true,
        Host::Ip(ip) => ip.is_loopback(),
        Host::Name(_) => false,
    })
}

enum Host {
    Localhost,
    Ip(IpAddr),
    Name(String),
}

fn parse(authority: &str) -> Option<Host> {
    let authority = authority.parse::<Authority>().ok()?;
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    Some(if let Ok(ip) = bare.parse() {
        Host::Ip(ip)
    } else if host.eq_ignore_ascii_case("localhost") {
        Host::Localhost
    } else {
        Host::Name(host.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_own_host(host: Option<&str>, external: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/metrics");
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        is_own(&request.body(()).unwrap().into_parts().0, external)
    }

    #[test]
    fn this_host_is_named_by_localhost_an_ip_address_or_the_external_host() {
        for own in [
            "localhost",
            "LOCALHOST:18880",
            "127.0.0.1:18880",
            "192.0.2.7",
            "[::1]:18880",
            "[2001:db8::1]",
            "mon.example",
            "MON.example:8443",
        ] {
            assert!(is_own_host(Some(own), Some("mon.example")), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "mon.example.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a b",
        ] {
            assert!(
                !is_own_host(Some(foreign), Some("mon.example")),
                "{foreign}"
            );
        }
        assert!(!is_own_host(Some("mon.example"), None));
        assert!(is_own_host(None, None), "HTTP/1.0 has no Host");
    }

    #[test]
    fn http_2_names_the_host_in_the_uri() {
        for (uri, own) in [
            ("http://localhost:1/metrics", true),
            ("http://evil.example/metrics", false),
        ] {
            let request = Request::get(uri).body(()).unwrap();
            assert_eq!(is_own(&request.into_parts().0, None), own, "{uri}");
        }
    }
}
