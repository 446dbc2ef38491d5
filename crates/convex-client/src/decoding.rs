//! Decodes replies, and checks what is in them, so that a large one holds up nothing else: neither
//! the polls of other peers, nor pages and scrapes.

use std::time::Duration;

use cad3::{DecodeError, Limits, Message, decode_message};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::failure::{Failure, FailureReason};

/// Largest reply that is decoded at once; it takes less than a millisecond or two. The usual
/// answers to a poll are below 1 KiB.
const MAX_INLINE_BYTES: usize = 4 << 10;

/// Largest number of signatures and cells that are checked at once; each takes up to 0.1 ms.
const MAX_INLINE_CELLS: usize = 16;

/// Number of larger replies that are decoded or checked at the same time, each in a thread of its
/// own.
const MAX_CONCURRENT: usize = 2;

/// How long a large reply waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(1);

static PERMITS: Semaphore = Semaphore::const_new(MAX_CONCURRENT);

/// Decodes the content of a message.
///
/// # Errors
/// This host is too busy ([`FailureReason::Local`]). The inner error is that of the content.
pub(crate) async fn decode(
    content: &[u8],
    limits: &Limits,
) -> Result<Result<Message, DecodeError>, Failure> {
    if content.len() <= MAX_INLINE_BYTES {
        return Ok(decode_message(content, limits));
    }
    let (content_of_task, limits) = (content.to_vec(), *limits);
    let decoding = in_own_thread(move || decode_message(&content_of_task, &limits));
    decoding.await.map_err(|problem| {
        let size = content.len();
        let message = format!("a reply of {size} bytes was not decoded: {problem}");
        Failure::new(FailureReason::Local, message)
    })
}

/// Does `work` that takes as long as to check this many cells and their signatures.
///
/// # Errors
/// This host is too busy ([`FailureReason::Local`]).
pub(crate) async fn apart<T: Send + 'static>(
    cells: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if cells <= MAX_INLINE_CELLS {
        return Ok(work());
    }
    in_own_thread(work).await.map_err(|problem| {
        let message = format!("{cells} cells were not checked: {problem}");
        Failure::new(FailureReason::Local, message)
    })
}

/// Does `work` when it is its turn. Returns why it was not done.
async fn in_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let Ok(Ok(permit)) = timeout(MAX_WAIT, PERMITS.acquire()).await else {
        return Err(format!(
            "others took longer than {MAX_WAIT:?}; this host is too busy"
        ));
    };
    let working = spawn_blocking(move || {
        let done = work();
        // Held until the thread is free, even if the caller has stopped waiting.
        drop(permit);
        done
    });
    working.await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use cad3::{Cell, encode_message};

    use super::*;

    fn message(elements: i64) -> Vec<u8> {
        encode_message(&Cell::vector((0..elements).map(Cell::integer)))
    }

    #[tokio::test]
    async fn large_replies_wait_for_each_other_and_small_ones_for_nothing() {
        let limits = Limits::default();
        let (small, large) = (message(10), message(10_000));
        assert!(small.len() <= MAX_INLINE_BYTES && large.len() > MAX_INLINE_BYTES);
        assert!(decode(&large, &limits).await.unwrap().is_ok());
        let taken = PERMITS
            .acquire_many(u32::try_from(MAX_CONCURRENT).unwrap())
            .await
            .unwrap();
        assert!(decode(&small, &limits).await.unwrap().is_ok());
        let failure = decode(&large, &limits).await.unwrap_err();
        assert_eq!(
            (
                failure.reason,
                failure.message.contains("others took longer than 1s")
            ),
            (FailureReason::Local, true)
        );
        let checked = [MAX_INLINE_CELLS, MAX_INLINE_CELLS + 1].map(|cells| apart(cells, || 7));
        let [few, many] = checked;
        assert_eq!(few.await, Ok(7));
        assert_eq!(many.await.unwrap_err().reason, FailureReason::Local);
        drop(taken);
        assert!(decode(&large, &limits).await.unwrap().is_ok());
        assert_eq!(apart(MAX_INLINE_CELLS + 1, || 7).await, Ok(7));
    }
}
