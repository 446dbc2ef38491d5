//! Commands to the tasks that poll peers: to poll now, to send a query, and to request cells. So
//! nothing else connects to a peer, and a command never runs beside a poll.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cad3::{Cell, Hash};
use convex_client::belief::BeliefHead;
use convex_client::{Failure, FailureReason, Query, QueryError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::fleet::Observation;

/// Minimum time between two polls of one peer on request.
const REQUESTED_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Most commands that wait for one peer's task.
const MAX_QUEUED: usize = 64;

/// Sends commands to the tasks that poll peers; shared by everything that has some.
#[derive(Debug, Default)]
pub struct PeerCommands {
    /// By the peer's name.
    queues: Mutex<HashMap<String, Arc<CommandQueue>>>,
}

/// Why a command was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Another poll was requested just before; how long to wait.
    #[error("a poll of this peer was requested less than {REQUESTED_POLL_INTERVAL:?} ago")]
    TooSoon(Duration),
    /// There are too many commands for this peer.
    #[error("too many requests for this peer are waiting")]
    Busy,
    /// The next poll was due, or the task was replaced because the configuration was reloaded.
    #[error("the request was interrupted by a poll or a reload")]
    Interrupted,
    /// No task polls the peer.
    #[error("the peer is no longer watched")]
    NotWatched,
}

/// What a peer's task does between two scheduled polls.
#[derive(Debug)]
pub(super) enum Command {
    /// Send a query.
    Query {
        query: Query,
        /// Receives the answer.
        reply: oneshot::Sender<Result<Cell, QueryError>>,
    },
    /// Request the status, with the hash of the belief.
    BeliefHead {
        /// Receives the status.
        reply: Answer<BeliefHead>,
    },
    /// Request cells.
    Cells {
        hashes: Vec<Hash>,
        /// Receives the cells that the peer has, in the order of the hashes.
        reply: Answer<Vec<Option<Cell>>>,
    },
    /// Read and record the state.
    Sample {
        /// Receives the block, or nothing if the peer does not answer.
        reply: oneshot::Sender<Option<i64>>,
    },
    /// Poll now.
    Poll {
        /// Receives the observation after it was recorded.
        reply: oneshot::Sender<Observation>,
    },
}

/// Receives the answer to a request.
pub(super) type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// Commands for one peer, first in, first out. A channel would do, but an empty one takes 800 bytes
/// per peer.
#[derive(Debug)]
pub(super) struct CommandQueue {
    queued: Mutex<Queued>,
    pushed: Notify,
    receiver: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Queued {
    /// None once the queue is closed.
    commands: Option<VecDeque<Command>>,
    /// When a poll was last requested.
    last_requested: Option<Instant>,
}

/// The only receiver of a queue; another one waits until it is dropped.
#[derive(Debug)]
pub(super) struct CommandReceiver<'a> {
    queue: &'a CommandQueue,
    _exclusive: tokio::sync::MutexGuard<'a, ()>,
}

impl PeerCommands {
    /// Sends a query to the peer `name` between two polls.
    ///
    /// # Errors
    /// The peer does not answer, or no task executes the command.
    pub async fn query(&self, name: &str, query: Query) -> Result<Cell, QueryError> {
        let (reply, received) = oneshot::channel();
        let failed = |error: CommandError| QueryError::from(error.into_failure());
        let queue = self.queue(name).map_err(failed)?;
        queue
            .push(Command::Query { query, reply })
            .map_err(failed)?;
        received.await.map_err(|_| failed(queue.interruption()))?
    }

    /// Reads and records the state of the peer `name` between two polls. Returns its block; none if
    /// the peer does not answer or no task executes the command.
    pub async fn sample(&self, name: &str) -> Option<i64> {
        let (reply, received) = oneshot::channel();
        let queue = self.queue(name).ok()?;
        queue.push(Command::Sample { reply }).ok()?;
        received.await.ok()?
    }

    /// Polls the peer `name` now. The poll counts like a scheduled one and is recorded when this
    /// returns.
    ///
    /// # Errors
    /// Another poll was requested less than a second ago, or no task executes the command.
    pub async fn poll_now(&self, name: &str) -> Result<Observation, CommandError> {
        let queue = self.queue(name)?;
        queue.limit_request_rate(Instant::now())?;
        let (reply, received) = oneshot::channel();
        queue.push(Command::Poll { reply })?;
        received.await.map_err(|_| queue.interruption())
    }

    pub(super) fn queue(&self, name: &str) -> Result<Arc<CommandQueue>, CommandError> {
        let queues = lock(&self.queues);
        queues.get(name).cloned().ok_or(CommandError::NotWatched)
    }

    /// Returns the queue of a peer's task, which is created on first use.
    pub(super) fn open(&self, name: &str) -> Arc<CommandQueue> {
        let mut queues = lock(&self.queues);
        let queue = queues.entry(name.to_owned());
        Arc::clone(queue.or_insert_with(|| Arc::new(CommandQueue::new())))
    }

    /// Closes the queues of all peers but these.
    pub(super) fn retain(&self, is_watched: impl Fn(&str) -> bool) {
        lock(&self.queues).retain(|name, queue| {
            let watched = is_watched(name);
            if !watched {
                queue.close();
            }
            watched
        });
    }
}

impl CommandError {
    pub(super) fn into_failure(self) -> Failure {
        Failure::new(FailureReason::Local, self.to_string())
    }
}

impl CommandQueue {
    fn new() -> Self {
        Self {
            queued: Mutex::new(Queued {
                commands: Some(VecDeque::new()),
                last_requested: None,
            }),
            pushed: Notify::new(),
            receiver: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn push(&self, command: Command) -> Result<(), CommandError> {
        let mut queued = lock(&self.queued);
        let commands = queued.commands.as_mut().ok_or(CommandError::NotWatched)?;
        commands.retain(|command| !command.is_abandoned());
        if commands.len() >= MAX_QUEUED {
            return Err(CommandError::Busy);
        }
        commands.push_back(command);
        self.pushed.notify_one();
        Ok(())
    }

    fn limit_request_rate(&self, now: Instant) -> Result<(), CommandError> {
        let last = &mut lock(&self.queued).last_requested;
        let wait = last.map_or(Duration::ZERO, |last| {
            (last + REQUESTED_POLL_INTERVAL).saturating_duration_since(now)
        });
        if !wait.is_zero() {
            return Err(CommandError::TooSoon(wait));
        }
        *last = Some(now);
        Ok(())
    }

    /// Why a command that was accepted got no reply.
    pub(super) fn interruption(&self) -> CommandError {
        match lock(&self.queued).commands {
            Some(_) => CommandError::Interrupted,
            None => CommandError::NotWatched,
        }
    }

    /// Drops the queued commands and refuses later ones.
    fn close(&self) {
        lock(&self.queued).commands = None;
    }

    /// Becomes the receiver, after the current one is dropped.
    pub(super) async fn receiver(&self) -> CommandReceiver<'_> {
        CommandReceiver {
            queue: self,
            _exclusive: self.receiver.lock().await,
        }
    }
}

impl Command {
    /// Whether the requester no longer waits.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Query { reply, .. } => reply.is_closed(),
            Self::BeliefHead { reply } => reply.is_closed(),
            Self::Cells { reply, .. } => reply.is_closed(),
            Self::Sample { reply } => reply.is_closed(),
            Self::Poll { reply } => reply.is_closed(),
        }
    }
}

impl CommandReceiver<'_> {
    /// Waits for the next command whose requester still waits. Cancel safe.
    pub(super) async fn recv(&mut self) -> Command {
        loop {
            let first = lock(&self.queue.queued)
                .commands
                .as_mut()
                .and_then(VecDeque::pop_front);
            match first {
                Some(command) if command.is_abandoned() => {}
                Some(command) => return command,
                None => self.queue.pushed.notified().await,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves a queue consistent: a command is either in it or not.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> (Command, oneshot::Receiver<Observation>) {
        let (reply, received) = oneshot::channel();
        (Command::Poll { reply }, received)
    }

    fn length(queue: &CommandQueue) -> Option<usize> {
        lock(&queue.queued).commands.as_ref().map(VecDeque::len)
    }

    #[tokio::test]
    async fn commands_are_received_by_one_receiver_and_each_once() {
        let queue = CommandQueue::new();
        let mut first = queue.receiver().await;
        let (commands, _replies): (Vec<_>, Vec<_>) = (0..2).map(|_| command()).unzip();
        for command in commands {
            queue.push(command).unwrap();
        }
        first.recv().await;
        assert!(queue.receiver.try_lock().is_err());
        drop(first);
        let mut second = queue.receiver().await;
        second.recv().await;
        assert_eq!(length(&queue), Some(0));
    }

    #[tokio::test]
    async fn commands_of_requesters_that_gave_up_are_not_executed() {
        let queue = CommandQueue::new();
        let (query_reply, gave_up) = oneshot::channel();
        let query = Query::read("*balance*").unwrap();
        drop(gave_up);
        queue
            .push(Command::Query {
                query,
                reply: query_reply,
            })
            .unwrap();
        let (abandoned, reply) = command();
        queue.push(abandoned).unwrap();
        drop(reply);
        let (awaited, mut reply) = command();
        queue.push(awaited).unwrap();
        let Command::Poll { reply: sender } = queue.receiver().await.recv().await else {
            panic!("only the last command is still wanted");
        };
        drop(sender.send(Observation {
            asked: Instant::now(),
            endpoints: Vec::new(),
        }));
        assert!(reply.try_recv().is_ok());
        assert_eq!(length(&queue), Some(0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_commands_until_requesters_give_up() {
        let queue = CommandQueue::new();
        let mut replies = Vec::new();
        for _ in 0..MAX_QUEUED {
            let (command, reply) = command();
            queue.push(command).unwrap();
            replies.push(reply);
        }
        assert_eq!(queue.push(command().0), Err(CommandError::Busy));
        replies.clear();
        assert_eq!(queue.push(command().0), Ok(()));
        assert_eq!(length(&queue), Some(1));
    }

    #[tokio::test]
    async fn closing_the_queue_ends_the_wait_for_replies() {
        let commands = PeerCommands::default();
        let queue = commands.open("a");
        let (before, no_reply) = command();
        queue.push(before).unwrap();
        commands.retain(|_| false);
        assert!(no_reply.await.is_err());
        let after = commands.poll_now("a").await;
        assert_eq!(after.unwrap_err(), CommandError::NotWatched);
        assert_eq!(queue.push(command().0), Err(CommandError::NotWatched));
    }

    #[tokio::test(start_paused = true)]
    async fn polls_on_request_are_a_second_apart() {
        let queue = CommandQueue::new();
        let now = Instant::now();
        assert_eq!(queue.limit_request_rate(now), Ok(()));
        let soon = now + Duration::from_millis(400);
        assert_eq!(
            queue.limit_request_rate(soon),
            Err(CommandError::TooSoon(Duration::from_millis(600)))
        );
        assert_eq!(
            queue.limit_request_rate(now + REQUESTED_POLL_INTERVAL),
            Ok(())
        );
    }
}
