//! The `probe` command, on a terminal and on a pipe.

use std::process::Stdio;

use pty_process::{Pty, Size};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::simulated::network;
use crate::support::{DEADLINE, until};

/// Variables that would change the use of colour.
const COLOUR_VARIABLES: [&str; 5] = ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM"];

const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-peer-monitor");

/// The program on a terminal, and what the terminal shows.
struct Terminal {
    child: Child,
    pty: Pty,
    written: Vec<u8>,
    display: vt100::Parser,
}

impl Terminal {
    fn start(args: &[&str], rows: u16, columns: u16, env: &[(&str, &str)]) -> Self {
        let (pty, side) = pty_process::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let mut command = pty_process::Command::new(PROGRAM)
            .args(args)
            .kill_on_drop(true)
            .env("TERM", "xterm-256color");
        for variable in COLOUR_VARIABLES {
            command = command.env_remove(variable);
        }
        for (key, value) in env {
            command = command.env(key, value);
        }
        Self {
            child: command.spawn(side).unwrap(),
            pty,
            written: Vec::new(),
            display: vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0),
        }
    }

    /// Reads some output of the program; returns false at the end.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // Linux reports EIO once no process has the terminal open.
        let read = self.pty.read(&mut buffer).await.unwrap_or(0);
        self.written.extend(&buffer[..read]);
        self.display.process(&buffer[..read]);
        read > 0
    }

    /// Waits until `wanted` accepts the screen.
    async fn until(&mut self, wanted: impl Fn(&vt100::Screen) -> bool) {
        let reached = timeout(DEADLINE, async {
            while !wanted(self.display.screen()) {
                if !self.read().await {
                    return false;
                }
            }
            true
        });
        let reached = reached.await.unwrap_or(false);
        assert!(reached, "the terminal shows\n{}", self.text());
    }

    async fn key(&mut self, key: u8) {
        self.pty.write_all(&[key]).await.unwrap();
    }

    /// Waits for the end of the program and returns its exit code.
    async fn ended(&mut self) -> Option<i32> {
        let ended = async {
            while self.read().await {}
            self.child.wait().await.unwrap().code()
        };
        timeout(DEADLINE, ended).await.expect("the program ends")
    }

    fn text(&self) -> String {
        self.display.screen().contents()
    }

    fn has_colour(&self) -> bool {
        String::from_utf8_lossy(&self.written).contains("\u{1b}[38;")
    }
}

const CTRL_C: u8 = 3;

fn shows(text: &str) -> impl Fn(&vt100::Screen) -> bool {
    move |screen| screen.contents().contains(text)
}

/// The program without a terminal.
fn piped(args: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(PROGRAM);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for variable in COLOUR_VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn the_table_fits_the_width_of_the_terminal() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = format!("tcp://{}", fake.tcp);
    for (columns, accounts, evidence) in [(60, false, false), (80, true, false), (160, true, true)]
    {
        let mut terminal = Terminal::start(&["probe", &peer], 24, columns, &[]);
        assert_eq!(terminal.ended().await, Some(0));
        let text = terminal.text();
        assert_eq!(text.contains("ACCOUNTS"), accounts, "{text}");
        assert_eq!(text.contains("EVIDENCE"), evidence, "{text}");
        // Lines break at different places, because the durations differ.
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for fact in [" 7 ", "132", "query ", "key 0x4b4b4b4b"] {
            assert!(words.contains(fact), "{fact} at {columns}: {text}");
        }
    }
}

#[tokio::test]
async fn output_is_coloured_on_terminals_and_on_request() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = format!("tcp://{}", fake.tcp);
    for (more, env, expected) in [
        (&[][..], &[][..], true),
        (&[], &[("NO_COLOR", "1")], false),
        (&[], &[("TERM", "dumb")], false),
        (&["--color", "never"], &[], false),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
    ] {
        let args = [&["probe", &peer], more].concat();
        let mut terminal = Terminal::start(&args, 24, 80, env);
        assert_eq!(terminal.ended().await, Some(0));
        assert_eq!(terminal.has_colour(), expected, "{more:?} {env:?}");
    }
    for (more, expected) in [(&[][..], false), (&["--color", "always"], true)] {
        let args = [&["probe", &peer], more].concat();
        let output = piped(&args).output().await.unwrap();
        assert_eq!(output.stdout.contains(&0x1b), expected, "{more:?}");
    }
}

#[tokio::test]
async fn watch_redraws_in_place_and_ends_with_the_last_verdict() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = format!("tcp://{}", fake.tcp);
    let args = ["probe", "--watch=100ms", "--timeout", "2s", &peer];
    let mut terminal = Terminal::start(&args, 24, 80, &[]);
    let accounts = |accounts: i64| {
        move |screen: &vt100::Screen| {
            screen.alternate_screen() && screen.contents().contains(&format!(" {accounts}\n"))
        }
    };
    terminal.until(accounts(132)).await;
    fake.set(|script| script.accounts = 1_999_132);
    terminal.until(accounts(1_999_132)).await;
    fake.set(|script| script.accounts = 7);
    terminal.until(accounts(7)).await;
    assert_eq!(terminal.text().matches("PEER").count(), 1);
    assert_eq!(terminal.text().matches("key 0x4b4b4b4b").count(), 1);
    fake.set(|script| script.fault = Fault::Silent);
    terminal.until(shows("timeout: ")).await;
    assert!(
        !terminal.text().contains("key 0x4b4b4b4b"),
        "{}",
        terminal.text()
    );
    terminal.key(CTRL_C).await;
    assert_eq!(terminal.ended().await, Some(2));
    let screen = terminal.display.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor());
    assert!(
        screen.contents().contains("timeout: "),
        "the last table stays visible"
    );
}

#[tokio::test]
async fn watch_says_how_many_lines_do_not_fit() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = format!("tcp://{}", fake.tcp);
    let args = ["probe", "--watch=100ms", &peer, &peer, &peer, &peer];
    let mut terminal = Terminal::start(&args, 6, 200, &[]);
    terminal.until(shows("… 3 more lines")).await;
    assert!(
        terminal.text().contains("PEER"),
        "the top of the table is visible"
    );
    terminal.key(CTRL_C).await;
    assert_eq!(terminal.ended().await, Some(0));
}

#[tokio::test]
async fn watch_as_json_prints_a_line_per_poll_over_one_connection() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = format!("tcp://{}", fake.tcp);
    let mut child = piped(&["probe", "--json", "--watch=50ms", &peer])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for polls in 1..=3 {
        let line = timeout(DEADLINE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json[0]["health"], "up");
        assert_eq!(json[0]["polls"], polls);
    }
    interrupt(&child);
    assert_eq!(
        timeout(DEADLINE, child.wait())
            .await
            .unwrap()
            .unwrap()
            .code(),
        Some(0)
    );
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn watch_on_a_pipe_appends_and_ends_when_the_pipe_is_closed() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::QueryError("JUICE"));
    let peer = format!("tcp://{}", fake.tcp);
    let mut child = piped(&["probe", "--watch=50ms", &peer]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut headings = 0;
    while headings < 3 {
        let line = timeout(DEADLINE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(!line.contains('\u{1b}'), "{line:?}");
        headings += usize::from(line.starts_with("PEER"));
    }
    drop(lines);
    let ended = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(1), "the verdict of the last polls");
}

#[tokio::test]
async fn only_a_terminal_shows_which_peer_is_waited_for() {
    let (quick, slow) = (
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
    );
    slow.set(|script| script.fault = Fault::Silent);
    let (quick, slow) = (
        format!("tcp://{}", quick.tcp),
        format!("tcp://{}", slow.tcp),
    );
    let args = ["probe", "--timeout", "4s", &quick, &slow];
    let mut terminal = Terminal::start(&args, 24, 100, &[]);
    terminal
        .until(shows(&format!("1 of 2 answered, waiting for {slow}")))
        .await;
    assert_eq!(terminal.ended().await, Some(2));
    assert!(!terminal.text().contains("waiting"), "{}", terminal.text());
    let output = piped(&args).output().await.unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn texts_of_a_hostile_peer_are_escaped_on_the_terminal() {
    let fake = FakePeer::start(Script::default()).await;
    fake.set(|script| script.fault = Fault::QueryError("X\u{1b}[2J\u{202e}\u{9b}1mY"));
    let peer = format!("tcp://{}", fake.tcp);
    let args = ["probe", "--color", "never", &peer];
    let mut terminal = Terminal::start(&args, 24, 100, &[]);
    assert_eq!(terminal.ended().await, Some(1));
    let written = String::from_utf8(terminal.written.clone()).unwrap();
    let harmful = |c: char| (c.is_control() && c != '\r' && c != '\n') || c == '\u{202e}';
    assert!(!written.contains(harmful), "{written:?}");
    assert!(
        written.contains("X\\u{1b}[2J\\u{202e}\\u{9b}1mY"),
        "{written}"
    );
}

/// The endpoints of some peers of a network, counted from 1.
fn endpoints(network: &convex_simulator::Network, peers: &[usize]) -> Vec<String> {
    let endpoint = |peer: &usize| format!("tcp://{}", network.tcp(*peer));
    peers.iter().map(endpoint).collect()
}

/// Runs `probe` and returns its exit code and what it printed.
async fn probed(more: &[&str], endpoints: &[String]) -> (Option<i32>, String) {
    let endpoints = endpoints.iter().map(String::as_str);
    let args: Vec<&str> = ["probe"]
        .iter()
        .chain(more)
        .copied()
        .chain(endpoints)
        .collect();
    let output = piped(&args).output().await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn probe_says_how_the_peers_compare_and_fails_if_they_differ() {
    let network = network(4, &["fork=990:4", "refuse:3"], None).await;
    for (peers, expected, code) in [
        (
            &[1, 2][..],
            "2 of 2 peers compared up to block 999: equal",
            0,
        ),
        (&[1, 1], "", 0),
        (
            &[1, 2, 3],
            "2 of 3 peers compared up to block 999: equal; not compared: tcp://",
            2,
        ),
        (
            &[1, 3],
            "not compared: fewer than two of 2 peers showed a state",
            2,
        ),
        (
            &[1, 2, 4],
            "3 of 3 peers compared: differ at block 999: 0x",
            1,
        ),
    ] {
        let endpoints = endpoints(&network, peers);
        let (exit, table) = probed(&[], &endpoints).await;
        let last = table.lines().last().unwrap();
        if expected.is_empty() {
            assert!(!table.contains("compared"), "{table}");
        } else {
            assert!(last.starts_with(expected), "{table}");
        }
        assert_eq!(exit, Some(code), "{table}");
    }
    let endpoints = endpoints(&network, &[1, 2, 4]);
    let (exit, json) = probed(&["--json"], &endpoints).await;
    assert_eq!(exit, Some(1));
    let peers: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (peer, with) in [(0, [0, 1].as_slice()), (2, &[2])] {
        assert_eq!(
            peers[peer]["conditions"],
            serde_json::json!(["states_differ"])
        );
        assert_eq!(peers[peer]["standing"]["comparison"], "differs");
        let comparison = &peers[peer]["network_comparison"];
        assert_eq!(comparison["result"], "different");
        assert_eq!(comparison["compared"], 3);
        let names: Vec<&String> = with.iter().map(|peer| &endpoints[*peer]).collect();
        let hash = &peers[peer]["state"]["hash"];
        let state = comparison["states"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["hash"] == *hash);
        assert_eq!(state.unwrap()["peers"], serde_json::json!(names));
    }
}

/// Polls of such a network rarely meet the same block.
#[tokio::test]
async fn probe_samples_a_busy_network_until_all_peers_are_compared() {
    let network = network(5, &["late=300ms:2"], Some("200ms")).await;
    let endpoints = endpoints(&network, &[1, 2, 3, 4, 5]);
    // A busy machine may answer too late once.
    until("all peers are compared", async || {
        let (exit, table) = probed(&[], &endpoints).await;
        let last = table.lines().last().unwrap();
        assert_eq!(exit, Some(0), "{table}");
        last.starts_with("5 of 5 peers compared") && last.ends_with("equal")
    })
    .await;
}

#[tokio::test]
async fn each_round_of_a_watch_compares_the_peers() {
    let network = network(3, &[], None).await;
    let endpoints = endpoints(&network, &[1, 2, 3]);
    let mut args = vec!["probe", "--json", "--watch=50ms"];
    args.extend(endpoints.iter().map(String::as_str));
    let mut child = piped(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = timeout(DEADLINE, lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        for peer in json.as_array().unwrap() {
            let expected = serde_json::json!({
                "peers": 3, "answering": 3, "compared": 3, "result": "equal", "block": 999,
            });
            assert_eq!(peer["network_comparison"], expected);
        }
    }
    interrupt(&child);
    let ended = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
