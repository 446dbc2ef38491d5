//! The body of a response, sent in chunks, that records whether the client reads it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use hyper::body::{Frame, SizeHint};

use super::timeouts::ActiveRequest;

/// Maximum chunk size in bytes: larger chunks would wait in HTTP/2's own buffers.
const CHUNK_BYTES: usize = 16 << 10;

/// The body of one response.
pub(super) struct ResponseBody {
    body: Body,
    /// Bytes of the last frame of `body` that have not been passed on yet.
    remaining: Bytes,
    request: ActiveRequest,
    /// Whether it continues for as long as the client listens.
    is_stream: bool,
}

impl ResponseBody {
    pub(super) fn new(headers: &HeaderMap, body: Body, request: ActiveRequest) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        let is_stream =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            request.response_pending();
        }
        Self {
            body,
            remaining: Bytes::new(),
            request,
            is_stream,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Being polled for more means that the previous chunk has been taken.
        if self.is_stream {
            self.request.idle();
        }
        if self.remaining.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.remaining = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.remaining.len().min(CHUNK_BYTES);
        let chunk = self.remaining.split_to(length);
        if self.is_stream {
            self.request.response_pending();
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let remaining = self.remaining.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + remaining);
        }
        hint.set_lower(inner.lower() + remaining);
        hint
    }
}
