//! Evidence of a fork, kept by an agent and read on the command line.

use std::path::Path;
use std::process::{Command, Output};

use convex_peer_monitor::history::EvidenceStore;

use crate::support::agent::Agent;
use crate::support::simulated::network;
use crate::support::until;

fn evidence(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    let output = command.arg("evidence").args(args).output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Writes a configuration with this state directory.
fn configuration(dir: &Path, state_dir: &Path) -> String {
    let file = dir.join("config.yml");
    let text = format!(
        "state_dir: {}\npeers: [{{ name: a, endpoints: ['tcp://127.0.0.1:1'] }}]\n",
        state_dir.display()
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Returns the ids of the evidence of a condition.
fn kept(state_dir: &Path, condition: &str) -> Vec<String> {
    let files = EvidenceStore::in_state_dir(state_dir).list().unwrap().files;
    let ids = files.into_iter().map(|file| file.id);
    ids.filter(|id| id.contains(condition)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_is_kept_exported_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(4, &["fork=990:2"], Some("500ms")).await;
    let state_dir = dir.path().join("state");
    let config = network.config().replace(
        "name: simulated,",
        "name: simulated, consensus_interval: 10s,",
    );
    let config = format!("state_dir: {}\n{config}", state_dir.display());
    let agent = Agent::start(&config).await;
    let config = configuration(dir.path(), &state_dir);
    until("the evidence is kept", async || {
        let conditions = ["forked", "diverged"];
        conditions.map(|condition| kept(&state_dir, condition).len()) == [1, 1]
    })
    .await;
    agent.stop().await;
    let (code, table, errors) = evidence(&["list", "--config", &config]);
    assert_eq!(code, Some(0), "{table}{errors}");
    for line in table.lines().skip(1) {
        assert!(line.contains(" simulated  sim-2  "), "{table}");
        assert!(line.ends_with(" valid"), "{table}");
    }

    let id = &kept(&state_dir, "forked")[0];
    let (code, text, _) = evidence(&["export", id, "--config", &config]);
    assert_eq!(code, Some(0));
    let exported: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exported["condition"], "forked");
    assert_eq!(exported["compared"][0]["what"], "different_blocks");
    assert_eq!(exported["compared"][0]["index"], 990);
    assert_eq!(exported["walks"].as_array().unwrap().len(), 4);
    assert_eq!(exported["walks"][0]["peer"], "sim-2");

    let file = dir.path().join("received.json");
    let path = file.to_str().unwrap();
    let (code, ..) = evidence(&["export", id, "--output", path, "--config", &config]);
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let (code, list, _) = evidence(&["list", path]);
    assert!(code == Some(0) && list.contains(" valid\n"), "{list}");
    let message = exported["orders"][0]["message"].as_str().unwrap();
    let other = message.replacen(&message[100..104], "0000", 1);
    std::fs::write(&file, text.replace(message, &other)).unwrap();
    let (code, list, _) = evidence(&["list", path]);
    assert_eq!(code, Some(1), "{list}");
    assert!(list.contains("not valid: order 0x"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finality_that_went_back_is_kept_with_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(4, &["recede=5:2:20s"], None).await;
    let state_dir = dir.path().join("state");
    let config = format!(
        "state_dir: {}\ndefaults: {{ interval: 5s, timeout: 4900ms }}\n\
         verdicts: {{ stall_after: 3s }}\n{}",
        state_dir.display(),
        network.config()
    );
    let agent = Agent::start(&config).await;
    let config = configuration(dir.path(), &state_dir);
    until("the evidence is kept", async || {
        !kept(&state_dir, "receding").is_empty()
    })
    .await;
    agent.stop().await;
    let id = &kept(&state_dir, "receding")[0];
    let (_, text, _) = evidence(&["export", id, "--config", &config]);
    let exported: serde_json::Value = serde_json::from_str(&text).unwrap();
    let finality = serde_json::json!({ "what": "finality", "before": 1000, "now": 995 });
    assert_eq!(exported["compared"][0], finality);
    // The order that the peer signs now, and those that the others hold.
    let orders = exported["orders"].as_array().unwrap();
    let key = network.key(2).to_string();
    let own = orders.iter().filter(|order| order["key"] == *key);
    let points: Vec<_> = own.map(|order| order["points"][3].clone()).collect();
    assert!(points.contains(&995.into()), "{points:?}");
}

#[test]
fn what_cannot_be_listed_or_exported_is_said_with_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), &dir.path().join("state"));
    let without = dir.path().join("without.yml");
    let peers = "peers: [{ name: a, endpoints: ['tcp://127.0.0.1:1'] }]\n";
    std::fs::write(&without, peers).unwrap();
    let invalid = dir.path().join("invalid.yml");
    std::fs::write(&invalid, "peers: 1\n").unwrap();
    let foreign = dir.path().join("foreign.json");
    std::fs::write(&foreign, "{}").unwrap();
    let [without, invalid, foreign] =
        [&without, &invalid, &foreign].map(|path| path.to_str().unwrap());
    let id = "20260101T000000Z-forked-00112233";
    for (args, code, part) in [
        (&["list", "--config", &config][..], 0, "no evidence\n"),
        (
            &["export", id, "--config", &config],
            1,
            "`convex-peer-monitor evidence list` prints the ids",
        ),
        (
            &["export", "../state", "--config", &config],
            1,
            "there is no evidence \"../state\" in",
        ),
        (
            &["list", "--config", without],
            1,
            "without.yml sets no state_dir, so no evidence is kept",
        ),
        (&["list", "--config", invalid], 2, "invalid.yml:1:"),
        (
            &["list", foreign],
            1,
            "foreign  -     -        -     -          -      truncated or not an evidence file",
        ),
        (&["list", "/no/such.json"], 1, "cannot read /no/such.json"),
        (&["show"], 2, "unrecognized subcommand 'show'"),
        (&[], 2, "Usage: convex-peer-monitor evidence <COMMAND>"),
    ] {
        let (found, out, errors) = evidence(args);
        assert_eq!(found, Some(code), "{args:?}: {out}{errors}");
        assert!(
            out.contains(part) || errors.contains(part),
            "{args:?}: {out}{errors}"
        );
    }
}
