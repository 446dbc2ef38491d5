//! `/metrics`: the exposition is written and compressed off the threads that poll, once for all
//! clients that request it at the same time.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures_util::future;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;
use url::Url;

use crate::metrics::{self, AgentFacts};

use super::AppState;

/// The text format version that the prometheus crate writes.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Size of the pieces in which an exposition is decompressed: the text is about twenty times longer.
const COMPRESSED_PIECE_BYTES: usize = 1 << 10;

/// Why compressing into memory cannot fail.
const INFALLIBLE: &str = "writing to a vector cannot fail";

/// The exposition, shared by concurrent scrapes.
#[derive(Clone, Debug)]
pub(super) struct SharedExposition {
    state: AppState,
    /// The exposition that is being written, if any.
    in_progress: Arc<Mutex<Option<watch::Receiver<PartialExposition>>>>,
}

/// The part of an exposition that is written so far. Kept compressed only: the text is about twenty
/// times longer.
#[derive(Debug, Default)]
struct PartialExposition {
    chunks: Vec<Bytes>,
    complete: bool,
}

impl SharedExposition {
    pub(super) fn new(state: AppState) -> Self {
        Self {
            state,
            in_progress: Arc::default(),
        }
    }

    /// Returns the exposition that is being written, or starts a new one.
    fn join_or_start(&self) -> watch::Receiver<PartialExposition> {
        let mut in_progress = self.in_progress();
        // An error means that its writer is gone.
        if let Some(partial) = in_progress.as_ref()
            && partial.has_changed().is_ok()
        {
            return partial.clone();
        }
        let (sender, partial) = watch::channel(PartialExposition::default());
        *in_progress = Some(partial.clone());
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            write_exposition(&shared.state, &sender);
            // Later scrapes get a new exposition.
            shared.in_progress().take();
        });
        partial
    }

    fn in_progress(&self) -> MutexGuard<'_, Option<watch::Receiver<PartialExposition>>> {
        self.in_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /metrics`
///
/// Compresses the response itself: for ten thousand peers that takes too long for the threads that
/// poll, on which the compression layer runs.
pub(super) async fn metrics(
    State(shared): State<SharedExposition>,
    headers: HeaderMap,
) -> Response {
    let response_headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (header::VARY, "accept-encoding"),
    ];
    let compressed = chunks(shared.join_or_start());
    if accepts_gzip(&headers) {
        let body = Body::from_stream(compressed);
        return (response_headers, [(header::CONTENT_ENCODING, "gzip")], body).into_response();
    }
    (response_headers, Body::from_stream(decompress(compressed))).into_response()
}

fn write_exposition(state: &AppState, partial: &watch::Sender<PartialExposition>) {
    let loaded = state.active_config.get();
    let facts = AgentFacts {
        vantage: loaded.config.vantage.clone(),
        mode: loaded.config.mode,
        url: loaded.config.external_url.as_ref().map(Url::to_string),
        shard: state.shard.numbers(),
        reload_successful: loaded.reload_successful,
        loaded: loaded.loaded,
    };
    // The cheapest level: Prometheus is usually close by, so bandwidth matters less than CPU time.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    metrics::write_exposition(
        &state.fleet.snapshot(),
        &facts,
        loaded.config.detail,
        &state.registry,
        &mut |text| {
            encoder.write_all(text.as_bytes()).expect(INFALLIBLE);
            let chunk = std::mem::take(encoder.get_mut());
            if !chunk.is_empty() {
                partial.send_modify(|partial| partial.chunks.push(chunk.into()));
            }
        },
    );
    let last = encoder.finish().expect(INFALLIBLE);
    partial.send_modify(|partial| {
        partial.chunks.push(last.into());
        partial.complete = true;
    });
}

/// Streams the chunks as they are written; fails if the writer ends before the exposition is
/// complete.
fn chunks(partial: watch::Receiver<PartialExposition>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((partial, 0), async |(mut partial, next)| {
        let has_next =
            |partial: &PartialExposition| partial.complete || next < partial.chunks.len();
        let chunk = match partial.wait_for(has_next).await {
            Ok(partial) => partial.chunks.get(next).cloned(),
            Err(_) => return Err(io::Error::other("the exposition is incomplete")),
        };
        Ok(chunk.map(|chunk| (chunk, (partial, next + 1))))
    })
}

/// Decompresses a piece only when the client has taken the one before, so that clients that never
/// read hold little.
fn decompress(
    compressed: impl Stream<Item = io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let mut decoder = GzDecoder::new(Vec::new());
    let pieces = compressed.map_ok(|chunk| {
        let starts = (0..chunk.len()).step_by(COMPRESSED_PIECE_BYTES);
        stream::iter(starts.map(move |start| {
            let end = chunk.len().min(start + COMPRESSED_PIECE_BYTES);
            io::Result::Ok(chunk.slice(start..end))
        }))
    });
    let texts = pieces.try_flatten().map(move |piece| {
        decoder.write_all(&piece?)?;
        // The decoder may hold back the end of the text until it has read the checksum.
        decoder.flush()?;
        Ok(Bytes::from(std::mem::take(decoder.get_mut())))
    });
    texts.try_filter(|text| future::ready(!text.is_empty()))
}

/// Whether the client accepts gzip: it is listed, and not with `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_excluded = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse() == Ok(0.0));
        is_gzip && !is_excluded
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn gzip_is_used_only_for_clients_that_accept_it() {
        for (accept_encoding, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("identity", false),
            ("gzip;q=0, identity", false),
            ("gzip; q=0.000", false),
            ("x-gzip-like", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(accept_encoding),
            );
            assert_eq!(accepts_gzip(&headers), expected, "{accept_encoding}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_client_that_joins_late_gets_all_chunks_as_they_are_written() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let line = "convex_peer_up{peer=\"a\"} 1\n";
        encoder.write_all(line.repeat(10_000).as_bytes()).unwrap();
        let compressed = Bytes::from(encoder.finish().unwrap());
        let (sender, partial) = watch::channel(PartialExposition::default());
        let half = compressed.len() / 2;
        sender.send_modify(|partial| partial.chunks.push(compressed.slice(..half)));

        let mut late = Box::pin(chunks(partial.clone()));
        assert_eq!(late.next().await.unwrap().unwrap(), compressed[..half]);
        assert!(late.next().now_or_never().is_none());
        sender.send_modify(|partial| {
            partial.chunks.push(compressed.slice(half..));
            partial.complete = true;
        });
        assert_eq!(late.next().await.unwrap().unwrap(), compressed[half..]);
        assert!(late.next().await.is_none());

        let text: Vec<Bytes> = decompress(chunks(partial)).try_collect().await.unwrap();
        assert!(text[0].starts_with(line.as_bytes()));
        assert!(text.len() > 1, "it is decompressed piece by piece");
        assert_eq!(text.concat(), line.repeat(10_000).as_bytes());
    }

    #[tokio::test]
    async fn an_incomplete_exposition_fails_for_all_readers() {
        let (sender, partial) = watch::channel(PartialExposition::default());
        sender.send_modify(|partial| partial.chunks.push(Bytes::from_static(b"a")));
        let mut reading = Box::pin(chunks(partial));
        drop(sender);
        assert!(reading.next().await.unwrap().is_ok());
        assert!(reading.next().await.unwrap().is_err());
    }
}
