//! A real peer in a separate process, and its CPU time.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use procfs::process::Process;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::machine::cpu_of;

/// Longest start. The first one downloads the jars of the peer.
const START: Duration = Duration::from_secs(600);
/// Longest wait for the answer to a command.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest wait for the end of the peer.
const END: Duration = Duration::from_secs(30);

/// A network of real peers in one process.
#[derive(Debug)]
pub(crate) struct RealPeer {
    /// Address of the first peer's binary port.
    pub(crate) binary: SocketAddr,
    /// Address of the first peer's REST port.
    pub(crate) rest: SocketAddr,
    /// Addresses of the binary ports of all peers.
    pub(crate) all: Vec<SocketAddr>,
    process: Process,
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl RealPeer {
    /// Starts a network of this many peers on free ports, with more `options` of the launcher. It
    /// always ends with this process, because its standard input closes.
    pub(crate) async fn start(peers: usize, options: &[&str]) -> anyhow::Result<Self> {
        let (binary, rest) = two_free_ports()?;
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peer");
        let mut child = Command::new(launcher)
            .args(["--port", &binary.to_string(), "--rest", &rest.to_string()])
            .args(["--peers", &peers.to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("scripts/peer cannot be started")?;
        let commands = child.stdin.take().context("a piped standard input")?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let mut answers = BufReader::new(stdout).lines();
        let mut ready = Vec::new();
        while ready.len() < peers {
            let line = next_line(&mut answers, START).await;
            ready.push(line.context("the peers do not start")?);
        }
        let value = |line: &str, key: &str| {
            let pairs = line.strip_prefix("READY ").unwrap_or_default().split(' ');
            let mut values = pairs.filter_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            let value = values.next().map(str::to_owned);
            value.with_context(|| format!("no {key} in the line of a peer, {line:?}"))
        };
        let mut all = Vec::new();
        for line in &ready {
            all.push(value(line, "binary")?.parse()?);
        }
        let first = &ready[0];
        Ok(Self {
            binary: value(first, "binary")?.parse()?,
            rest: value(first, "rest")?.parse()?,
            all,
            process: Process::new(value(first, "pid")?.parse()?)?,
            child,
            commands,
            answers,
        })
    }

    /// Sends a command to the launcher and returns its answer.
    pub(crate) async fn command(&mut self, command: &str) -> anyhow::Result<String> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = next_line(&mut self.answers, ANSWER)
            .await
            .with_context(|| command.to_owned())?;
        ensure!(!answer.starts_with("ERROR"), "{command}: {answer}");
        Ok(answer)
    }

    /// Returns the CPU time of the peer so far, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(&self.process)
    }

    /// Returns the version that the Java of the peer reports.
    pub(crate) async fn java_version(&self) -> anyhow::Result<String> {
        let output = Command::new(self.process.exe()?)
            .arg("-version")
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(text
            .lines()
            .nth(1)
            .context("the second line of java -version")?
            .to_owned())
    }

    /// Ends the peer by closing its standard input and waits for its end.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            mut child,
            commands,
            ..
        } = self;
        drop(commands);
        let status = timeout(END, child.wait())
            .await
            .context("the peer does not end with its standard input")??;
        ensure!(status.success(), "the peer ended with {status}");
        Ok(())
    }
}

async fn next_line(
    lines: &mut Lines<BufReader<ChildStdout>>,
    longest: Duration,
) -> anyhow::Result<String> {
    match timeout(longest, lines.next_line()).await {
        Ok(Ok(Some(line))) => Ok(line),
        Ok(Ok(None)) => bail!("the peer has ended"),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!("no answer within {longest:?}"),
    }
}

/// Returns two free ports.
fn two_free_ports() -> anyhow::Result<(u16, u16)> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}
