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

use crate::metrics::{self, AgentFacts, Format};

use super::AppState;
use super::negotiation::{accepts_gzip, exposition_format};

/// Size of the pieces in which an exposition is decompressed: the text is about twenty times
/// longer.
const COMPRESSED_PIECE_BYTES: usize = 1 << 10;

/// Why compressing into memory cannot fail.
const INFALLIBLE: &str = "writing to a vector cannot fail";

/// The expositions, each shared by concurrent scrapes.
#[derive(Clone, Debug)]
pub(super) struct SharedExposition {
    state: AppState,
    /// The expositions that are being written, by format.
    in_progress: Arc<Mutex<InProgress>>,
}

type InProgress = [Option<watch::Receiver<PartialExposition>>; Format::COUNT];

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

    /// Returns the exposition that is being written in this format, or starts a new one.
    fn join_or_start(&self, format: Format) -> watch::Receiver<PartialExposition> {
        let mut in_progress = self.in_progress();
        // An error means that its writer is gone.
        if let Some(partial) = in_progress[format as usize].as_ref()
            && partial.has_changed().is_ok()
        {
            return partial.clone();
        }
        let (sender, partial) = watch::channel(PartialExposition::default());
        in_progress[format as usize] = Some(partial.clone());
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            write_exposition(&shared.state, format, &sender);
            // Later scrapes get a new exposition.
            shared.in_progress()[format as usize].take();
        });
        partial
    }

    fn in_progress(&self) -> MutexGuard<'_, InProgress> {
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
    let format = exposition_format(&headers);
    let response_headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    let compressed = chunks(shared.join_or_start(format));
    if accepts_gzip(&headers) {
        let body = Body::from_stream(compressed);
        return (response_headers, [(header::CONTENT_ENCODING, "gzip")], body).into_response();
    }
    (response_headers, Body::from_stream(decompress(compressed))).into_response()
}

fn write_exposition(state: &AppState, format: Format, partial: &watch::Sender<PartialExposition>) {
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
        format,
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

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
