//! Transactions, each on a connection of its own.

use bytes::Bytes;
use cad3::{Limits, decode_message, encode_message};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::FramedRead;

use super::{FrameDecoder, MAX_IGNORED, READ_BUFFER_BYTES, TcpClient, put_frame};
use crate::failure::{Failure, FailureReason};
use crate::message::Reply;
use crate::transaction::{SignedTransaction, SubmitError, TransactionResult, transaction_request};

/// Id of the request. The connection has no other.
const ID: i64 = 1;

impl TcpClient {
    /// Sends a transaction on a new connection, and waits for its result until `deadline`. The
    /// connection is closed then, and the transaction may be executed later.
    ///
    /// A peer answers when the block of the transaction is final, within a second on a network that
    /// works, or at once if it refuses it.
    ///
    /// # Errors
    /// The peer cannot be reached, refuses the transaction, or does not answer.
    pub async fn submit(
        &self,
        transaction: &SignedTransaction,
        deadline: Instant,
    ) -> Result<TransactionResult, SubmitError> {
        let stream = self.0.dial(deadline).await.map_err(SubmitError::NotSent)?;
        let limits = self.0.protocol.limits;
        let decoder = FrameDecoder::new(limits.max_bytes);
        let mut frames = FramedRead::with_capacity(stream, decoder, READ_BUFFER_BYTES);
        let mut request = Vec::with_capacity(256);
        put_frame(
            &mut request,
            &encode_message(&transaction_request(ID, transaction)),
        );
        let sent = Instant::now();
        let exchange = async {
            let written = frames.get_mut().write_all(&request).await;
            written.map_err(|error| Failure::from_io(&error))?;
            for _ in 0..=MAX_IGNORED {
                let content = frames.next().await.ok_or_else(closed)??;
                if let Some(answer) = read_answer(&content, &limits)? {
                    return Ok((answer, sent.elapsed()));
                }
            }
            let message = format!("more than {MAX_IGNORED} messages that do not answer");
            Err(Failure::new(FailureReason::Malformed, message))
        };
        let (reply, took) = timeout_at(deadline, exchange)
            .await
            .unwrap_or_else(|_| {
                let message = "the transaction was sent, but no result arrived";
                Err(Failure::new(FailureReason::Timeout, message))
            })
            .map_err(SubmitError::NoAnswer)?;
        TransactionResult::from_reply(reply, took)
    }
}

/// Reads a message; returns nothing if it is no answer to the transaction.
fn read_answer(content: &Bytes, limits: &Limits) -> Result<Option<Reply>, Failure> {
    let message = decode_message(content, limits).map_err(|error| {
        let message = format!("the reply does not decode: {error}");
        Failure::new(FailureReason::Malformed, message)
    })?;
    Ok(Reply::from_cell(&message.top).filter(|reply| reply.id == Some(ID)))
}

fn closed() -> Failure {
    let message = "the peer closed the connection without a result";
    Failure::new(FailureReason::Closed, message)
}
