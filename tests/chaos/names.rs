//! The resolver is dead, then slow.

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

/// How long the resolver takes; none: for ever.
type Delay = Option<Duration>;

/// A name server that knows every name as 127.0.0.1.
struct NameServer {
    delay: watch::Sender<Delay>,
    _serving: JoinSet<()>,
}

impl NameServer {
    async fn start() -> Self {
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

    fn takes(&self, delay: Delay) {
        self.delay.send_replace(delay);
    }
}

/// The answer to a question (RFC 1035, section 4): one address to a question of type A, none to any other.
fn answer(question: &[u8]) -> Vec<u8> {
    let name_ends = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let asked = &question[..name_ends + 4];
    let is_a = question[name_ends..name_ends + 2] == [0, 1];
    let mut answer = asked.to_vec();
    // An answer without error, by a server that asks others; one question, and no more sections than the answers.
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        // The asked name, A, IN, for 0 s, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[tokio::test]
async fn a_dead_and_a_slow_resolver_hold_up_nothing_else() {
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
    let before = Before::trouble(&agent, PEERS).await;

    server.takes(None);
    // Open connections need no names.
    network.kill().await;
    until("nobody is up", async || agent.peers_up().await == 0).await;
    network.begin().await;
    last(30).await;
    assert_eq!(agent.peers_up().await, 0);
    assert!(agent.is_healthy().await);
    // Reading files and writing state take threads, of which the resolver must leave some.
    let reloads = agent.log().matches("configuration reloaded").count();
    agent.signal("-HUP").await;
    until("the configuration is read", async || {
        agent.log().matches("configuration reloaded").count() > reloads
    })
    .await;
    let held = agent.held();
    assert!(held.threads < 400, "{held:?}");

    server.takes(Some(Duration::from_millis(300)));
    until("a slow resolver is enough", async || {
        agent.peers_up().await == PEERS
    })
    .await;
    server.takes(Some(Duration::ZERO));
    before
        .restored(&mut agent, "a dead and a slow resolver")
        .await;
}
