//! Real Convex peers, each a process of its own, by the project's launcher.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The first start fetches the peers' jars.
const PATIENCE: Duration = Duration::from_secs(600);

/// A network of two equal peers: both are needed for consensus.
pub(crate) struct Network {
    ports: Ports,
    dir: tempfile::TempDir,
    pub(crate) peers: [RealPeer; 2],
}

#[derive(Clone, Copy)]
struct Ports {
    binary: u16,
    rest: u16,
}

/// One real peer.
pub(crate) struct RealPeer {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    ready: HashMap<String, String>,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let (binary, rest) = (two_free_ports(), two_free_ports());
        let ports = Ports { binary, rest };
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = tokio::join!(
            RealPeer::start(ports, dir.path(), 0),
            RealPeer::start(ports, dir.path(), 1)
        );
        Self {
            ports,
            dir,
            peers: [first, second],
        }
    }

    /// Starts a peer again that was ended; it goes on from its store.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.peers[index] = RealPeer::start(self.ports, self.dir.path(), index).await;
    }
}

/// The first of two ports in a row that nobody listens on.
fn two_free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl RealPeer {
    async fn start(ports: Ports, stores: &Path, index: usize) -> Self {
        let mut child = Command::new(root().join("scripts/peer"))
            .args([
                "--port",
                &ports.binary.to_string(),
                "--rest",
                &ports.rest.to_string(),
            ])
            .args(["--peers", "2", "--index", &index.to_string()])
            .arg("--store")
            .arg(stores)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = answers
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the peer ended before it was ready");
                if let Some(pairs) = line.strip_prefix("READY ") {
                    let pair = |pair: &str| {
                        pair.split_once('=')
                            .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    };
                    return pairs.split(' ').filter_map(pair).collect();
                }
            }
        };
        let ready = tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("the peer is still not ready");
        Self {
            commands: child.stdin.take().unwrap(),
            child,
            answers,
            ready,
        }
    }

    pub(crate) fn tcp(&self) -> String {
        format!("tcp://{}", self.ready["binary"])
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.ready["rest"])
    }

    pub(crate) fn key(&self) -> &str {
        &self.ready["key"]
    }

    pub(crate) fn genesis(&self) -> &str {
        &self.ready["genesis"]
    }

    /// Gives the launcher a command and takes its answer.
    pub(crate) async fn command(&mut self, command: &str) -> String {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.next_line());
        let answer = answer
            .await
            .expect(command)
            .unwrap()
            .expect("the peer has ended");
        assert!(
            answer.starts_with("OK") || answer.starts_with("BENCH"),
            "{command}: {answer}"
        );
        answer
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the peer runs").to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends the peer and waits until it is gone.
    pub(crate) async fn end(&mut self) {
        self.signal("-TERM");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait());
        ended.await.expect("SIGTERM ends a peer").unwrap();
    }
}
