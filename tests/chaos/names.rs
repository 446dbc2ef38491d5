//! The DNS resolver is dead, then slow.

use std::fs;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::aftermath::Before;
use super::agent::{ADDRESS, Agent};
use super::network::Network;
use super::{last, until};

const PEERS: usize = 100;

/// Delay of each answer; `None` for no answers.
pub(crate) type Delay = Option<Duration>;

/// A name server that resolves every name to 127.0.0.1.
pub(crate) struct NameServer {
    delay: watch::Sender<Delay>,
    _serving: JoinSet<()>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let socket = std::sync::Arc::new(socket);
        let (delay, watched) = watch::channel(Some(Duration::ZERO));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut answering = JoinSet::new();
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                while answering.try_join_next().is_some() {}
                let Some(delay) = *watched.borrow() else {
                    continue;
                };
                let (answer, socket) = (answer(&question[..length]), socket.clone());
                answering.spawn(async move {
                    tokio::time::sleep(delay).await;
                    socket.send_to(&answer, from).await.unwrap();
                });
            }
        });
        Self {
            delay,
            _serving: serving,
        }
    }

    pub(crate) fn set_delay(&self, delay: Delay) {
        self.delay.send_replace(delay);
    }
}

/// Makes the answer to a question (RFC 1035, section 4): one address for type A, none for other
/// types.
fn answer(question: &[u8]) -> Vec<u8> {
    let name_ends = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let header_and_question = &question[..name_ends + 4];
    let is_a = question[name_ends..name_ends + 2] == [0, 1];
    let mut answer = header_and_question.to_vec();
    // A recursive answer without error: one question, at most one answer, no other sections.
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        // The name of the question, A, IN, TTL 0, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[tokio::test]
async fn a_dead_or_slow_resolver_delays_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::start(dir.path(), PEERS).await;
    let server = NameServer::start().await;
    let config = (0..2 * PEERS).fold(network.config(), |config, i| {
        let port = 28000 + i;
        config.replace(
            &format!("//127.0.0.1:{port}"),
            &format!("//p{port}.test:{port}"),
        )
    });
    fs::write(dir.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    fs::write(dir.path().join("nsswitch.conf"), "hosts: dns\n").unwrap();
    let mounts = "mount --bind resolv.conf /etc/resolv.conf && \
                  mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$0\" \"$@\"";
    let within = ["unshare", "--mount", "sh", "-c", mounts];
    let mut agent = Agent::start_within(dir.path(), &config, &within, ADDRESS).await;
    let before = Before::fault(&agent, PEERS).await;

    server.set_delay(None);
    // Open connections need no name resolution.
    network.kill().await;
    until("no peer is up", async || agent.peers_up().await == 0).await;
    network.begin().await;
    last(30).await;
    assert_eq!(agent.peers_up().await, 0);
    assert!(agent.is_healthy().await);
    // Files are read and written in threads, which the resolver must not use up.
    let reloads = agent.log().matches("configuration reloaded").count();
    agent.signal("-HUP").await;
    until("configuration reloaded", async || {
        agent.log().matches("configuration reloaded").count() > reloads
    })
    .await;
    let resources = agent.resources();
    assert!(resources.threads < 400, "{resources:?}");

    server.set_delay(Some(Duration::from_millis(300)));
    until("all peers are up with a slow resolver", async || {
        agent.peers_up().await == PEERS
    })
    .await;
    server.set_delay(Some(Duration::ZERO));
    before
        .restored(&mut agent, "a dead and a slow resolver")
        .await;
}
