//! Real Convex peers, run by the project's launcher (`scripts/peer`).

use std::collections::HashMap;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep};

use super::pipeline::root;
use super::prometheus::Prometheus;
use super::{TIMEOUT, rest};

/// A network of equal peers. Each is a process, and continues from its store after a restart.
pub(crate) struct Network {
    options: Options,
    dir: tempfile::TempDir,
    pub(crate) peers: Vec<RealPeer>,
}

/// Options of the launcher, by their names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) peers: usize,
    pub(crate) seed: u64,
    pub(crate) tick: Option<u64>,
    pub(crate) isolate: Option<usize>,
    /// How many of the peers the genesis has, if not all.
    pub(crate) genesis: Option<usize>,
    /// Whether the peers put no address on chain: then they make no block by themselves, and do not
    /// dial each other again.
    pub(crate) no_url: bool,
    /// The first binary port and the first REST port.
    pub(crate) ports: [u16; 2],
}

/// A process that runs one or more real peers. Methods without an index are about the first.
pub(crate) struct RealPeer {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    ready: Vec<Ready>,
}

/// What the launcher prints about a peer that is ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready(HashMap<String, String>);

impl Network {
    /// Starts peers that agree with each other.
    ///
    /// Each peer registers its URL after its start. On a busy machine, released peers sometimes
    /// compute different states from these first transactions and never agree again. Then the only
    /// remedy is a new network.
    pub(crate) async fn start(peers: usize) -> Self {
        for _ in 0..5 {
            let mut network = Self::launch(peers).await;
            if network.agrees().await {
                return network;
            }
            eprintln!("the real peers have diverged or lost a thread; starting others");
        }
        panic!("the real peers diverged or lost a thread in five networks");
    }

    /// Waits until all peers are in the same state, after their first transactions. Returns false
    /// if they have different states at the same block, or if a peer lost a thread.
    pub(crate) async fn agrees(&mut self) -> bool {
        const STATE: &str = "[(nth (:globals *state*) 5) (str (hash (encoding *state*)))]";
        const URLS: &str = "(reduce (fn [n p] (if (:url (:metadata p)) (inc n) n)) 0 \
                            (values (:peers *state*)))";
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let urls = rest(&self.peers[0], URLS).await;
            let states = join_all(self.peers.iter().map(|peer| rest(peer, STATE))).await;
            let is_equal = |index: usize| states.iter().all(|it| it[index] == states[0][index]);
            if is_equal(0) && !is_equal(1) {
                return false;
            }
            // A peer whose transaction times out does not repeat it.
            let is_registered = urls.as_u64() == u64::try_from(self.peers.len()).ok();
            if is_equal(0) && (is_registered || started.elapsed() > Duration::from_secs(60)) {
                return true;
            }
            for peer in &mut self.peers {
                if !peer.is_well().await {
                    return false;
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
        panic!("the real peers do not get to the same block");
    }

    /// Starts peers without waiting for their first transactions.
    pub(crate) async fn launch(peers: usize) -> Self {
        Self::launch_with(Options::new(peers)).await
    }

    /// Starts peers with these options, without waiting for anything.
    pub(crate) async fn launch_with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |index| RealPeer::start(options, Some((index, dir.path())));
        let peers = join_all((0..options.peers).map(of)).await;
        Self {
            options,
            dir,
            peers,
        }
    }

    /// Returns the directory of the peers' stores.
    pub(crate) fn stores(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the file that a peer has its store in.
    pub(crate) fn store(&self, index: usize) -> PathBuf {
        self.stores().join(format!("peer-{index}.etch"))
    }

    /// Returns what is known of each peer, in the order of their indices.
    pub(crate) fn all(&self) -> Vec<Ready> {
        let all = self.peers.iter().flat_map(RealPeer::all);
        all.cloned().collect()
    }

    /// Starts a stopped peer again, with its store.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.peers[index] = RealPeer::start(self.options, Some((index, self.dir.path()))).await;
    }

    /// Starts stopped peers again at once, with their stores.
    pub(crate) async fn restart_all(&mut self, indices: Range<usize>) {
        let of = |index| RealPeer::start(self.options, Some((index, self.dir.path())));
        let started = join_all(indices.clone().map(of)).await;
        for (index, peer) in indices.zip(started) {
            self.peers[index] = peer;
        }
    }

    /// Sends a transaction through a peer and returns the answer. On a busy machine, a thread of a
    /// released peer sometimes dies of an error, and the network waits for that peer forever: then
    /// it is started again. The transaction is repeated after a timeout, and may then be executed
    /// twice.
    pub(crate) async fn transact(&mut self, index: usize, code: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = self.peers[index].attempt(&format!("tx {code}")).await;
            if answer.starts_with("OK") {
                return answer;
            }
            let is_late = answer.starts_with("ERROR :TIMEOUT") && Instant::now() < deadline;
            assert!(is_late, "{code}: {answer}");
            for peer in 0..self.peers.len() {
                if !self.peers[peer].is_well().await {
                    self.peers[peer].end().await;
                    self.restart(peer).await;
                }
            }
        }
    }

    /// Lets a peer give its stake back.
    pub(crate) async fn unstake(&mut self, index: usize) {
        let key = self.peers[index].key();
        let code = format!("(set-peer-stake {key} 0)");
        self.transact(index, &code).await;
    }

    /// Lets the first peer evict one without stake.
    pub(crate) async fn evict(&mut self, index: usize) {
        let key = self.peers[index].key();
        let code = format!("(if (get (:peers *state*) {key}) (evict-peer {key}))");
        self.transact(0, &code).await;
    }

    /// Ends a peer but for its open connections. If it happens to close that of the agent too, the
    /// peer is gone and not half dead: then it is started again, and this returns false.
    pub(crate) async fn half_kill(&mut self, index: usize, prometheus: &Prometheus) -> bool {
        // It may still be down from before: one good poll does not end that.
        let is_down = super::of("convex_peer_health", index, ",state=\"down\"");
        prometheus.wait_for(&is_down, |down| down == 0.0).await;
        self.peers[index].command("close 0").await;
        prometheus.wait_for(&is_down, |down| down == 1.0).await;
        let hangs = super::of("convex_peer_condition", index, ",condition=\"query_hangs\"");
        let hangs = format!("sum({hangs}) or vector(0)");
        if prometheus.value(&hangs).await == 1.0 {
            return true;
        }
        self.peers[index].end().await;
        self.restart(index).await;
        false
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
        arguments.extend(self.genesis.map(|peers| format!("--genesis={peers}")));
        arguments.extend(self.no_url.then(|| "--url=0".to_owned()));
        let pairs = arguments.iter().filter_map(|pair| pair.split_once('='));
        pairs
            .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
            .collect()
    }
}

/// Returns the first of `count` consecutive ports for peers. They are below the ports that the
/// kernel assigns to outgoing connections, and no other test process uses them: each claims a block
/// of ports by listening on the first one until it ends.
fn free_ports(count: usize) -> u16 {
    const BLOCK: u16 = 200;
    static CLAIMED: OnceLock<(TcpListener, u16)> = OnceLock::new();
    static USED: AtomicU16 = AtomicU16::new(1);
    let (_, block) = CLAIMED.get_or_init(|| {
        (20_000..26_000)
            .step_by(usize::from(BLOCK))
            .find_map(|port| Some((TcpListener::bind(("127.0.0.1", port)).ok()?, port)))
            .expect("a block of ports that no other test uses")
    });
    let count = u16::try_from(count).unwrap();
    loop {
        let used = USED.fetch_add(count, Ordering::Relaxed);
        assert!(used + count <= BLOCK, "the block of ports is used up");
        let first = block + used;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(is_free) {
            return first;
        }
    }
}

impl RealPeer {
    /// Starts all peers in one process, or only one of them, with its store in a directory.
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
                    .expect("the peer ended during its start");
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
        let ready = tokio::time::timeout(TIMEOUT, ready)
            .await
            .expect("the peer did not become ready");
        Self {
            commands: child.stdin.take().unwrap(),
            child,
            answers,
            ready,
        }
    }

    /// Returns all peers of this process.
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

    /// Sends the launcher a command that must succeed, and returns the answer. Repeats it after a
    /// timeout: on a busy machine a transaction may take longer than the client in the launcher
    /// waits.
    pub(crate) async fn command(&mut self, command: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        let mut answer = self.attempt(command).await;
        while answer.starts_with("ERROR :TIMEOUT") && Instant::now() < deadline {
            answer = self.attempt(command).await;
        }
        assert!(
            answer.starts_with("OK") || answer.starts_with("BENCH"),
            "{command}: {answer}"
        );
        answer
    }

    /// Sends the launcher a command and returns the answer, whatever it is.
    pub(crate) async fn attempt(&mut self, command: &str) -> String {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
        let answer = tokio::time::timeout(TIMEOUT, self.answers.next_line());
        answer
            .await
            .expect(command)
            .unwrap()
            .expect("the peer ended")
    }

    /// Returns whether all threads of the peer run.
    async fn is_well(&mut self) -> bool {
        self.attempt("well").await == "OK"
    }

    /// Sends a signal, given as an option of `kill`.
    pub(crate) fn signal(&self, name: &str) {
        super::signal(&self.child, name);
    }

    /// Stops the peer with SIGTERM and waits until it has ended.
    pub(crate) async fn end(&mut self) {
        self.signal("-TERM");
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait());
        ended.await.expect("SIGTERM stops a peer").unwrap();
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
