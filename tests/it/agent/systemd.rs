//! The systemd unit: its commands run as systemd would run them, and what the agent sends to
//! systemd.

use std::path::Path;

use tokio::net::{TcpListener, UnixDatagram};
use tokio::process::Command;

use crate::support::fake::{FakePeer, Script};
use crate::support::program::Program;
use crate::support::{DEADLINE, until};

/// Returns the value of a key in the unit.
fn unit(key: &str) -> String {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/convex-peer-monitor.service");
    let text = std::fs::read_to_string(file).unwrap();
    let start = format!("{key}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value
        .unwrap_or_else(|| panic!("the unit has no {key}"))
        .to_owned()
}

/// A substitute for systemd: its notification socket, a credential, and the configuration file.
struct Manager {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("credentials")).unwrap();
        std::fs::write(dir.path().join("credentials/peer-token"), "s3cret\n").unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let manager = Self { dir, socket };
        manager.configure(config);
        manager
    }

    fn configure(&self, config: &str) {
        std::fs::write(self.dir.path().join("config.yml"), config).unwrap();
    }

    /// Returns the command of the unit, with the program and the configuration of this test.
    fn command(&self) -> Command {
        let line = unit("ExecStart");
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("convex-peer-monitor"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let mut configured = false;
        for word in words {
            if word == "/etc/convex-peer-monitor/config.yml" {
                command.arg(self.dir.path().join("config.yml"));
                configured = true;
            } else {
                command.arg(word);
            }
        }
        assert!(configured, "{line}");
        command
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"))
            .env("CREDENTIALS_DIRECTORY", self.dir.path().join("credentials"));
        command
    }

    /// Receives the next message.
    async fn message(&self) -> String {
        let mut message = [0; 4096];
        let receiving = self.socket.recv(&mut message);
        let length = tokio::time::timeout(DEADLINE, receiving).await.unwrap();
        String::from_utf8(message[..length.unwrap()].to_vec()).unwrap()
    }

    /// Receives the next message that is not from the watchdog.
    async fn change(&self) -> String {
        loop {
            let message = self.message().await;
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }
}

fn config(peer: &FakePeer) -> String {
    format!(
        "listen: 127.0.0.1:0\npeers:\n  - name: a\n    endpoints: ['http://{}']\n    bearer_token_file: ${{CREDENTIALS_DIRECTORY}}/peer-token\n",
        peer.http
    )
}

/// Runs the `ExecReload` of the unit.
async fn reload(program: &Program) {
    let pid = program.child.id().unwrap().to_string();
    let line = unit("ExecReload").replace("$MAINPID", &pid);
    let words: Vec<_> = line.split(' ').collect();
    let done = Command::new(words[0]).args(&words[1..]).status().await;
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn systemd_is_notified_of_start_reloads_and_stop() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    assert_eq!(unit("Type"), "notify");
    let mut service = Program::launch(manager.command()).await;
    assert_eq!(
        manager.message().await,
        "READY=1\nSTATUS=peers: 1, networks: 1\n"
    );
    assert_eq!(service.get("/-/ready").await.0, 200);

    reload(&service).await;
    let reloading = manager.message().await;
    let since = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(
        manager.message().await,
        "READY=1\nSTATUS=peers: 1, networks: 1\n"
    );

    manager.configure("peers: 1\n");
    reload(&service).await;
    assert!(manager.message().await.starts_with("RELOADING=1\n"));
    assert_eq!(
        manager.message().await,
        "READY=1\nSTATUS=the new configuration was rejected; the running configuration stays active\n"
    );

    let pid = service.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(sent.unwrap().success());
    assert_eq!(manager.message().await, "STOPPING=1\n");
    assert_eq!(service.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_is_notified_before_and_after_a_reload() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    assert!(unit("WatchdogSec").ends_with('s'));
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "100000");
    let service = Program::launch(command).await;
    // The watchdog may be notified before.
    assert!(manager.change().await.starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.message().await, "WATCHDOG=1\n");
    }
    reload(&service).await;
    assert!(manager.change().await.starts_with("RELOADING=1"));
    assert!(manager.change().await.starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.message().await, "WATCHDOG=1\n");
    }
}

#[tokio::test]
async fn a_watchdog_of_another_process_is_not_notified() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    let mut command = manager.command();
    command
        .env("WATCHDOG_USEC", "2000")
        .env("WATCHDOG_PID", "1");
    let service = Program::launch(command).await;
    assert!(manager.message().await.starts_with("READY=1"));
    assert_eq!(service.get("/-/healthy").await.0, 200);
    reload(&service).await;
    assert!(manager.message().await.starts_with("RELOADING=1"));
}

#[tokio::test]
async fn a_credential_is_read_from_the_directory_of_systemd() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    let service = Program::launch(manager.command()).await;
    until("the peer is polled", async || !peer.heads().is_empty()).await;
    let heads = peer.heads();
    assert!(
        heads[0]
            .lines()
            .any(|line| line == "authorization: bearer s3cret"),
        "{heads:?}"
    );
    assert!(!service.get("/config").await.1.contains("s3cret"));
}

#[tokio::test]
async fn a_service_that_cannot_start_never_reports_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for (config, code) in [
        (
            format!(
                "listen: {address}\npeers: [{{ name: a, endpoints: ['tcp://127.0.0.1:1'] }}]\n"
            ),
            1,
        ),
        ("peers: 1\n".to_owned(), 2),
    ] {
        let manager = Manager::new(&config);
        let mut command = manager.command();
        let ended = tokio::time::timeout(DEADLINE, command.output()).await;
        assert_eq!(
            ended.unwrap().unwrap().status.code(),
            Some(code),
            "{config}"
        );
        let message = manager.socket.try_recv(&mut [0; 64]);
        assert_eq!(message.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    assert_eq!(unit("RestartPreventExitStatus"), "2");
}
