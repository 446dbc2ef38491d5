//! What a reload of the running program covers: the rows of the table in docs/configuration.md.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::agent::value_of;
use crate::support::fake::{FakePeer, Script};
use crate::support::program::Program;
use crate::support::tls::acceptor;
use crate::support::until;

/// A program that trusts the root certificates in `roots`.
async fn start(config: &Path, roots: &Path) -> Program {
    let mut command = Program::command(config);
    command
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR");
    Program::launch(command).await
}

async fn value(program: &Program, series: &str) -> Option<f64> {
    value_of(&program.get("/metrics").await.1, series)
}

async fn wait_for(program: &Program, series: &str, expected: f64) {
    until(series, async || {
        value(program, series).await == Some(expected)
    })
    .await;
}

#[tokio::test]
async fn files_and_root_certificates_are_read_again_and_records_stay() {
    let peers = [(); 2].map(|()| acceptor("localhost", 2099, &[]));
    let [(by_roots, first), (by_file, second)] = peers;
    let by_roots = FakePeer::with_tls(Script::default(), Some(by_roots)).await;
    let by_file = FakePeer::with_tls(Script::default(), Some(by_file)).await;
    let plain = FakePeer::start(Script::default()).await;
    let (_, stranger) = acceptor("localhost", 2099, &[]);
    let dir = tempfile::tempdir().unwrap();
    let [config, roots, ca, token] =
        ["config.yml", "roots.pem", "ca.pem", "token"].map(|name| dir.path().join(name));
    for file in [&roots, &ca] {
        fs::write(file, stranger.pem()).unwrap();
    }
    fs::write(&token, "before").unwrap();
    let text = |interval: &str| {
        format!(
            "defaults: {{ interval: {interval}, timeout: 900ms, up_after: 1, retries: 0 }}\n\
             peers:\n\
             - {{ name: roots, endpoints: ['https://localhost:{}'] }}\n\
             - {{ name: file, endpoints: ['https://localhost:{}'], ca_file: ca.pem }}\n\
             - {{ name: plain, endpoints: ['http://{}'], bearer_token_file: token }}\n",
            by_roots.http.port(),
            by_file.http.port(),
            plain.http,
        )
    };
    fs::write(&config, text("1s")).unwrap();
    let program = start(&config, &roots).await;
    let up = |peer: &str| format!("convex_peer_up{{peer=\"{peer}\",network=\"default\"}}");
    let polls =
        |peer: &str| format!("convex_peer_polls_total{{peer=\"{peer}\",network=\"default\"}}");
    for (peer, expected) in [("roots", 0.0), ("file", 0.0), ("plain", 1.0)] {
        wait_for(&program, &up(peer), expected).await;
    }
    let shows = |token: &str| {
        let heads = plain.heads();
        heads
            .iter()
            .any(|head| head.to_lowercase().contains(&format!("bearer {token}")))
    };
    assert!(shows("before") && !shows("after"));

    fs::write(&roots, first.pem()).unwrap();
    fs::write(&ca, second.pem()).unwrap();
    fs::write(&token, "after").unwrap();
    fs::write(&config, text("2s")).unwrap();
    let before = value(&program, &polls("plain")).await.unwrap();
    program.signal(Signal::HUP);
    for peer in ["roots", "file", "plain"] {
        wait_for(&program, &up(peer), 1.0).await;
    }
    until("the new token is sent", async || shows("after")).await;
    assert!(value(&program, &polls("plain")).await.unwrap() >= before);
    let failures = "convex_peer_poll_failures_total{peer=\"roots\",network=\"default\"}";
    assert!(
        value(&program, failures).await.unwrap() > 0.0,
        "counted before the reload"
    );
}

#[test]
fn the_table_of_the_documentation_names_what_is_tested() {
    let docs = include_str!("../../../docs/configuration.md");
    let table = docs
        .split("| what changed | what a reload does |")
        .nth(1)
        .unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let first_cell = |line: &str| line.split('|').nth(1).unwrap().trim().to_owned();
    let rows: Vec<String> = rows.map(first_cell).collect();
    // Where each row is tested.
    let tested = [
        (
            "a key of a peer, in `defaults` or its own",
            "here, fleet::reload",
        ),
        (
            "files of a peer: `bearer_token_file`, `headers_file`, `ca_file`",
            "here",
        ),
        ("a receiver, or a file that it names", "alerting::delivery"),
        (
            "another agent of `vantages`, or a file that it names",
            "vantages, fleet::opinions",
        ),
        ("the file `web.config_file`", "web::listener"),
        ("certificate and key of the listener", "web::listener"),
        ("root certificates of the system", "here"),
        (
            "resolver configuration, `/etc/hosts`",
            "nothing of ours to test",
        ),
        ("environment variables", "nothing to test"),
        ("keys `networks[].slo`, `peers[].service`", "fleet::service"),
        (
            "keys `networks[].canary`, or the key file",
            "survey::canary",
        ),
        (
            "keys `listen`, `status.listen`, `external_url`, `state_dir`",
            "agent::serving",
        ),
    ];
    assert_eq!(rows, tested.map(|(row, _)| row));
}
