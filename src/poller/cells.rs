//! The cells of a watched peer, such as its belief: each request is a command to the task that
//! polls it.

use cad3::{Cell, Hash};
use convex_client::Failure;
use convex_client::belief::{BeliefHead, CellSource};
use tokio::sync::oneshot;

use super::commands::{Answer, Command, CommandError, PeerCommands};

/// How often a request is sent if polls of the peer interrupt it each time.
const MAX_SENT: u32 = 3;

/// The cells of one peer. Each request waits for the task that polls the peer.
#[derive(Debug)]
pub struct PeerCells<'a> {
    commands: &'a PeerCommands,
    name: String,
}

impl CellSource for PeerCells<'_> {
    async fn head(&mut self) -> Result<BeliefHead, Failure> {
        let command = |reply| Command::BeliefHead { reply };
        self.commands.request(&self.name, command).await
    }

    async fn cells(&mut self, hashes: &[Hash]) -> Result<Vec<Option<Cell>>, Failure> {
        let command = |reply| Command::Cells {
            hashes: hashes.to_vec(),
            reply,
        };
        self.commands.request(&self.name, command).await
    }
}

impl PeerCommands {
    /// Returns the peer `name` as a source of cells, which are requested between two polls over the
    /// binary protocol.
    #[must_use]
    pub fn cells_of(&self, name: &str) -> PeerCells<'_> {
        PeerCells {
            commands: self,
            name: name.to_owned(),
        }
    }

    /// Sends a request to the peer `name`, again if a poll interrupts it.
    async fn request<T>(
        &self,
        name: &str,
        command: impl Fn(Answer<T>) -> Command,
    ) -> Result<T, Failure> {
        let queue = self.queue(name).map_err(CommandError::into_failure)?;
        for _ in 0..MAX_SENT {
            let (reply, received) = oneshot::channel();
            queue
                .push(command(reply))
                .map_err(CommandError::into_failure)?;
            if let Ok(answer) = received.await {
                return answer;
            }
        }
        Err(queue.interruption().into_failure())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use convex_client::FailureReason;

    use super::*;

    /// Requests the status from a peer whose task is interrupted this often before it answers.
    async fn request(interruptions: u32) -> (Result<Vec<Option<Cell>>, Failure>, u32) {
        let commands = Arc::new(PeerCommands::default());
        let queue = commands.open("a");
        let task = tokio::spawn(async move {
            let mut receiver = queue.receiver().await;
            for sent in 1.. {
                let Command::Cells { hashes, reply } = receiver.recv().await else {
                    panic!("another command");
                };
                if sent > interruptions {
                    let cells = hashes.iter().map(|_| None).collect();
                    drop(reply.send(Ok(cells)));
                    return sent;
                }
                drop(reply);
                if sent == MAX_SENT {
                    return sent;
                }
            }
            0
        });
        let answer = commands.cells_of("a").cells(&[Hash::of(b"x")]).await;
        (answer, task.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_that_a_poll_interrupts_is_sent_again() {
        for interruptions in 0..MAX_SENT {
            let (answer, sent) = request(interruptions).await;
            assert_eq!((answer.unwrap().len(), sent), (1, interruptions + 1));
        }
        let (answer, sent) = request(MAX_SENT).await;
        let failure = answer.unwrap_err();
        let expected = "the request was interrupted by a poll or a reload";
        assert_eq!(
            (failure.reason, &*failure.message, sent),
            (FailureReason::Local, expected, MAX_SENT)
        );
    }

    #[tokio::test]
    async fn a_peer_that_is_no_longer_watched_is_not_asked() {
        let commands = PeerCommands::default();
        let failure = commands.cells_of("a").head().await.unwrap_err();
        assert_eq!(failure.message, "the peer is no longer watched");
    }
}
