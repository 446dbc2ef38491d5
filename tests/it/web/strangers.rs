//! What strangers can do to the listener: nothing that keeps others out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::program::Program;

const PEERS: &str = "peers: [{ name: a, endpoints: ['tcp://127.0.0.1:1'] }]\n";

/// The cost of the hash, so that checking takes much longer than asking.
const COST: u32 = 6;

/// The headers of `ann:right` and `ann:wrong`.
const RIGHT: &str = "Authorization: Basic YW5uOnJpZ2h0\r\n";
const WRONG: &str = "Authorization: Basic YW5uOndyb25n\r\n";

/// Starts an agent with the user `ann`, whose password is `right`.
async fn agent_with_password(dir: &tempfile::TempDir) -> Agent {
    let web = dir.path().join("web.yml");
    let hash = bcrypt::hash("right", COST).unwrap();
    std::fs::write(&web, format!("basic_auth_users: {{ ann: '{hash}' }}\n")).unwrap();
    let web = web.display();
    Agent::start(&format!("web: {{ config_file: {web} }}\n{PEERS}")).await
}

/// Requests the metrics from 127.0.0.`from`, with the header of a user and password, and returns
/// the status.
async fn scrape(agent: SocketAddr, from: u8, credentials: &str) -> io::Result<u16> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into())?;
    let mut stream = socket.connect(agent).await?;
    let line = format!("{credentials}Connection: close\r\n");
    send(&mut stream, "/metrics", &line).await?;
    let mut response = String::new();
    let reading = timeout(DEADLINE, stream.read_to_string(&mut response)).await;
    reading.expect("the agent answers")?;
    let status = response.split(' ').nth(1).unwrap_or_default();
    Ok(status.parse().unwrap_or_default())
}

/// Sends wrong passwords from 127.0.0.2 and following addresses, without a pause.
fn flood(agent: SocketAddr) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for from in (2..10).flat_map(|from| [from; 12]) {
        flood.spawn(async move {
            loop {
                // The agent may close any connection of such a client.
                drop(scrape(agent, from, WRONG).await);
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    flood
}

#[tokio::test]
async fn wrong_passwords_of_others_do_not_keep_out_who_knows_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_with_password(&dir).await;
    let flood = flood(agent.address);
    while scrape(agent.address, 2, WRONG).await.unwrap() != 503 {}
    for from in [1, 1, 20] {
        let since = Instant::now();
        let status = scrape(agent.address, from, RIGHT).await.unwrap();
        assert_eq!(status, 200, "from the first request on");
        eprintln!("a right password among wrong ones: {:?}", since.elapsed());
    }
    drop(flood);
    agent.stop().await;
}

/// Sends a request on a connection of HTTP/1.1, with this line in its head.
async fn send(stream: &mut TcpStream, path: &str, line: &str) -> io::Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n");
    stream.write_all(request.as_bytes()).await
}

/// Reads until the text ends with `end`.
async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        let read = timeout(DEADLINE, stream.read_exact(&mut byte)).await;
        read.unwrap().unwrap();
        text.push(byte[0].into());
    }
}

#[tokio::test]
async fn a_response_without_authentication_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent_with_password(&dir).await;
    for path in ["/-/healthy", "/-/ready", "/metrics", "/none"] {
        let mut stream = TcpStream::connect(agent.address).await.unwrap();
        send(&mut stream, path, "").await.unwrap();
        let mut response = String::new();
        let reading = timeout(DEADLINE, stream.read_to_string(&mut response)).await;
        reading.expect("the agent closes it").unwrap();
        assert!(response.contains("connection: close\r\n"), "{response}");
    }
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    for (path, line, end) in [
        ("/config", RIGHT, "listen: 127.0.0.1:18880\n"),
        ("/-/healthy", "", "healthy\n"),
        ("/-/ready", "", "ready\n"),
    ] {
        send(&mut stream, path, line).await.unwrap();
        read_until(&mut stream, end).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_loopback_listener_refuses_foreign_names() {
    let agent = Agent::start(&format!(
        "external_url: https://mon.example/convex/\n{PEERS}"
    ))
    .await;
    for (host, path, expected) in [
        ("localhost:1", "/metrics", 200),
        ("192.0.2.1", "/metrics", 200),
        ("mon.example", "/convex/", 200),
        ("mon.example:8443", "/", 200),
        ("evil.example", "/", 421),
        ("evil.example", "/-/healthy", 421),
        ("evil.example", "/api/v1/peers", 421),
    ] {
        let (status, text) = agent.get_as(host, path).await;
        assert_eq!(status, expected, "{host}{path}");
        assert!(expected == 200 || text.contains("`external_url`"), "{text}");
    }
    agent.stop().await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// More requests than HTTP/2 allows, each reset at once.
fn resets() -> Vec<u8> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const END_OF_STREAM_AND_HEADERS: u8 = 5;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    // GET http://localhost/
    let headers = [b"\x82\x86\x84\x41\x09", "localhost".as_bytes()].concat();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in (1..200).step_by(2) {
        sent.extend(frame(HEADERS, END_OF_STREAM_AND_HEADERS, stream, &headers));
        sent.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    sent
}

#[tokio::test]
async fn http_2_resets_of_strangers_do_not_fill_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.yml");
    std::fs::write(&config, PEERS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    command.args(["run", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command
        .args(["--log-level", "debug", "--config"])
        .arg(config);
    let mut program = Program::launch(command).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&program.address).await.unwrap();
        stream.write_all(&resets()).await.unwrap();
        // The agent may reset the connection in turn.
        let reading = timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await;
        drop(reading.expect("the agent closes it"));
    }
    program.signal(Signal::TERM);
    program.until("\"stopping\"").await;
    let (http_2, listener) = ("\"target\":\"h2", "\"connection closed\"");
    let count = |text| {
        program
            .seen()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    };
    assert_eq!(count(http_2), 0);
    let logged = count(listener);
    eprintln!("50 connections full of resets: {logged} lines");
    assert!(
        (1..10).contains(&logged),
        "{logged} lines of 50 connections"
    );
}
