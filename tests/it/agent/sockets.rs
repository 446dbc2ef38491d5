//! Sockets other than a TCP port of the agent's own: Unix sockets, and those that a service manager
//! passes.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use convex_client::{HttpOptions, http_client, http_client_over};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::program::Program;
use crate::support::{DEADLINE, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-peer-monitor");

const PEERS: &str = "peers: [{ name: a, endpoints: ['tcp://127.0.0.1:1'] }]\n";

const STATUS: &str = "status: { title: Gateways, peers: [{ peer: a, name: A }] }\n";

/// Runs a command of the program to its end.
async fn run(args: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(PROGRAM).args(args).output();
    let output = tokio::time::timeout(DEADLINE, ended).await.unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

async fn get_over(socket: &Path, path: &str) -> (u16, String) {
    let client = http_client_over(socket, &HttpOptions::default(), DEADLINE).unwrap();
    let request = client.get(format!("http://localhost{path}"));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// A directory with a configuration.
fn configured(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.yml"), config).unwrap();
    dir
}

#[tokio::test]
async fn the_agent_is_operated_over_a_unix_socket() {
    let dir = configured("");
    let socket = dir.path().join("agent.sock");
    let url = format!("unix:{}", socket.display());
    let config = dir.path().join("config.yml");
    let state = dir.path().join("state");
    let text = format!("listen: '{url}'\nstate_dir: {}\n{PEERS}", state.display());
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--log-format", "json", "--config"]);
    command.arg(&config);
    let mut agent = Program::launch(command).await;
    assert_eq!(agent.address, url);
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);

    let (status, metrics) = get_over(&socket, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("convex_monitor_build_info"));
    assert_eq!(
        run(&["healthcheck", "--url", &url]).await,
        (Some(0), String::new())
    );
    // Without a password, as on a loopback address.
    let silence = "silence --peer a --for 1h --comment moved --by ops";
    let silence: Vec<&str> = silence.split(' ').chain(["--url", &url]).collect();
    let (code, said) = run(&silence).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["actions", "--url", &url]).await;
    assert!(code == Some(0) && said.contains("moved"), "{said}");

    // Another agent takes it neither away nor over.
    let second = [&["run", "--config"][..], &[config.to_str().unwrap()]].concat();
    let (code, said) = run(&second).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("another process listens on this socket"),
        "{said}"
    );
    assert_eq!(get_over(&socket, "/-/ready").await.0, 200);

    agent.signal(Signal::TERM);
    assert!(agent.child.wait().await.unwrap().success());
    assert!(!socket.exists());
    let (code, said) = run(&["healthcheck", "--url", &url]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("no answer from {url}")), "{said}");
}

#[tokio::test]
async fn a_path_of_a_socket_that_cannot_be_is_an_error_with_its_place() {
    let dir = configured(&format!("listen: unix:agent.sock\n{PEERS}"));
    let config = dir.path().join("config.yml");
    let (code, said) = run(&["check-config", config.to_str().unwrap()]).await;
    assert_eq!(code, Some(2));
    assert!(
        said.contains(
            "config.yml:1:9: listen: \"unix:agent.sock\" is not a listen address; the path of a Unix \
             socket must be absolute"
        ),
        "{said}"
    );
}

/// Returns the command that runs the agent with these sockets, called `names`, as systemd does.
fn activated(sockets: &[&TcpListener], names: &str, dir: &Path) -> Command {
    let redirections = sockets.iter().enumerate().map(|(index, socket)| {
        fcntl_setfd(socket, FdFlags::empty()).unwrap();
        format!(" {}<&{}", index + 3, socket.as_raw_fd())
    });
    let redirections: String = redirections.collect();
    let count = sockets.len();
    // The number of the shell stays that of the program.
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names} exec \"$0\" run --log-format json \
         --config \"$1\"{redirections}"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script, PROGRAM]);
    command.arg(dir.join("config.yml"));
    command
}

fn socket() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[tokio::test]
async fn a_restart_behind_a_passed_socket_loses_no_connection() {
    let (passed, address) = socket();
    let dir = configured(&format!("listen: 127.0.0.1:1\n{PEERS}"));
    let mut first = Program::launch(activated(&[&passed], "agent", dir.path())).await;
    assert_eq!(first.address, address);
    first.until("socket that the service manager passed").await;
    first.signal(Signal::TERM);
    assert!(first.child.wait().await.unwrap().success());

    // No process accepts now, and the connection is not refused.
    let mut client = TcpStream::connect(&address).await.unwrap();
    let request = "GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let second = Program::launch(activated(&[&passed], "agent", dir.path())).await;
    assert_eq!(second.address, address);
    let mut response = String::new();
    let reading = client.read_to_string(&mut response);
    tokio::time::timeout(DEADLINE, reading)
        .await
        .unwrap()
        .unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert!(response.ends_with("ready\n"), "{response}");
}

#[tokio::test]
async fn a_passed_socket_with_the_name_status_serves_the_status_page() {
    let ((own, own_address), (status, status_address)) = (socket(), socket());
    let dir = configured(&format!("{PEERS}{STATUS}"));
    let names = "status:agent.socket";
    let agent = Program::launch(activated(&[&status, &own], names, dir.path())).await;
    assert_eq!(agent.address, own_address);
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let get = async |url: String| {
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (code, page) = get(format!("http://{status_address}/")).await;
    assert!(code == 200 && page.contains("Gateways"), "{page}");
    assert_eq!(get(format!("http://{status_address}/metrics")).await.0, 404);
    assert_eq!(get(format!("http://{own_address}/metrics")).await.0, 200);
}

#[tokio::test]
async fn passed_sockets_that_cannot_be_used_are_errors() {
    let (sockets, _): (Vec<_>, Vec<_>) = (0..2).map(|_| socket()).unzip();
    let sockets: Vec<&TcpListener> = sockets.iter().collect();
    for (names, config, wrong) in [
        ("a:b", PEERS.to_owned(), "passed two sockets for the agent"),
        (
            "status:status",
            PEERS.to_owned(),
            "passed two sockets for the status page",
        ),
        (
            "agent:status",
            PEERS.to_owned(),
            "add `status` to the configuration",
        ),
    ] {
        let dir = configured(&config);
        let mut command = activated(&sockets, names, dir.path());
        let ended = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = ended.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{names}: {said}");
        assert!(said.contains(wrong), "{names}: {said}");
    }
}

/// Runs a command of the program with this standard input.
async fn piped(args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    let output = ended.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_configuration_is_read_from_a_pipe() {
    for file in ["-", "/dev/stdin"] {
        let (code, said) = piped(&["check-config", file], PEERS).await;
        assert!(code == Some(0) && said.contains(": ok"), "{file}: {said}");
        let (code, said) = piped(&["check-config", file], "peers: 1\n").await;
        assert_eq!(code, Some(2));
        assert!(said.contains(&format!("{file}:1:8: peers")), "{said}");
        let (code, said) = piped(&["probe", "--config", file], PEERS).await;
        assert!(
            code == Some(2) && said.contains("refused"),
            "{file}: {said}"
        );
    }
    // Relative names begin at the current directory.
    let dir = configured(PEERS);
    std::fs::write(
        dir.path().join("web.yml"),
        "http_server_config: { http2: 1 }\n",
    )
    .unwrap();
    let mut command = Command::new("bash");
    let script = "\"$0\" check-config <(echo 'web: { config_file: web.yml }'; cat config.yml)";
    command
        .args(["-c", script, PROGRAM])
        .current_dir(dir.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.starts_with("web.yml:1:30: http_server_config.http2"),
        "{said}"
    );
}

#[tokio::test]
async fn a_configuration_from_a_pipe_stays_and_a_reload_says_why() {
    let dir = configured(PEERS);
    let mut command = Command::new("bash");
    let script =
        "exec \"$0\" run --listen 127.0.0.1:0 --log-format json --config <(cat config.yml)";
    command
        .args(["-c", script, PROGRAM])
        .current_dir(dir.path());
    let mut agent = Program::launch(command).await;
    agent.signal(Signal::HUP);
    let line = agent.until("the new configuration was rejected").await;
    assert!(line.contains("came from a pipe"), "{line}");
    until("the metric shows it", async || {
        let (_, metrics) = agent.get("/metrics").await;
        metrics.contains("\nconvex_monitor_config_last_reload_successful 0\n")
            && metrics.contains("convex_monitor_targets{network=\"default\",role=\"own\"} 1\n")
    })
    .await;
}
