//! `/metrics`: written and compressed on a thread that polls nobody.

use std::io::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::metrics::{AgentFacts, exposition};

use super::{Site, internal};

/// The text format that the prometheus crate writes.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writing ten thousand peers, and compressing them, takes a while: not on the threads that poll. What answers other routes
/// is compressed where it is sent.
pub(super) async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let gzip = accepts_gzip(&headers);
    let written = tokio::task::spawn_blocking(move || {
        let text = exposition_of(&site);
        if gzip { compressed(&text) } else { text }
    });
    let described = [
        (header::CONTENT_TYPE, METRICS_TYPE),
        (header::VARY, "accept-encoding"),
    ];
    match written.await {
        Ok(body) if gzip => (described, [(header::CONTENT_ENCODING, "gzip")], body).into_response(),
        Ok(body) => (described, body).into_response(),
        Err(error) => internal(&error),
    }
}

fn exposition_of(site: &Site) -> Vec<u8> {
    let in_force = site.current.get();
    let facts = AgentFacts {
        vantage: in_force.config.vantage.clone(),
        mode: in_force.config.mode,
        shard: site.shard.numbers(),
        reload_successful: in_force.reload_successful,
        loaded: in_force.loaded,
    };
    exposition(
        &site.fleet.snapshot(),
        &facts,
        in_force.config.detail,
        &site.registry,
    )
}

/// At the level that costs least: a scrape goes to a neighbour as a rule.
fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.expect("a vector takes all that is written to it")
}

/// Whether an answer in gzip is welcome: it is named, and not with the weight 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse() == Ok(0.0));
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::io::Read as _;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (asked, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("identity", false),
            ("gzip;q=0, identity", false),
            ("gzip; q=0.000", false),
            ("x-gzip-like", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(asked));
            assert_eq!(accepts_gzip(&headers), expected, "{asked}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_is_the_text() {
        let text = "convex_peer_up{peer=\"a\"} 1\n".repeat(1_000);
        let compressed = compressed(text.as_bytes());
        assert!(compressed.len() * 10 < text.len());
        let mut read = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&compressed[..]);
        decoder.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
