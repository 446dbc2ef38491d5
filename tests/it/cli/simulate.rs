//! The `simulate` command.

use convex_peer_monitor::config::{self, Peer};
use convex_peer_monitor::fleet::LastPoll;
use convex_simulator::FAULT_KINDS;
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::contract::{prober, verdict};

/// The command `simulate` with these arguments.
fn program(args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    command.arg("simulate").args(args);
    command
}

#[test]
fn an_invalid_fault_is_refused_with_the_list_before_a_port_is_bound() {
    for (args, part) in [
        (
            &["--fault", "explode:1"][..],
            "expected one of: stall, fork[=BLOCK], minority-fork[=BLOCK]",
        ),
        (
            &["--fault", "tarpit:1", "--fault", "reset:all"],
            "peer 1 cannot have tarpit and reset at the same time",
        ),
        (
            &["--peers", "3", "--fault", "stall:4"],
            "peer 4 does not exist; there are 3 peers",
        ),
        (&["--peers", "0"], "a network needs at least 1 peer"),
        (&["--traffic", "1ms"], "is not a period of at least 10ms"),
        (
            &["--traffic", "random"],
            "expected [random:]PERIOD[:PEERS], such as 1s, random:30s or 1s:2,5",
        ),
        (
            &[
                "--peers",
                "3",
                "--write-config",
                "/dev/null",
                "--watch",
                "4",
            ],
            "--watch: peer 4 does not exist; there are 3 peers",
        ),
        (
            &["--registered", "many"],
            "expected COUNT[:CVM], such as 20000 or 1500:0.01",
        ),
        (
            &["--account", "/no/such/key"],
            "--account: the key file /no/such/key cannot be read: No such file",
        ),
    ] {
        let output = program(args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(part), "{args:?}: {errors}");
    }
}

#[test]
fn every_kind_of_fault_is_in_the_help_and_in_the_guide() {
    let help = program(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let guide = include_str!("../../../docs/simulate.md");
    for (kind, _) in FAULT_KINDS {
        assert!(help.contains(kind), "{kind}: {help}");
        assert!(guide.contains(&format!("| `{kind}` |")), "{kind}");
    }
}

#[test]
fn too_low_a_descriptor_limit_is_reported_with_the_setting_to_change() {
    let program = env!("CARGO_BIN_EXE_convex-peer-monitor");
    let limited = format!("ulimit -n 100 && exec {program} simulate --peers 500");
    let output = std::process::Command::new("sh")
        .args(["-c", &limited])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("500 peers needs 2064 file descriptors"),
        "{errors}"
    );
    assert!(errors.contains("LimitNOFILE=2064"), "{errors}");
    assert_eq!(
        output.status.code(),
        Some(1),
        "it cannot listen on all ports: {errors}"
    );
}

#[tokio::test]
async fn the_command_writes_a_configuration_and_serves_until_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sim.yml");
    let key = dir.path().join("canary.key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    let account = format!("{}:0.5", key.display());
    let mut base = 20_000 + std::process::id() % 3000 * 4;
    let (mut process, mut lines) = timeout(DEADLINE, async {
        loop {
            // Try others if these are taken. They are below the range of ephemeral ports.
            base += 4;
            let first = base.to_string();
            let args = [
                "--peers",
                "2",
                "--listen-base",
                &first,
                "--write-config",
                file.to_str().unwrap(),
                "--account",
                &account,
            ];
            let mut process = tokio::process::Command::from(program(&args))
                .stdout(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = tokio::io::BufReader::new(process.stdout.take().unwrap()).lines();
            if let Some(line) = lines.next_line().await.unwrap() {
                assert!(
                    line.starts_with("simulated network of 2 peers, genesis 0x"),
                    "{line}"
                );
                return (process, lines);
            }
        }
    })
    .await
    .unwrap();
    let expected = format!("  account #134 for {account}");
    while lines
        .next_line()
        .await
        .unwrap()
        .expect("the account is told")
        != expected
    {}
    let config = config::load(&file, &|_| None).unwrap();
    let [first, second] = &config.peers[..] else {
        panic!("not two peers");
    };
    let port = |peer: &Peer, i: usize| peer.endpoints[i].port();
    assert_eq!(
        port(first, 0),
        port(first, 1) + 1,
        "HTTP is on the port after TCP"
    );
    assert_eq!(port(second, 1), port(first, 1) + 2);
    for peer in [first, second] {
        let record = verdict(peer, &prober(peer).poll().await);
        assert_eq!(record.last_poll, LastPoll::Good, "{:?}", record.conditions);
    }
    let pid = process.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(pid)
            .status()
            .unwrap()
            .success()
    );
    let status = timeout(DEADLINE, process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
