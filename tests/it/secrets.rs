//! Secrets in every field of a configuration that may have one, and in none of the outputs of the
//! agent.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use tokio::process::Child;

use crate::support::authority::Authority;
use crate::support::client::Client;
use crate::support::fake::{FakePeer, Script};
use crate::support::program::file_contains;

/// Part of every secret and of nothing else.
const MARK: &str = "pl4nted";

/// The seed of the private key of a canary's account.
const SEED: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77";

/// Routes of an agent with a peer called `own`.
const ROUTES: [&str; 31] = [
    "/",
    "/peers/own",
    "/peers/own/charts",
    "/peers/own/events",
    "/peers/own/diagnostics",
    "/runbooks/ConvexPeerDown?peer=own",
    "/peers/none",
    "/metrics",
    "/config",
    "/configuration",
    "/alerts",
    "/events",
    "/networks",
    "/networks/main",
    "/-/healthy",
    "/-/ready",
    "/runbooks/",
    "/badge/own.svg",
    "/nothing",
    "/api/v1/peers",
    "/api/v1/peers/own",
    "/api/v1/peers/none",
    "/api/v1/peers/own/history",
    "/api/v1/peers/own/polls",
    "/api/v1/peers/own/transcripts",
    "/api/v1/peers/refused/transcripts",
    "/api/v1/networks",
    "/api/v1/networks/main",
    "/api/v1/events?after=0",
    "/api/v1/openapi.json",
    "/api/v1/nothing",
];

/// Writes `text` to a file that only its owner can read.
fn write_secret(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Returns a configuration with a secret in every field that may have one, and writes its files.
fn config_with_secrets(dir: &Path, fake: &FakePeer, authority: &Authority) -> String {
    let identity = authority.issue("localhost");
    write_secret(dir, "cert.pem", &identity.certificate);
    write_secret(dir, "key.pem", &identity.key);
    write_secret(dir, "headers", &format!("X-Key: {MARK}-headers-file\n"));
    write_secret(dir, "token", &format!("{MARK}-token-file\n"));
    write_secret(dir, "canary.key", SEED);
    write_secret(dir, "password", &format!("{MARK}-password-file\n"));
    write_secret(dir, "url", &format!("http://127.0.0.1:1/{MARK}-url-file\n"));
    let hash = bcrypt::hash(format!("{MARK}-user"), 4).unwrap();
    write_secret(
        dir,
        "web.yml",
        &format!(
            "tls_server_config: {{ cert_file: cert.pem, key_file: key.pem }}\nbasic_auth_users: {{ ann: '{hash}' }}\n"
        ),
    );
    let url = |of: &str| format!("http://127.0.0.1:1/{MARK}-{of}?token={MARK}-query");
    format!(
        "state_dir: {state}\nweb: {{ config_file: web.yml }}\n\
         self_check: {{ references: ['http://127.0.0.1:1/{MARK}-reference'] }}\n\
         defaults: {{ interval: 1s, timeout: 900ms, retries: 0, down_after: 1 }}\nnetworks: [{{ name: main, genesis: '{genesis}', canary: {{ account: 7, key_file: canary.key, daily_budget_cvm: 1 }} }}]\npeers:\n\
         - {{ name: own, endpoints: ['http://{http}/{MARK}-path', 'tcp://{tcp}'], headers: {{ X-Key: {MARK}-header }}, bearer_token: {MARK}-token }}\n\
         - {{ name: files, endpoints: ['http://{http}/{MARK}-files/'], headers_file: headers, bearer_token_file: token }}\n\
         - {{ name: refused, endpoints: ['http://127.0.0.1:1/{MARK}-refused'], headers: {{ Authorization: 'Basic {MARK}' }} }}\n\
         notify:\n  alertmanagers:\n\
         \x20 - {{ name: am, url: '{am}', headers: {{ X-Scope: {MARK}-scope }}, bearer_token: {MARK}-am }}\n\
         \x20 - {{ name: am-files, url_file: url, headers_file: headers, bearer_token_file: token }}\n  webhooks:\n\
         \x20 - {{ name: hook, url: '{hook}', min_severity: info, basic_auth: {{ username: me, password: {MARK}-basic }} }}\n\
         \x20 - {{ name: hook-files, url_file: url, basic_auth: {{ username: me, password_file: password }} }}\n  receivers:\n\
         \x20 - {{ name: discord, type: discord, url: '{discord}' }}\n\
         \x20 - {{ name: slack, type: slack, url: 'http://127.0.0.1:1', token: {MARK}-slack, channel: C1 }}\n\
         \x20 - {{ name: slack-hook, type: slack, url: '{slack}' }}\n\
         \x20 - {{ name: telegram, type: telegram, url: 'http://127.0.0.1:1', token: '1:{MARK}', chat_id: 1 }}\n\
         \x20 - {{ name: ntfy, type: ntfy, url: 'http://127.0.0.1:1', topic: {MARK}, token: {MARK}-ntfy }}\n\
         \x20 - {{ name: pages, type: pagerduty, url: 'http://127.0.0.1:1', routing_key: {MARK:0<32} }}\n  \
         heartbeat: {{ url: '{heart}', interval: 1s, headers: {{ X-Key: {MARK}-heart }} }}\n",
        state = dir.join("state").display(),
        // The wrong network is reported at once.
        genesis = "11".repeat(32),
        http = fake.http,
        tcp = fake.tcp,
        am = url("am"),
        hook = url("hook"),
        discord = url("discord"),
        slack = url("slack-hook"),
        heart = url("heart"),
    )
}

/// Every text that gives a secret away.
struct Secrets {
    texts: Vec<String>,
}

impl Secrets {
    fn of(dir: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let key = read("key.pem");
        let key = key.lines().filter(|line| !line.starts_with("-----"));
        let web = read("web.yml");
        let hash = web.split('\'').nth(1).unwrap();
        // As in a header.
        let base64 = headers::Authorization::basic("ann", &format!("{MARK}-user"));
        let base64 = headers::authorization::Credentials::encode(&base64.0);
        let mut texts: Vec<String> = key.map(str::to_owned).collect();
        texts.extend([
            MARK.to_owned(),
            SEED.to_owned(),
            hash.to_owned(),
            base64
                .to_str()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned(),
        ]);
        Self { texts }
    }

    fn are_not_in(&self, output: &str, source: &str) {
        for secret in &self.texts {
            let found = output.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{source} contains {secret}");
        }
    }
}

/// Runs the agent with the most verbose log until it has logged each receiver, and returns its
/// address.
async fn run(config: &Path, log: &Path) -> (Child, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
    let agent = command
        .args(["run", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--log-level", "trace", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(fs::File::create(log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    for receiver in [
        "am",
        "am-files",
        "hook",
        "hook-files",
        "discord",
        "slack",
        "slack-hook",
        "telegram",
        "ntfy",
        "pages",
        "heartbeat",
    ] {
        file_contains(log, &format!("\"receiver\":\"{receiver}\"")).await;
    }
    let logged = fs::read_to_string(log).unwrap();
    let started = logged.lines().find(|line| line.contains("\"monitoring\""));
    let started: serde_json::Value = serde_json::from_str(started.unwrap()).unwrap();
    let port = started["listen"].as_str().unwrap().rsplit(':').next();
    (agent, format!("https://localhost:{}", port.unwrap()))
}

/// Returns the configuration with invalid secrets.
fn invalid(config: &str) -> String {
    let mut invalid = config.to_owned();
    for (right, wrong) in [
        (
            format!("'http://127.0.0.1:1/{MARK}-refused'"),
            format!(
                "'http://127.0.0.1:1/{MARK}?token={MARK}', 'http://me:{MARK}@host', '127.0.0.1/{MARK}', 'tcp://host/{MARK}'"
            ),
        ),
        (
            format!("references: ['http://127.0.0.1:1/{MARK}-reference']"),
            format!("references: 'http://127.0.0.1:1/{MARK}'"),
        ),
        (
            "http://127.0.0.1:1/pl4nted-am".to_owned(),
            "ftp://127.0.0.1:1/pl4nted-am".to_owned(),
        ),
        (format!("{MARK}-token }}"), format!("'{MARK} token' }}")),
        (format!("X-Key: {MARK}-header"), format!("X-Key: '{MARK}ö'")),
        (
            "Authorization: 'Basic".to_owned(),
            "'no header': 'Basic".to_owned(),
        ),
    ] {
        assert!(invalid.contains(&right), "{right}");
        invalid = invalid.replace(&right, &wrong);
    }
    invalid
}

#[tokio::test]
async fn no_output_of_the_agent_contains_a_secret_of_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakePeer::start(Script::default()).await;
    let authority = Authority::new();
    let config = config_with_secrets(dir.path(), &fake, &authority);
    let file = dir.path().join("config.yml");
    write_secret(dir.path(), "config.yml", &config);
    let secrets = Secrets::of(dir.path());

    let check = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let output = command
            .arg("check-config")
            .args(args)
            .arg(&file)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let probe = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let output = command.arg("probe").args(args).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let path = file.to_str().unwrap();
    for args in [&["--config", path][..], &["--config", path, "--json"]] {
        let text = probe(args);
        assert!(text.contains("refused"), "{text}");
        secrets.are_not_in(&text, "probe");
    }
    for endpoint in [
        "http://127.0.0.1:1/",
        "http://127.0.0.1:1/?token=",
        "127.0.0.1:1/",
    ] {
        secrets.are_not_in(&probe(&[&format!("{endpoint}{MARK}")]), "probe");
    }
    for args in [&["--print"][..], &["--print", "--json"]] {
        let (ok, text) = check(args);
        assert!(ok && text.contains("<secret>"), "{text}");
        assert!(!text.contains("every user of this host"), "{text}");
        secrets.are_not_in(&text, "check-config");
    }

    let log = dir.path().join("log");
    let (mut agent, site) = run(&file, &log).await;
    let client = Client::new(&authority, None);
    let ann = ("ann".to_owned(), format!("{MARK}-user"));
    let send = async |method, route: &str, authenticated: bool| {
        let json = [("accept", "application/json")];
        let url = format!("{site}{route}");
        let answer = client
            .send(method, &url, &json, authenticated.then_some(&ann))
            .await
            .unwrap();
        let allowed = authenticated || route.starts_with("/-/");
        assert_eq!(
            answer.status() == StatusCode::UNAUTHORIZED,
            !allowed,
            "{route}"
        );
        let headers = format!("{:?}", answer.headers());
        headers + &answer.text().await.unwrap()
    };
    for route in ROUTES {
        for authenticated in [true, false] {
            secrets.are_not_in(&send(Method::GET, route, authenticated).await, route);
        }
    }
    for route in ["/api/v1/peers/refused/poll", "/-/reload"] {
        secrets.are_not_in(&send(Method::POST, route, true).await, route);
    }
    // Errors about secrets do not contain them.
    write_secret(dir.path(), "config.yml", &invalid(&config));
    write_secret(
        dir.path(),
        "web.yml",
        &format!("basic_auth_users: {{ ann: {MARK} }}\n"),
    );
    let (ok, text) = check(&[]);
    assert!(!ok && text.lines().count() >= 6, "{text}");
    secrets.are_not_in(&text, "check-config");
    let answer = send(Method::POST, "/-/reload", true).await;
    assert!(answer.contains("basic_auth_users.ann"), "{answer}");
    secrets.are_not_in(&answer, "a reload");
    // The log is written by a thread of its own.
    file_contains(&log, "the new configuration was rejected").await;
    agent.kill().await.unwrap();
    let log = fs::read_to_string(&log).unwrap();
    secrets.are_not_in(&log, "the log");
    let mut files = 0;
    for entry in fs::read_dir(dir.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        secrets.are_not_in(
            &String::from_utf8_lossy(&bytes),
            &path.display().to_string(),
        );
        files += 1;
    }
    assert!(files >= 2, "a state file and a history");
}
