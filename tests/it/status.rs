//! The status page for the public: it shows what was chosen, and nothing else of the agent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use convex_client::{HttpOptions, http_client};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::ports::ClosedPort;
use crate::support::{DEADLINE, until};

/// Part of every name and text that was not chosen, and of nothing else.
const MARK: &str = "pl4nted";

/// What a peer answers to the query.
const HOSTILE: &str = "pl4nted <script>alert(1)</script> 10.1.2.3 \u{202e}";

/// Returns an address on loopback that no other test listens at.
fn status_address() -> String {
    static USED: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let used = USED.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{low}.{used}:18890", 64 | high >> 2)
}

/// An agent with a status page, and what it watches.
struct Stage {
    agent: Agent,
    dir: tempfile::TempDir,
    /// URL of the status page.
    url: String,
    fake: FakePeer,
    closed: ClosedPort,
}

const BOTH: &str = "{ peer: pl4nted-one, name: 'Gateway \"One\" & <Co>', id: one }, { peer: '<b>pl4nted-two', name: Gateway Two }";

impl Stage {
    async fn start() -> Self {
        let script = Script {
            fault: Fault::Says(HOSTILE.to_owned()),
            ..Script::default()
        };
        let (fake, closed) = (FakePeer::start(script).await, ClosedPort::new());
        let dir = tempfile::tempdir().unwrap();
        let listen = status_address();
        let config = config(&fake, &closed, dir.path(), &listen, BOTH);
        Self {
            agent: Agent::start(&config).await,
            dir,
            url: format!("http://{listen}"),
            fake,
            closed,
        }
    }

    /// Sends a request to the listener of the status page.
    async fn public(&self, method: Method, path: &str) -> reqwest::Response {
        let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
        let request = client.request(method, format!("{}{path}", self.url));
        request.send().await.unwrap()
    }

    /// Sends a request with JSON to the agent's own listener.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send_as(method, path, body, &[]).await
    }

    async fn send_as(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
        let mut request = client.request(method, format!("http://{}{path}", self.agent.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap(),
        )
    }

    async fn status(&self) -> Value {
        self.send(Method::GET, "/api/v1/status", None).await.1
    }

    /// Waits until both peers have the state that they will stay in.
    async fn settled(&self) {
        until("both peers are judged", async || {
            let status = self.status().await;
            let judged = [0, 1].map(|i| {
                status["peers"][i]["state"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            });
            judged == ["degraded", "down"] && status["incidents"].as_array().unwrap().len() == 2
        })
        .await;
    }

    /// Does what leaves names and texts among the events that are not for the public, and writes a
    /// note, which is.
    async fn leave_traces(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let soon = now.as_secs() + 3_600;
        for body in [
            json!({"kind": "maintenance", "network": "pl4nted-net", "seconds": 600, "starts_at": soon, "comment": "pl4nted-why", "created_by": "pl4nted-ann"}),
            json!({"kind": "silence", "peer": "pl4nted-one", "seconds": 600, "comment": "pl4nted-why", "created_by": "pl4nted-ann"}),
        ] {
            let (status, answer) = self.send(Method::POST, "/api/v1/actions", Some(body)).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
        fs::write(&self.agent.config, "pl4nted: wrong\n").unwrap();
        assert_eq!(self.agent.post("/-/reload", &[]).await.0, 400);
        let incidents = self.send(Method::GET, "/api/v1/incidents", None).await.1;
        let route = format!("/api/v1/incidents/{}/note", incidents[0]["id"]);
        let note = json!({"text": "We <b>replaced</b> a disk.", "created_by": "pl4nted-ann"});
        let (status, answer) = self.send(Method::PUT, &route, Some(note)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// Exports the page. Returns exit code, output and errors.
    async fn export(&self) -> (Option<i32>, String, String) {
        let site = self.site();
        self.command(&["status", "export", site.to_str().unwrap()])
            .await
    }

    async fn command(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let url = format!("http://{}", self.agent.address);
        let command = command
            .args(args)
            .args(["--url", &url])
            .env("USER", "pl4nted-dave");
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

fn config(
    fake: &FakePeer,
    closed: &ClosedPort,
    dir: &Path,
    listen: &str,
    published: &str,
) -> String {
    format!(
        "vantage: pl4nted-vantage\nstate_dir: '{state}'\n\
         defaults: {{ interval: 1s, timeout: 900ms, retries: 0, down_after: 1, up_after: 1 }}\n\
         networks: [{{ name: pl4nted-net }}]\npeers:\n\
         \x20 - {{ name: pl4nted-one, labels: {{ region: pl4nted-region }}, endpoints: ['tcp://{tcp}'] }}\n\
         \x20 - {{ name: '<b>pl4nted-two', endpoints: ['tcp://{refused}'], maintenance: [{{ from: 2999-01-01T00:00:00Z, to: 2999-01-02T00:00:00Z, comment: pl4nted-work }}] }}\n\
         \x20 - {{ name: pl4nted-hidden, endpoints: ['http://{http}'] }}\n\
         status:\n  title: Example gateways\n  listen: {listen}\n\
         \x20 links: [{{ text: Contact, url: 'https://status.example/contact' }}]\n\
         \x20 networks: [{{ network: pl4nted-net, name: Mainnet }}]\n\
         \x20 peers: [{published}]\n",
        state = dir.join("state").display(),
        tcp = fake.tcp,
        http = fake.http,
        refused = closed.address,
    )
}

/// Returns the files below `dir` by their paths.
fn files(dir: &Path) -> BTreeMap<String, String> {
    fn add(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(root, &path, found);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    add(dir, dir, &mut found);
    found
}

#[tokio::test]
async fn nothing_is_public_but_what_was_chosen() {
    let stage = Stage::start().await;
    stage.settled().await;
    stage.leave_traces().await;
    let (code, _, errors) = stage.export().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let exported = files(&stage.site());
    let names: Vec<&str> = exported.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "24h.html",
            "30d.html",
            "badge/gateway-two.svg",
            "badge/mainnet.svg",
            "badge/one.svg",
            "feed.xml",
            "icon.svg",
            "index.html",
            "status.json",
            "style.css",
            "uptime/gateway-two.svg",
            "uptime/mainnet.svg",
            "uptime/one.svg"
        ]
    );
    let secrets = [
        MARK.to_owned(),
        "127.0.0.1".to_owned(),
        "10.1.2.3".to_owned(),
        format!(":{}", stage.fake.tcp.port()),
        format!(":{}", stage.closed.address.port()),
        format!(":{}", stage.agent.address.port()),
        "4b4b4b4b".to_owned(),
        "6e6e6e6e".to_owned(),
        "state_dir".to_owned(),
        "vantage".to_owned(),
        "tcp://".to_owned(),
        "refused".to_owned(),
    ];
    for (path, content) in &exported {
        let response = stage.public(Method::GET, &format!("/{path}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = format!("{:?}", response.headers()).to_lowercase();
        let served = response.text().await.unwrap();
        for text in [content.to_lowercase(), served.to_lowercase(), headers] {
            for secret in &secrets {
                assert!(
                    !text.contains(secret.as_str()),
                    "{path} contains {secret:?}: {text}"
                );
            }
            let is_markup = path != "status.json";
            assert!(
                !is_markup || !text.contains("<script") && !text.contains("<b>"),
                "{path}"
            );
        }
    }
    let page = &exported["index.html"];
    for expected in [
        "<title>Example gateways: Down</title>",
        "Gateway Two is down; Gateway &#34;One&#34; &#38; &#60;Co&#62; is degraded.",
        "It answered with errors.",
        "It could not be reached.",
        "We &#60;b&#62;replaced&#60;/b&#62; a disk.",
        "<strong>Mainnet, Gateway &#34;One&#34; &#38; &#60;Co&#62;, Gateway Two</strong> <span>planned for",
        "2999-01-01 00:00 UTC",
        "href=\"https://status.example/contact\"",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(exported["feed.xml"].contains("<title>Gateway Two is down</title>"));
    stage.agent.stop().await;
}

#[tokio::test]
async fn no_route_of_the_agent_is_reachable_at_the_status_page() {
    let stage = Stage::start().await;
    stage.settled().await;
    let described = stage
        .send(Method::GET, "/api/v1/openapi.json", None)
        .await
        .1;
    let described = described["paths"].as_object().unwrap().keys();
    let mut routes: Vec<String> = described
        .map(|path| {
            path.replace("{name}", "pl4nted-one")
                .replace("{peer}", "pl4nted-one")
                .replace("{id}", "1")
        })
        .collect();
    assert!(routes.len() > 15, "{routes:?}");
    for path in [
        "/metrics",
        "/config",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/actions",
        "/live",
        "/live.js",
        "/networks/pl4nted-net",
        "/peers/pl4nted-one",
        "/peers/pl4nted-one/live",
        "/peers/pl4nted-one/poll",
        "/runbooks/",
        "/badge/pl4nted-one.svg",
        "/alerts",
        "/events",
        "//metrics",
        "/./metrics",
        "/%2e%2e/metrics",
        "/index.html/../metrics",
        "/status.json/",
        "/badge/",
    ] {
        routes.push(path.to_owned());
    }
    for path in &routes {
        for method in [Method::GET, Method::HEAD] {
            let status = stage.public(method.clone(), path).await.status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let status = stage.public(method.clone(), path).await.status();
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    let response = stage.public(Method::GET, "/").await;
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';"),
        "{policy}"
    );
    assert!(
        !policy.contains("script") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("<h1>Example gateways</h1>")
    );
    stage.agent.stop().await;
}

#[tokio::test]
async fn a_note_is_kept_replaced_and_removed_by_who_may_change_something() {
    let stage = Stage::start().await;
    stage.settled().await;
    let list = async || stage.send(Method::GET, "/api/v1/incidents", None).await.1;
    let first = list().await;
    let incident = &first[0];
    assert_eq!(
        incident["peer"].as_str().map(|it| it.contains(MARK)),
        Some(true),
        "{incident}"
    );
    let id = incident["id"].to_string();
    let route = format!("/api/v1/incidents/{id}/note");
    let note = |text: &str| Some(json!({ "text": text, "created_by": "ann" }));
    for (path, body, headers, expected) in [
        (route.as_str(), note(""), vec![], 400),
        (&route, note("two\nlines"), vec![], 400),
        (&route, note(&"x".repeat(1_001)), vec![], 400),
        (&route, Some(json!({ "text": "x" })), vec![], 400),
        (&route, Some(json!({ "created_by": "ann" })), vec![], 400),
        ("/api/v1/incidents/7/note", note("x"), vec![], 404),
        (
            &route,
            note("x"),
            vec![("origin", "http://evil.example")],
            403,
        ),
    ] {
        let (status, problem) = stage
            .send_as(Method::PUT, path, body.clone(), &headers)
            .await;
        assert_eq!(status.as_u16(), expected, "{path} {body:?}: {problem}");
    }
    assert_eq!(list().await[0].get("note"), None);

    let ok = async |args: &[&str]| {
        let (code, output, errors) = stage.command(args).await;
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{args:?}: {output}");
        output
    };
    ok(&["incident", "note", &id, "A disk was full."]).await;
    ok(&["incident", "note", &id, "A disk was full. It is replaced."]).await;
    let listed = ok(&["incident", "list"]).await;
    let expected = "\n  note by pl4nted-dave: A disk was full. It is replaced.\n";
    assert!(
        listed.starts_with(&format!("{id} ")) && listed.contains(expected),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&ok(&["incident", "list", "--json"]).await).unwrap();
    assert_eq!(listed, list().await);
    let events = stage
        .send_as(
            Method::GET,
            "/api/v1/events?limit=1000",
            None,
            &[("accept", "application/json")],
        )
        .await
        .1;
    let events = events
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["message"].as_str().unwrap());
    let noted =
        format!("public note on incident {id} by pl4nted-dave: A disk was full. It is replaced.");
    assert!(events.into_iter().any(|message| message == noted));

    // The note and the id outlive a restart.
    let before = list().await;
    let text = fs::read_to_string(&stage.agent.config).unwrap();
    let Stage {
        agent,
        dir,
        url,
        fake,
        closed,
    } = stage;
    agent.stop().await;
    let stage = Stage {
        agent: Agent::start(&text).await,
        dir,
        url,
        fake,
        closed,
    };
    stage.settled().await;
    let after = stage.send(Method::GET, "/api/v1/incidents", None).await.1;
    for i in [0, 1] {
        assert_eq!(after[i]["id"], before[i]["id"]);
        assert_eq!(after[i]["note"], before[i]["note"]);
    }
    let (code, output, errors) = stage.command(&["incident", "note", &id, "--remove"]).await;
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    let after = stage.send(Method::GET, "/api/v1/incidents", None).await.1;
    assert_eq!(after[0].get("note"), None);
    stage.agent.stop().await;
}

#[tokio::test]
async fn an_exported_page_follows_the_configuration_and_claims_nothing_without_the_agent() {
    let stage = Stage::start().await;
    stage.settled().await;
    let (code, output, errors) = stage.export().await;
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(
        output.contains("13 files. Gateway Two is down; "),
        "{output}"
    );

    let only_one = BOTH.split_once(", {").unwrap().0;
    let (dir, listen) = (stage.dir.path(), stage.url.trim_start_matches("http://"));
    let text = config(&stage.fake, &stage.closed, dir, listen, only_one);
    fs::write(&stage.agent.config, text).unwrap();
    assert_eq!(stage.agent.post("/-/reload", &[]).await.0, 200);
    assert_eq!(stage.export().await.0, Some(0));
    let exported = files(&stage.site());
    assert!(
        !exported.contains_key("badge/gateway-two.svg") && exported.contains_key("badge/one.svg")
    );
    assert!(
        exported
            .values()
            .all(|content| !content.contains("Gateway Two"))
    );

    let Stage { agent, dir, .. } = stage;
    let (site, address) = (dir.path().join("site"), agent.address);
    agent.stop().await;
    let export = async |dir: &Path| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let url = format!("http://{address}");
        let args = ["status", "export", dir.to_str().unwrap(), "--url", &url];
        let output = command.args(args).output().await.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, errors) = export(&site).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("no answer from") && errors.contains("now says that no state is known"),
        "{errors}"
    );
    let exported = files(&site);
    assert!(exported["index.html"].contains("The state of everything is not known at the moment."));
    assert!(exported["badge/one.svg"].contains("unknown"));
    // Where there is no page yet, none is made.
    let (code, errors) = export(&dir.path().join("other")).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(!dir.path().join("other").exists());
}

#[tokio::test]
async fn without_a_page_there_is_none_to_ask_for() {
    let fake = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&format!(
        "peers: [{{ name: p, endpoints: ['tcp://{}'] }}]\n",
        fake.tcp
    ))
    .await;
    for path in ["/api/v1/status", "/api/v1/incidents"] {
        let (status, text) = agent.get(path).await;
        assert!(
            status == 404 && text.contains("add `status` to the configuration"),
            "{path}: {text}"
        );
    }
    agent.stop().await;
}
