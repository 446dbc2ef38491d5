//! Requests on a connection that somebody else keeps.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::attempt::Timed;
use crate::clock::ClockSample;
use crate::dial::Stream;
use crate::failure::{Failure, FailureReason};

use super::failure;
use super::retry_after::{date_in, retry_after};

/// Sends requests, one after the other.
pub(super) struct Requests(SendRequest<String>);

/// A complete HTTP response.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Clock of the server, from the `Date` header.
    pub(super) clock: Option<Timed<ClockSample>>,
    /// Time for which the server asks not to be contacted.
    pub(super) retry_after: Option<Duration>,
    pub(super) took: Duration,
}

/// Lets `exchange` send requests on a connection. Returns its result, and whether another exchange
/// can follow on the same connection: all requests were answered completely, and neither side
/// closes it. The buffers of the HTTP client live only as long as the exchange.
pub(super) async fn on<T>(
    stream: &mut Stream,
    exchange: impl AsyncFnOnce(&mut Requests) -> Result<T, Failure>,
) -> (Result<T, Failure>, bool) {
    let (sender, connection) = match http1::handshake(TokioIo::new(stream)).await {
        Ok(client) => client,
        Err(error) => return (Err(failure::from_client_error(&error)), false),
    };
    let mut requests = Requests(sender);
    let mut connection = Some(connection);
    let (result, is_idle) = {
        let mut exchange = pin!(async {
            let result = exchange(&mut requests).await;
            let is_idle = result.is_ok() && requests.0.ready().await.is_ok();
            (result, is_idle)
        });
        poll_fn(|context| {
            // An error of the connection reaches the request that waits for it. A request that is
            // not sent yet notices the end only when the connection is dropped.
            connection.take_if(|connection| Pin::new(connection).poll(context).is_ready());
            exchange.as_mut().poll(context)
        })
        .await
    };
    let nothing_left = connection.is_some_and(|it| it.into_parts().read_buf.is_empty());
    (result, is_idle && nothing_left)
}

impl Requests {
    pub(super) async fn get(
        &mut self,
        uri: &Uri,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<Response, Failure> {
        self.send(Method::GET, uri, headers, String::new(), limit)
            .await
    }

    /// Sends a JSON body.
    pub(super) async fn post(
        &mut self,
        uri: &Uri,
        headers: &HeaderMap,
        body: String,
        limit: usize,
    ) -> Result<Response, Failure> {
        self.send(Method::POST, uri, headers, body, limit).await
    }

    /// Sends one request and reads its response, whose body may have up to `limit` bytes.
    async fn send(
        &mut self,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: String,
        limit: usize,
    ) -> Result<Response, Failure> {
        let mut request = Request::new(body);
        *request.uri_mut() = uri.clone();
        request.headers_mut().clone_from(headers);
        if method == Method::POST {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        *request.method_mut() = method;
        self.0
            .ready()
            .await
            .map_err(|error| failure::from_client_error(&error))?;
        let sent = Instant::now();
        let (head, body) = self
            .0
            .send_request(request)
            .await
            .map_err(|error| failure::from_client_error(&error))?
            .into_parts();
        let answered_at = SystemTime::now();
        let clock = clock_of(&head.headers, answered_at, sent.elapsed());
        let announced = head.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let body = read(body, announced, limit).await?;
        Ok(Response {
            status: head.status,
            body,
            clock,
            retry_after: retry_after(head.status, &head.headers, answered_at),
            took: sent.elapsed(),
        })
    }
}

/// Reads a body of up to `limit` bytes. One that is announced to be larger is not read at all.
async fn read(
    mut body: Incoming,
    announced: Option<u64>,
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let too_large = |bytes: String| {
        Failure::new(
            FailureReason::TooLarge,
            format!("reply of {bytes} bytes, at most {limit} are accepted"),
        )
    };
    if let Some(announced) = announced.filter(|length| *length > limit as u64) {
        return Err(too_large(announced.to_string()));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| failure::from_client_error(&error))?;
        // Trailers say nothing.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(format!("more than {limit}")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Returns the server's clock from the `Date` header.
fn clock_of(
    headers: &HeaderMap,
    answered_at: SystemTime,
    took: Duration,
) -> Option<Timed<ClockSample>> {
    let date = date_in(headers, &DATE)?;
    let value = ClockSample::from_whole_seconds(date, answered_at, took);
    Some(Timed { value, took })
}
