//! The program on the command line: output and exit codes.

use std::process::{Command, Output, Stdio};

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::program::Program;

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

async fn run_async(args: Vec<String>) -> (Option<i32>, String, String) {
    let run = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[test]
fn the_committed_metric_reference_is_current() {
    let (code, reference, _) = run(&["metrics-reference"]);
    assert_eq!(code, Some(0));
    let committed = include_str!("../../../docs/metrics.md");
    assert!(
        reference == committed,
        "docs/metrics.md differs: cargo run -- metrics-reference > docs/metrics.md"
    );
}

#[test]
fn an_invalid_configuration_exits_2_before_a_port_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.yml");
    std::fs::write(
        &file,
        "listen: 127.0.0.1:1\npeers: [{ name: a, endpoints: ['localhost:8080'] }]\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["--config", file][..],
        &["run", "--config", file],
        &["check-config", file],
    ] {
        let (code, _, errors) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {errors}");
        assert!(
            errors.contains("bad.yml:2:") && errors.contains("did you mean http://localhost:8080?"),
            "{errors}"
        );
    }
}

#[test]
fn a_port_in_use_exits_1_with_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, _, errors) = run(&["run", "--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&format!("cannot listen on {address}")),
        "{errors}"
    );
}

#[tokio::test]
async fn the_exit_code_of_probe_is_the_verdict() {
    let fake = FakePeer::start(Script::default()).await;
    let tcp = format!("tcp://{}", fake.tcp);
    let probe = |more: &[&str]| {
        let mut args = vec!["probe".to_owned(), tcp.clone()];
        args.extend(more.iter().map(|text| (*text).to_owned()));
        run_async(args)
    };
    let (code, table, _) = probe(&[]).await;
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains(" 7 ") && table.contains("132"), "{table}");
    let (code, json, _) = probe(&["--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json[0]["health"]), (Some(0), &"up".into()));
    fake.set(|script| script.fault = Fault::QueryError("JUICE"));
    assert_eq!(probe(&[]).await.0, Some(1), "degraded");
    fake.set(|script| script.fault = Fault::Silent);
    let (code, table, _) = probe(&["--timeout", "200ms"]).await;
    assert_eq!(code, Some(2), "down");
    assert!(table.contains("timeout"), "{table}");
    for usage in [
        &["probe", "localhost:18888"][..],
        &["probe", "--timeout", "0s"],
        &["probe", "--no-such"],
    ] {
        assert_eq!(run(usage).0, Some(64), "{usage:?}");
    }
}

#[tokio::test]
async fn healthcheck_checks_a_running_agent() {
    let (code, _, errors) = run_async(vec![
        "healthcheck".to_owned(),
        "--url".to_owned(),
        "http://127.0.0.1:1/-/healthy".to_owned(),
    ])
    .await;
    assert!(
        code == Some(1) && errors.contains("no answer from"),
        "{errors}"
    );
    let fake = FakePeer::start(Script::default()).await;
    let config = format!(
        "peers: [{{ name: a, endpoints: ['tcp://{}'] }}]\n",
        fake.tcp
    );
    let agent = Agent::start(&config).await;
    for (path, expected) in [("/-/healthy", 0), ("/no-such-route", 1)] {
        let url = format!("http://{}{path}", agent.address);
        let (code, ..) = run_async(vec!["healthcheck".to_owned(), "--url".to_owned(), url]).await;
        assert_eq!(code, Some(expected), "{path}");
    }
}

#[tokio::test]
async fn signals_reload_and_stop_the_agent() {
    let fake = FakePeer::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yml");
    std::fs::write(
        &file,
        format!(
            "peers: [{{ name: a, endpoints: ['tcp://{}'] }}]\n",
            fake.tcp
        ),
    )
    .unwrap();
    let mut agent = Program::start(&file).await;
    let pid = agent.child.id().unwrap().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    };
    signal("-HUP");
    agent.until("configuration reloaded").await;
    std::fs::write(&file, "peers: 1\n").unwrap();
    signal("-HUP");
    agent.until("the new configuration was rejected").await;
    signal("-TERM");
    agent.until("stopping").await;
    let ended = tokio::time::timeout(DEADLINE, agent.child.wait()).await;
    assert_eq!(
        ended.expect("the agent is stopping").unwrap().code(),
        Some(0)
    );
}

/// Returns the names of the visible commands.
fn commands() -> Vec<String> {
    let definition = convex_peer_monitor::cli::definition();
    let visible = definition
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    visible
        .map(|command| command.get_name().to_owned())
        .collect()
}

#[test]
fn completions_contain_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        for command in commands() {
            assert!(script.contains(&command), "{command} in {shell}");
        }
        assert!(script.contains("write-config"), "options in {shell}");
    }
    assert_eq!(run(&["completions", "no-such-shell"]).0, Some(2));
}

#[test]
fn the_program_and_each_command_have_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let (code, _, errors) = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{errors}");
    let (_, on_stdout, _) = run(&["man"]);
    let read = |name: &str| std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
    assert_eq!(read("convex-peer-monitor"), on_stdout);
    for command in commands() {
        let name = format!("convex-peer-monitor-{command}");
        assert!(read(&name).contains(".SH SYNOPSIS"), "{name}");
        assert!(on_stdout.contains(&name.replace('-', "\\-")), "{name}");
    }
    let file = dir.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let (code, _, errors) = run(&["man", file.to_str().unwrap()]);
    assert!(
        code == Some(1) && errors.contains("cannot write manual pages to"),
        "{errors}"
    );
}

/// A shell that runs the program with these descriptor limits on a configuration with twenty peers.
fn limited(dir: &std::path::Path, soft: u32, hard: u32, args: &str) -> Command {
    let peer = |i| format!("- {{ name: p{i}, endpoints: ['tcp://127.0.0.1:9'] }}\n");
    let peers: String = (0..20).map(peer).collect();
    let file = dir.join("c.yml");
    std::fs::write(&file, format!("peers:\n{peers}")).unwrap();
    let program = env!("CARGO_BIN_EXE_convex-peer-monitor");
    let script = format!(
        "ulimit -S -n {soft} && ulimit -H -n {hard} && exec '{program}' {args} '{}'",
        file.display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    shell
}

#[tokio::test]
async fn the_descriptor_limit_is_raised_at_the_start_and_logged() {
    const RUN: &str = "run --listen 127.0.0.1:0 --log-format json --config";
    let dir = tempfile::tempdir().unwrap();
    let command = limited(dir.path(), 64, 700, RUN);
    let mut agent = Program::launch(command.into()).await;
    let sufficient = "needs 660 file descriptors; the limit of 700 is enough";
    let line = agent.until(sufficient).await;
    assert!(line.contains("\"INFO\""), "{line}");
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("process_max_fds 700\n"), "{metrics}");

    let command = limited(dir.path(), 64, 652, RUN);
    let mut agent = Program::launch(command.into()).await;
    let line = agent.until("but the limit is 652").await;
    for text in [
        "\"WARN\"",
        "LimitNOFILE=660",
        "ulimit -n 660",
        "--shard",
        "12 of 20 connections",
    ] {
        assert!(line.contains(text), "{text}: {line}");
    }
}

#[test]
fn check_config_predicts_whether_the_descriptor_limit_suffices() {
    let dir = tempfile::tempdir().unwrap();
    let check = |hard, args| {
        let output = limited(dir.path(), 64, hard, args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "a low limit is no error");
        String::from_utf8(output.stdout).unwrap()
    };
    let sufficient = check(700, "check-config");
    let raised =
        "needs 660 file descriptors; the limit of 64 is raised at startup to 700, which is enough";
    assert!(sufficient.contains(raised), "{sufficient}");
    let insufficient = check(652, "check-config");
    assert!(
        insufficient.contains("but the limit is 652; set `LimitNOFILE=660`"),
        "{insufficient}"
    );
    // A shard of so small a fleet polls all peers, those of other shards less often.
    let shard = check(700, "check-config --shard 1/5");
    let own: usize = shard
        .split("peers: ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        own < 20 && shard.contains(&format!("and {} of other shards", 20 - own)),
        "{shard}"
    );
}

#[test]
fn a_reader_that_closes_its_end_early_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let [valid, faulty] = ["valid.yml", "faulty.yml"].map(|name| dir.path().join(name));
    std::fs::write(&valid, "peers: [{ name: a, endpoints: [http://a] }]\n").unwrap();
    std::fs::write(&faulty, "peers: 1\n").unwrap();
    let [valid, faulty] = [&valid, &faulty].map(|path| path.to_str().unwrap());
    for (args, expected) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["metrics-reference"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["check-config", "--schema"], 0),
        (&["check-config", valid], 0),
        (&["check-config", "--json", valid], 0),
        (&["check-config", "--print", valid], 0),
        (&["check-config", "--json", faulty, valid], 2),
        (&["decode", "1101"], 0),
        (&["probe", "tcp://127.0.0.1:1"], 2),
        (&["probe", "--json", "tcp://127.0.0.1:1"], 2),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program(args).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {said}");
        assert!(said.is_empty(), "{args:?}: {said}");
    }
}
