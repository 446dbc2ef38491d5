//! Commands to the task that polls a peer. A channel would do, but an empty one takes 800 bytes per
//! peer.

use std::collections::VecDeque;
use std::sync::Mutex;

use cad3::Cell;
use convex_client::{Query, QueryError};
use tokio::sync::{MutexGuard, Notify, oneshot};

use super::lock;
use super::observation::Observation;

/// What a peer's task does between two scheduled polls, so that nothing else connects to the peer.
#[derive(Debug)]
pub enum PollCommand {
    /// Send a query.
    Query {
        /// The query.
        query: Query,
        /// Receives the answer.
        reply: oneshot::Sender<Result<Cell, QueryError>>,
    },
    /// Poll now.
    Poll {
        /// Receives the observation after it was recorded.
        reply: oneshot::Sender<Observation>,
    },
}

/// Commands for one peer, first in, first out.
#[derive(Debug)]
pub struct CommandQueue {
    /// None once the queue is closed.
    commands: Mutex<Option<VecDeque<PollCommand>>>,
    pushed: Notify,
    receiver: tokio::sync::Mutex<()>,
}

/// The only receiver of a queue; another one waits until it is dropped.
#[derive(Debug)]
pub struct CommandReceiver<'a> {
    queue: &'a CommandQueue,
    _exclusive: MutexGuard<'a, ()>,
}

impl CommandQueue {
    pub(super) fn new() -> Self {
        Self {
            commands: Mutex::new(Some(VecDeque::new())),
            pushed: Notify::new(),
            receiver: tokio::sync::Mutex::default(),
        }
    }

    /// Adds a command. A closed queue drops it, and with it the sender of its reply.
    pub(super) fn push(&self, command: PollCommand) {
        if let Some(commands) = lock(&self.commands).as_mut() {
            commands.push_back(command);
            self.pushed.notify_one();
        }
    }

    /// Drops the queued commands and all later ones.
    pub(super) fn close(&self) {
        *lock(&self.commands) = None;
    }

    /// Becomes the receiver, after the current one is dropped.
    pub async fn receiver(&self) -> CommandReceiver<'_> {
        CommandReceiver {
            queue: self,
            _exclusive: self.receiver.lock().await,
        }
    }
}

impl CommandReceiver<'_> {
    /// Waits for the next command. Cancel safe.
    pub async fn recv(&mut self) -> PollCommand {
        loop {
            let first = lock(&self.queue.commands)
                .as_mut()
                .and_then(VecDeque::pop_front);
            if let Some(command) = first {
                return command;
            }
            self.queue.pushed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> (PollCommand, oneshot::Receiver<Observation>) {
        let (reply, received) = oneshot::channel();
        (PollCommand::Poll { reply }, received)
    }

    #[tokio::test]
    async fn commands_are_received_by_one_receiver_and_each_once() {
        let queue = CommandQueue::new();
        let mut first = queue.receiver().await;
        for _ in 0..2 {
            queue.push(command().0);
        }
        first.recv().await;
        assert!(queue.receiver.try_lock().is_err());
        drop(first);
        let mut second = queue.receiver().await;
        second.recv().await;
        assert_eq!(lock(&queue.commands).as_ref().map(VecDeque::len), Some(0));
    }

    #[tokio::test]
    async fn closing_the_queue_ends_the_wait_for_replies() {
        let queue = CommandQueue::new();
        let (before, no_reply) = command();
        queue.push(before);
        queue.close();
        assert!(no_reply.await.is_err());
        let (after, no_reply) = command();
        queue.push(after);
        assert!(no_reply.await.is_err());
    }
}
