//! The agent as a separate process, which can be killed.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use convex_client::{HttpOptions, http_client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use super::{DEADLINE, until};

/// A running process and its log.
pub(crate) struct Program {
    pub(crate) child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    pub(crate) address: String,
}

impl Program {
    pub(crate) async fn start(config: &Path) -> Self {
        Self::launch(Self::command(config)).await
    }

    /// Returns the command that runs the agent with this configuration on a free port.
    pub(crate) fn command(config: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        command.args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--config",
        ]);
        command.arg(config);
        command
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// Runs `command`, which must start an agent that logs JSON.
    pub(crate) async fn launch(mut command: tokio::process::Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = String::new();
        let mut program = Self {
            child,
            log,
            seen: Vec::new(),
            address,
        };
        let line = program.until("\"monitoring\"").await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let listen = line["listen"].as_str().unwrap();
        program.address.push_str(listen);
        program
    }

    /// Returns the first line of the log that contains `wanted`, waiting for it if necessary.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(wanted)) {
            return line.clone();
        }
        let found = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.seen.push(line.clone());
                if line.contains(wanted) {
                    return line;
                }
            }
            panic!("the log ended without {wanted:?}");
        };
        let found = tokio::time::timeout(DEADLINE, found).await;
        found.expect(wanted)
    }

    /// Returns the lines of the log that were read so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Sends a GET and returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
        let request = client.get(format!("http://{}{path}", self.address));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// Sends a process a signal.
pub(crate) fn send_signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits until the file at `path` contains `wanted`.
pub(crate) async fn file_contains(path: &Path, wanted: &str) {
    until(wanted, async || {
        fs::read_to_string(path).is_ok_and(|text| text.contains(wanted))
    })
    .await;
}
