//! Real Convex peers, each a process of its own, by the project's launcher.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::pipeline::root;

/// The first start fetches the peers' jars.
const PATIENCE: Duration = Duration::from_secs(600);

/// A network of equal peers, each a process of its own with a store that it finds again.
pub(crate) struct Network {
    options: Options,
    dir: tempfile::TempDir,
    pub(crate) peers: Vec<RealPeer>,
}

/// What the launcher is told; each of these is its option of this name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) peers: usize,
    pub(crate) seed: u64,
    pub(crate) tick: Option<u64>,
    pub(crate) isolate: Option<usize>,
    /// The first binary port and the first REST port.
    pub(crate) ports: [u16; 2],
}

/// A process of real peers. What is told of one is told of its first.
pub(crate) struct RealPeer {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    ready: Vec<Ready>,
}

/// What the launcher says of a peer that answers.
#[derive(Clone, Debug)]
pub(crate) struct Ready(HashMap<String, String>);

impl Network {
    pub(crate) async fn start(peers: usize) -> Self {
        let options = Options::new(peers);
        let dir = tempfile::tempdir().unwrap();
        let of = |index| RealPeer::start(options, Some((index, dir.path())));
        let peers = futures_util::future::join_all((0..peers).map(of)).await;
        Self {
            options,
            dir,
            peers,
        }
    }

    /// The directory where the peers keep their stores.
    pub(crate) fn stores(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a peer again that was ended; it goes on from its store.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.peers[index] = RealPeer::start(self.options, Some((index, self.dir.path()))).await;
    }
}

impl Options {
    pub(crate) fn new(peers: usize) -> Self {
        let ports = [free_ports(peers), free_ports(peers)];
        Self {
            peers,
            seed: 1,
            ports,
            ..Self::default()
        }
    }

    fn arguments(&self) -> Vec<String> {
        let [binary, rest] = self.ports;
        let mut arguments = vec![
            format!("--port={binary}"),
            format!("--rest={rest}"),
            format!("--peers={}", self.peers),
            format!("--seed={}", self.seed),
        ];
        arguments.extend(self.tick.map(|ms| format!("--tick={ms}")));
        arguments.extend(self.isolate.map(|peer| format!("--isolate={peer}")));
        let pairs = arguments.iter().filter_map(|pair| pair.split_once('='));
        pairs
            .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
            .collect()
    }
}

/// The first of `count` ports in a row that nobody listens on, below those that outgoing connections are given: a port
/// that is free now shall still be free when the peer has started.
fn free_ports(count: usize) -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let count = u16::try_from(count).unwrap();
    let of_process = u16::try_from(std::process::id() % 1000).unwrap() * 10;
    loop {
        let first = 20_000 + of_process + GIVEN.fetch_add(count, Ordering::Relaxed);
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(free) {
            return first;
        }
    }
}

impl RealPeer {
    /// All peers in one process; or one of them, which keeps its store in a directory.
    pub(crate) async fn start(options: Options, one: Option<(usize, &Path)>) -> Self {
        let mut launcher = Command::new(root().join("scripts/peer"));
        launcher.args(options.arguments());
        if let Some((index, stores)) = one {
            launcher.args(["--index", &index.to_string(), "--store"]);
            launcher.arg(stores);
        }
        let count = if one.is_some() { 1 } else { options.peers };
        let mut child = launcher
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            let mut ready = Vec::new();
            while ready.len() < count {
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
                    ready.push(Ready(pairs.split(' ').filter_map(pair).collect()));
                }
            }
            ready.sort_by_key(Ready::index);
            ready
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

    /// All peers of this process.
    pub(crate) fn all(&self) -> &[Ready] {
        &self.ready
    }

    pub(crate) fn tcp(&self) -> String {
        self.ready[0].tcp()
    }

    pub(crate) fn http(&self) -> String {
        self.ready[0].http()
    }

    pub(crate) fn key(&self) -> &str {
        self.ready[0].key()
    }

    pub(crate) fn genesis(&self) -> &str {
        self.ready[0].genesis()
    }

    /// Gives the launcher a command that succeeds, and takes its answer.
    pub(crate) async fn command(&mut self, command: &str) -> String {
        let answer = self.attempt(command).await;
        assert!(
            answer.starts_with("OK") || answer.starts_with("BENCH"),
            "{command}: {answer}"
        );
        answer
    }

    /// Gives the launcher a command and takes its answer, whatever it is.
    pub(crate) async fn attempt(&mut self, command: &str) -> String {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.next_line());
        answer
            .await
            .expect(command)
            .unwrap()
            .expect("the peer has ended")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        super::signal(&self.child, name);
    }

    /// Ends the peer and waits until it is gone.
    pub(crate) async fn end(&mut self) {
        self.signal("-TERM");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait());
        ended.await.expect("SIGTERM ends a peer").unwrap();
    }
}

impl Ready {
    fn index(&self) -> usize {
        self.0["index"].parse().unwrap()
    }

    pub(crate) fn tcp(&self) -> String {
        format!("tcp://{}", self.0["binary"])
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.0["rest"])
    }

    pub(crate) fn key(&self) -> &str {
        &self.0["key"]
    }

    pub(crate) fn genesis(&self) -> &str {
        &self.0["genesis"]
    }
}
