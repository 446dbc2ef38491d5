//! One connection to one peer: requests in, answers out, and what faults of the wire make of both.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cad3::{encode_message, vlq};
use convex_client::{FrameDecoder, FrameError, put_frame};
use futures_util::{FutureExt, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::codec::FramedRead;

use super::network::{Shared, Side};
use super::reply::{Turn, turn};
use super::rest;
use super::script::Wire;
use super::world::View;

/// Largest content of a frame (PEER-PROTOCOL, section 2).
const MAX_CONTENT: usize = 50_000_000;
/// Room for the usual requests: thousands of idle connections stay small.
const READ_BUFFER_BYTES: usize = 512;
/// Requests of one connection that are answered together at most.
const BATCH: usize = 256;
/// A peer closes an HTTP connection that was idle so long.
const HTTP_IDLE: Duration = Duration::from_secs(30);

/// Serves one connection until the client, or a fault, ends it.
pub(super) async fn connection(
    shared: Arc<Shared>,
    peer: usize,
    side: Side,
    mut stream: TcpStream,
) {
    let wire = shared.ailments(peer).wire;
    if !matches!(wire, Wire::Refuse | Wire::Reset) {
        let serve = async {
            match side {
                Side::Binary => binary(&shared, peer, &mut stream).await,
                Side::Rest => http(&shared, peer, &mut stream).await,
            }
        };
        tokio::select! {
            ended = serve => {
                if let Err(error) = ended {
                    tracing::trace!(peer = peer + 1, %error, "a connection ended");
                }
            }
            () = shared.next_cut(peer) => {}
        }
        if shared.ailments(peer).wire != Wire::Reset {
            return;
        }
    }
    // Closed with nothing lingering: the client is sent a reset.
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection is closed in order instead of reset");
    }
}

async fn binary(shared: &Shared, peer: usize, stream: &mut TcpStream) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut frames =
        FramedRead::with_capacity(read, FrameDecoder::new(MAX_CONTENT), READ_BUFFER_BYTES);
    while let Some(first) = frames.next().await {
        let mut contents = vec![first?];
        while contents.len() < BATCH {
            match frames.next().now_or_never() {
                Some(Some(content)) => contents.push(content?),
                Some(None) | None => break,
            }
        }
        let view = shared.view(peer);
        match view.ailments.wire {
            Wire::Tarpit => continue,
            Wire::Refuse | Wire::Reset => return Ok(()),
            _ => sleep(view.ailments.slow).await,
        }
        let (replies, hang_up) = replies(&view, &contents);
        match view.ailments.wire {
            Wire::Garbage => {
                let mut garbage = Vec::new();
                put_frame(&mut garbage, b"\xff\xfe garbage");
                write.write_all(&garbage).await?;
            }
            Wire::HugeFrame => {
                let mut huge = Vec::new();
                vlq::write(MAX_CONTENT as u64, &mut huge);
                write.write_all(&huge).await?;
                write.write_all(rest::HUGE_PIECE).await?;
            }
            Wire::HalfReply => {
                return Ok(write.write_all(&replies[..replies.len() / 2]).await?);
            }
            _ => write.write_all(&replies).await?,
        }
        if hang_up {
            return Ok(());
        }
    }
    Ok(())
}

/// The frames that answer `contents`, those that overtake first, and whether the peer hangs up then.
fn replies(view: &View, contents: &[Bytes]) -> (Vec<u8>, bool) {
    let (mut now, mut queued) = (Vec::new(), Vec::new());
    for content in contents {
        match turn(view, content) {
            Turn::Now(reply) => put_frame(&mut now, &encode_message(&reply)),
            Turn::Queued(reply) => put_frame(&mut queued, &encode_message(&reply)),
            Turn::Silence => {}
            Turn::HangUp => {
                now.append(&mut queued);
                return (now, true);
            }
        }
    }
    now.append(&mut queued);
    (now, false)
}

async fn http(shared: &Arc<Shared>, peer: usize, stream: &mut TcpStream) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let view = || shared.view(peer);
        rest::answer(view, request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(|error| io::Error::other(error).into())
}
