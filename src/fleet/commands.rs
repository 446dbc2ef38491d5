//! What others ask of a peer's task. A channel would do, if an empty one did not take 800 bytes of each peer.

use std::collections::VecDeque;
use std::sync::Mutex;

use cad3::Cell;
use convex_client::{Query, QueryError};
use tokio::sync::{MutexGuard, Notify, oneshot};

use super::lock;
use super::observation::Observation;

/// What a peer's own task does for others between two polls, so that nobody else connects to the peer.
#[derive(Debug)]
pub enum PollCommand {
    /// Asks a question.
    Ask {
        /// What is asked.
        question: Query,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Cell, QueryError>>,
    },
    /// Polls at once.
    Poll {
        /// Where what it saw goes, once it was taken.
        answer: oneshot::Sender<Observation>,
    },
}

/// Errands of one peer, in the order that they came.
#[derive(Debug)]
pub struct CommandQueue {
    /// None once nobody will come for them.
    waiting: Mutex<Option<VecDeque<PollCommand>>>,
    arrived: Notify,
    reader: tokio::sync::Mutex<()>,
}

/// The one who does the errands; the next one waits until it is dropped.
#[derive(Debug)]
pub struct Reader<'a> {
    mailbox: &'a CommandQueue,
    _only: MutexGuard<'a, ()>,
}

impl CommandQueue {
    pub(super) fn open() -> Self {
        Self {
            waiting: Mutex::new(Some(VecDeque::new())),
            arrived: Notify::new(),
            reader: tokio::sync::Mutex::default(),
        }
    }

    /// Leaves an errand. When nobody will come for it, it is dropped, and who waits for its answer knows.
    pub(super) fn put(&self, errand: PollCommand) {
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.push_back(errand);
            self.arrived.notify_one();
        }
    }

    /// Drops what waits, and what is put in later.
    pub(super) fn close(&self) {
        *lock(&self.waiting) = None;
    }

    /// Reads as the only one.
    pub async fn read(&self) -> Reader<'_> {
        Reader {
            mailbox: self,
            _only: self.reader.lock().await,
        }
    }
}

impl Reader<'_> {
    /// The next errand; safe to be given up while it waits.
    pub async fn next(&mut self) -> PollCommand {
        loop {
            let first = lock(&self.mailbox.waiting)
                .as_mut()
                .and_then(VecDeque::pop_front);
            if let Some(errand) = first {
                return errand;
            }
            self.mailbox.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn errand() -> (PollCommand, oneshot::Receiver<Observation>) {
        let (answer, answered) = oneshot::channel();
        (PollCommand::Poll { answer }, answered)
    }

    #[tokio::test]
    async fn errands_are_read_by_one_and_each_once() {
        let mailbox = CommandQueue::open();
        let mut first = mailbox.read().await;
        for _ in 0..2 {
            mailbox.put(errand().0);
        }
        first.next().await;
        assert!(mailbox.reader.try_lock().is_err());
        drop(first);
        let mut second = mailbox.read().await;
        second.next().await;
        assert_eq!(lock(&mailbox.waiting).as_ref().map(VecDeque::len), Some(0));
    }

    #[tokio::test]
    async fn whoever_waits_for_an_answer_hears_that_none_will_come() {
        let mailbox = CommandQueue::open();
        let (before, no_answer) = errand();
        mailbox.put(before);
        mailbox.close();
        assert!(no_answer.await.is_err());
        let (after, no_answer) = errand();
        mailbox.put(after);
        assert!(no_answer.await.is_err());
    }
}
