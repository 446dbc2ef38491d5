//! One connection to one peer: reads requests, sends replies, and applies the faults of the wire.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cad3::{Cell, encode_message, vlq};
use convex_client::{FrameDecoder, FrameError, put_frame};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::codec::FramedRead;

use super::network::{Protocol, Shared};
use super::reply::{Response, respond};
use super::rest;
use super::script::Wire;
use super::submit::{Submission, executed_result};
use super::world::{Ticket, View};

/// Longest content of a frame (PEER-PROTOCOL, section 2).
const MAX_CONTENT_BYTES: usize = 50_000_000;
/// Fits the usual requests, and keeps thousands of idle connections small.
const READ_BUFFER_BYTES: usize = 512;
/// Most requests of one connection that are answered together.
const MAX_BATCH: usize = 256;
/// How often a peer looks whether a transaction is executed.
const RESULT_INTERVAL: Duration = Duration::from_millis(10);
/// A peer closes an HTTP connection that is idle for this long.
const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves one connection until the client or a fault ends it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    peer: usize,
    protocol: Protocol,
    mut stream: TcpStream,
) {
    let wire = shared.active_faults(peer).wire;
    if !matches!(wire, Wire::Refuse | Wire::Reset) {
        let serving = async {
            match protocol {
                Protocol::Binary => serve_binary(&shared, peer, &mut stream).await,
                Protocol::Rest => serve_rest(&shared, peer, &mut stream).await,
            }
        };
        tokio::select! {
            ended = serving => {
                if let Err(error) = ended {
                    tracing::trace!(peer = peer + 1, %error, "connection failed");
                }
            }
            () = shared.next_disconnect(peer) => {}
        }
        if shared.active_faults(peer).wire != Wire::Reset {
            return;
        }
    }
    // With a linger time of zero, closing the socket sends a reset.
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "closing a connection instead of resetting it");
    }
}

async fn serve_binary(
    shared: &Shared,
    peer: usize,
    stream: &mut TcpStream,
) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut frames = FramedRead::with_capacity(
        read,
        FrameDecoder::new(MAX_CONTENT_BYTES),
        READ_BUFFER_BYTES,
    );
    let mut results = FuturesUnordered::new();
    loop {
        let first = tokio::select! {
            first = frames.next() => first,
            Some(result) = results.next() => {
                if shared.active_faults(peer).wire == Wire::Normal {
                    let mut frame = Vec::new();
                    put_frame(&mut frame, &encode_message(&result));
                    write.write_all(&frame).await?;
                }
                continue;
            }
        };
        let Some(first) = first else {
            return Ok(());
        };
        let mut contents = vec![first?];
        while contents.len() < MAX_BATCH {
            match frames.next().now_or_never() {
                Some(Some(content)) => contents.push(content?),
                Some(None) | None => break,
            }
        }
        let view = shared.view(peer);
        match view.faults.wire {
            Wire::Tarpit => continue,
            Wire::Refuse | Wire::Reset => return Ok(()),
            _ => sleep(view.faults.slow).await,
        }
        let Replies {
            frames: replies,
            submitted,
            disconnect,
        } = replies(&view, &contents);
        for submission in submitted {
            let ticket = shared.submit(peer, *submission.transaction);
            if submission.answered {
                results.push(result(shared, peer, ticket, submission.id));
            }
        }
        match view.faults.wire {
            Wire::Garbage => {
                let mut garbage = Vec::new();
                put_frame(&mut garbage, b"\xff\xfe garbage");
                write.write_all(&garbage).await?;
            }
            Wire::HugeFrame => {
                let mut huge = Vec::new();
                vlq::write(MAX_CONTENT_BYTES as u64, &mut huge);
                write.write_all(&huge).await?;
                write.write_all(rest::HUGE_REPLY_START).await?;
            }
            Wire::HalfReply => {
                return Ok(write.write_all(&replies[..replies.len() / 2]).await?);
            }
            _ => write.write_all(&replies).await?,
        }
        if disconnect {
            return Ok(());
        }
    }
}

/// Waits until the peer has executed a transaction, and returns its Result.
async fn result(shared: &Shared, peer: usize, ticket: Ticket, id: Cell) -> Cell {
    loop {
        if let Some(executed) = shared.executed(peer, ticket) {
            return executed_result(id, &executed);
        }
        sleep(RESULT_INTERVAL).await;
    }
}

/// What a peer does with several messages.
#[derive(Default)]
struct Replies {
    /// The frames that answer them, immediate replies first.
    frames: Vec<u8>,
    submitted: Vec<Submission>,
    /// Whether the peer then closes the connection.
    disconnect: bool,
}

fn replies(view: &View, contents: &[Bytes]) -> Replies {
    let mut replies = Replies::default();
    let mut queued = Vec::new();
    let frames = &mut replies.frames;
    for content in contents {
        match respond(view, content) {
            Response::Immediate(reply) => put_frame(frames, &encode_message(&reply)),
            Response::Challenged(reply, challenge) => {
                put_frame(frames, &encode_message(&reply));
                put_frame(frames, &encode_message(&challenge));
            }
            Response::Queued(reply) => put_frame(&mut queued, &encode_message(&reply)),
            Response::Submitted(submission) => replies.submitted.push(submission),
            Response::Ignore => {}
            Response::Disconnect => {
                replies.disconnect = true;
                break;
            }
        }
    }
    frames.append(&mut queued);
    replies
}

async fn serve_rest(
    shared: &Arc<Shared>,
    peer: usize,
    stream: &mut TcpStream,
) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let view = || shared.view(peer);
        rest::answer(view, request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(|error| io::Error::other(error).into())
}
