//! The systemd unit: its own commands are run as systemd would run them, and what the agent tells systemd is heard.

use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, UnixDatagram};
use tokio::process::Command;

use crate::support::fake::{FakePeer, Script};
use crate::support::program::Program;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The value of a key of the unit.
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

/// A stand-in for systemd: a socket that is told of the service, a credential, and the file of the configuration.
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

    /// The unit's command, with the program and the configuration of this test in the place of the installed ones.
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

    /// The next message.
    async fn told(&self) -> String {
        let mut message = [0; 4096];
        let receiving = self.socket.recv(&mut message);
        let length = tokio::time::timeout(PATIENCE, receiving).await.unwrap();
        String::from_utf8(message[..length.unwrap()].to_vec()).unwrap()
    }

    /// The next message that is not of the watchdog.
    async fn told_of_a_change(&self) -> String {
        loop {
            let message = self.told().await;
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

/// Runs the unit's `ExecReload`.
async fn reload(program: &Program) {
    let pid = program.child.id().unwrap().to_string();
    let line = unit("ExecReload").replace("$MAINPID", &pid);
    let words: Vec<_> = line.split(' ').collect();
    let done = Command::new(words[0]).args(&words[1..]).status().await;
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn systemd_is_told_of_the_start_of_reloads_and_of_the_stop() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    assert_eq!(unit("Type"), "notify");
    let mut service = Program::launch(manager.command()).await;
    assert_eq!(
        manager.told().await,
        "READY=1\nSTATUS=peers: 1, networks: 1\n"
    );
    assert_eq!(service.get("/-/ready").await.0, 200);

    reload(&service).await;
    let told = manager.told().await;
    let since = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(
        manager.told().await,
        "READY=1\nSTATUS=peers: 1, networks: 1\n"
    );

    manager.configure("peers: 1\n");
    reload(&service).await;
    assert!(manager.told().await.starts_with("RELOADING=1\n"));
    assert_eq!(
        manager.told().await,
        "READY=1\nSTATUS=the new configuration is refused; the old one stays in force\n"
    );

    let pid = service.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(sent.unwrap().success());
    assert_eq!(manager.told().await, "STOPPING=1\n");
    assert_eq!(service.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_is_fed_also_after_a_reload() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    assert!(unit("WatchdogSec").ends_with('s'));
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "100000");
    let service = Program::launch(command).await;
    for _ in 0..3 {
        while manager.told().await != "WATCHDOG=1\n" {}
    }
    reload(&service).await;
    assert!(manager.told_of_a_change().await.starts_with("RELOADING=1"));
    assert!(manager.told_of_a_change().await.starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.told().await, "WATCHDOG=1\n");
    }
}

#[tokio::test]
async fn a_watchdog_that_is_meant_for_another_process_is_not_fed() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    let mut command = manager.command();
    command
        .env("WATCHDOG_USEC", "2000")
        .env("WATCHDOG_PID", "1");
    let service = Program::launch(command).await;
    assert!(manager.told().await.starts_with("READY=1"));
    assert_eq!(service.get("/-/healthy").await.0, 200);
    reload(&service).await;
    assert!(manager.told().await.starts_with("RELOADING=1"));
}

#[tokio::test]
async fn a_credential_is_read_from_where_systemd_puts_it() {
    let peer = FakePeer::start(Script::default()).await;
    let manager = Manager::new(&config(&peer));
    let service = Program::launch(manager.command()).await;
    let polled = async {
        while peer.heads().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap();
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
async fn a_service_that_cannot_serve_is_never_ready() {
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
        let ended = tokio::time::timeout(PATIENCE, command.output()).await;
        assert_eq!(
            ended.unwrap().unwrap().status.code(),
            Some(code),
            "{config}"
        );
        let told = manager.socket.try_recv(&mut [0; 64]);
        assert_eq!(told.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    assert_eq!(unit("RestartPreventExitStatus"), "2");
}
