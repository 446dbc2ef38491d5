//! The JSON API of a running agent: it matches its description, can be paged, cached and followed,
//! and polls on request.

mod described;
mod events;
mod problems;

use std::collections::BTreeMap;
use std::time::Duration;

use convex_client::{HttpOptions, http_client};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};

/// An agent that watches a good peer, a bad one, and two that it polls only once, after which they
/// are still unknown.
struct Watched {
    agent: Agent,
    good: FakePeer,
    bad: FakePeer,
    client: reqwest::Client,
}

impl Watched {
    async fn start() -> Self {
        let (good, bad) = (
            FakePeer::start(Script::default()).await,
            FakePeer::start(Script {
                fault: Fault::Close,
                ..Script::default()
            })
            .await,
        );
        let config = format!(
            "defaults: {{ interval: 2s, timeout: 1900ms, retries: 0, down_after: 1, up_after: 1 }}\n\
             references: {{ interval: 2s }}\n\
             networks: [{{ name: main }}, {{ name: test net }}]\n\
             peers:\n\
             - {{ name: good, network: main, endpoints: ['http://{}', 'tcp://{}'] }}\n\
             - {{ name: bad & <worse>, network: main, role: reference, endpoints: ['tcp://{}'] }}\n\
             - {{ name: 'ζ.svg', network: test net, interval: 1d, down_after: 2, endpoints: ['tcp://127.0.0.1:9'] }}\n\
             - {{ name: later, network: test net, interval: 1d, down_after: 2, endpoints: ['tcp://127.0.0.1:9'] }}\n\
             status: {{ title: t, networks: [{{ network: main, name: Main }}], peers: [{{ peer: bad & <worse>, name: Bad }}] }}\n",
            good.http, good.tcp, bad.tcp
        );
        let agent = Agent::start(&config).await;
        for (peer, state) in [("good", "up"), ("bad & <worse>", "down")] {
            let series =
                format!("convex_peer_health{{peer=\"{peer}\",network=\"main\",state=\"{state}\"}}");
            agent.wait_for(&series, |is| is == 1.0).await;
        }
        // Streams last longer than any request.
        let client = http_client(&HttpOptions::default(), Duration::from_secs(600)).unwrap();
        Self {
            agent,
            good,
            bad,
            client,
        }
    }

    /// Waits for the only poll of the two unknown peers; nothing about them changes after it.
    async fn settled(&self) {
        for peer in ["later", "ζ.svg"] {
            let series = format!("convex_peer_polls_total{{peer=\"{peer}\",network=\"test net\"}}");
            self.agent.wait_for(&series, |polls| polls == 1.0).await;
        }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("http://{}{path}", self.agent.address);
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[("accept", "application/json")])
            .await
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|it| it.to_str().unwrap())
}

#[tokio::test]
async fn paging_returns_every_peer_once_and_in_order() {
    let watched = Watched::start().await;
    let mut query = "?limit=1".to_owned();
    let mut names = Vec::new();
    loop {
        let response = watched.get(&format!("/api/v1/peers{query}")).await;
        let link = header(&response, "link").map(str::to_owned);
        let page: Vec<Value> = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(page.len(), 1);
        names.extend(
            page.iter()
                .map(|peer| peer["name"].as_str().unwrap().to_owned()),
        );
        let Some(link) = link else { break };
        let target = link.strip_prefix('<').unwrap();
        query = target.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(names, ["bad & <worse>", "good", "later", "ζ.svg"]);

    for (query, expected) in [
        ("network=main", 2),
        ("network=nowhere", 0),
        ("health=unknown", 2),
        ("health=down&role=own", 0),
        ("role=reference", 1),
        ("after=good", 2),
        ("after=gone&network=main", 1),
        ("limit=4", 4),
    ] {
        let response = watched.get(&format!("/api/v1/peers?{query}")).await;
        assert_eq!(header(&response, "link"), None, "{query}");
        let page: Vec<Value> = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(page.len(), expected, "{query}");
    }
    watched.agent.stop().await;
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let watched = Watched::start().await;
    watched.settled().await;
    for path in [
        "/api/v1/peers/later",
        "/api/v1/networks/test%20net",
        "/api/v1/openapi.json",
        "/badge/later.svg",
    ] {
        let first = watched.get(path).await;
        let tag = header(&first, "etag").unwrap().to_owned();
        let known = format!("\"other\", {tag}");
        let known = [("if-none-match", known.as_str())];
        let again = watched.send(Method::GET, path, &known).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(header(&again, "etag"), Some(tag.as_str()));
        assert_eq!(again.text().await.unwrap(), "");
        let other = [("if-none-match", "W/\"other\"")];
        assert_eq!(
            watched.send(Method::GET, path, &other).await.status(),
            StatusCode::OK
        );
        let head = watched.send(Method::HEAD, path, &[]).await;
        assert_eq!(
            (head.status(), header(&head, "etag")),
            (StatusCode::OK, Some(tag.as_str()))
        );
        assert_eq!(head.text().await.unwrap(), "");
    }
    let before = watched.get("/api/v1/peers/good").await;
    let before = header(&before, "etag").unwrap().to_owned();
    watched
        .send(Method::POST, "/api/v1/peers/good/poll", &[])
        .await;
    let known = [("if-none-match", before.as_str())];
    let after = watched
        .send(Method::GET, "/api/v1/peers/good", &known)
        .await;
    assert_eq!(after.status(), StatusCode::OK, "a poll changes the answer");
    watched.agent.stop().await;
}

#[tokio::test]
async fn the_history_of_a_peer_is_served() {
    let watched = Watched::start().await;
    let history = watched.json("/api/v1/peers/good/history").await;
    assert_eq!(history["step_seconds"], 60.0);
    let point = &history["points"][0];
    assert!(point["polls"]["good"].as_u64() >= Some(1), "{history}");
    assert!(point["duration_seconds"]["tcp"]["mean"].as_f64() > Some(0.0));
    assert_eq!(
        (&point["order"]["finality"], &point["state_block"]),
        (&json!(7), &json!(6))
    );
    let windows: Vec<_> = history["uptime"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["window"].as_str().unwrap())
        .collect();
    assert_eq!(windows, ["24h", "7d", "30d", "90d"]);
    assert_eq!(history["uptime"][3]["ratio"], 1.0);
    let hours = watched.json("/api/v1/peers/good/history?step=61").await;
    assert_eq!(
        hours["step_seconds"], 120.0,
        "the answer contains the step that was chosen"
    );
    let bad = watched
        .json("/api/v1/peers/bad%20&%20%3Cworse%3E/history")
        .await;
    assert_eq!(bad["uptime"][0]["ratio"], 0.0);

    let polls = watched
        .json("/api/v1/peers/bad%20&%20%3Cworse%3E/polls")
        .await;
    // On a busy machine single polls may be excused.
    let failed = polls
        .as_array()
        .unwrap()
        .iter()
        .find(|poll| poll["outcome"] == "failed");
    assert_eq!(failed.unwrap()["failures"], json!({ "tcp": "closed" }));
    let transcripts = watched
        .json("/api/v1/peers/bad%20&%20%3Cworse%3E/transcripts")
        .await;
    assert!(transcripts.get("success").is_none());
    let error = transcripts["failure"]["endpoints"][0]["error"]
        .as_str()
        .unwrap();
    assert!(error.starts_with("closed: "), "{error}");
    watched.agent.stop().await;
}

#[tokio::test]
async fn a_requested_poll_counts_like_any_other_and_returns_its_result() {
    let watched = Watched::start().await;
    watched.settled().await;
    let before = watched.json("/api/v1/peers/later").await;
    let polled = watched
        .send(Method::POST, "/api/v1/peers/later/poll", &[])
        .await;
    assert_eq!(polled.status(), StatusCode::OK);
    let polled: Value = serde_json::from_str(&polled.text().await.unwrap()).unwrap();
    let counts =
        |peer: &Value| ["polls", "poll_failures"].map(|count| peer[count].as_u64().unwrap());
    assert_eq!(
        counts(&polled["peer"]),
        counts(&before).map(|count| count + 1)
    );
    assert_eq!(
        polled["peer"]["health"], "down",
        "the poll changes the verdict"
    );
    let known = watched.json("/api/v1/peers/later").await;
    assert_eq!(known["polls"], polled["peer"]["polls"]);
    assert!(
        polled["transcript"]["endpoints"][0]["error"].is_string(),
        "{polled}"
    );
    watched.agent.stop().await;
}

#[tokio::test]
async fn polls_can_be_requested_once_a_second_and_only_from_this_host() {
    let watched = Watched::start().await;
    let path = "/api/v1/peers/good/poll";
    for (headers, expected) in [
        ([("host", "mon.example")], StatusCode::MISDIRECTED_REQUEST),
        ([("host", "192.0.2.1")], StatusCode::FORBIDDEN),
        ([("origin", "http://evil.example")], StatusCode::FORBIDDEN),
    ] {
        let refused = watched.send(Method::POST, path, &headers).await;
        assert_eq!(refused.status(), expected);
        assert_eq!(
            header(&refused, "content-type"),
            Some("application/problem+json")
        );
    }
    // On a busy machine a second may pass between two requests.
    let mut accepted = 0;
    let refused = loop {
        let answer = watched.send(Method::POST, path, &[]).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
        assert_eq!(answer.status(), StatusCode::OK);
        accepted += 1;
        assert!(accepted < 100, "polls are not limited");
    };
    assert!(accepted > 0, "the first poll is accepted");
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    watched.agent.stop().await;
}

#[tokio::test]
async fn a_running_poll_does_not_delay_the_stop() {
    let silent = FakePeer::start(Script {
        fault: Fault::Silent,
        ..Script::default()
    })
    .await;
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 1d, timeout: 1h }}\nnetworks: [{{ name: n }}]\npeers: [{{ name: a, endpoints: ['tcp://{}'] }}]\n",
        silent.tcp
    ))
    .await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let poll = client.post(format!("http://{}/api/v1/peers/a/poll", agent.address));
    let polled = tokio::spawn(poll.send());
    agent
        .wait_for("convex_monitor_inflight_polls", |polls| polls == 1.0)
        .await;
    agent.stop().await;
    let polled = polled.await.unwrap().unwrap();
    assert_eq!(polled.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem = polled.text().await.unwrap();
    assert!(problem.contains("the agent is stopping"), "{problem}");
}

#[tokio::test]
async fn badges_have_a_text_and_escape_names_of_peers() {
    let watched = Watched::start().await;
    let mut badges = BTreeMap::new();
    for path in [
        "good.svg",
        "good.svg?uptime=7d",
        "bad%20&%20%3Cworse%3E.svg",
        "bad%20&%20%3Cworse%3E.svg?uptime=24h",
        "%CE%B6.svg.svg",
    ] {
        let badge = watched.get(&format!("/badge/{path}")).await;
        assert_eq!(header(&badge, "content-type"), Some("image/svg+xml"));
        assert_eq!(header(&badge, "cache-control"), Some("public, max-age=30"));
        badges.insert(path, badge.text().await.unwrap());
    }
    for (path, text) in [
        ("good.svg", "<title>good: up</title>"),
        ("good.svg?uptime=7d", "aria-label=\"good uptime 7d: 100 %\""),
        ("bad%20&%20%3Cworse%3E.svg?uptime=24h", "0 %"),
        ("%CE%B6.svg.svg", "aria-label=\"ζ.svg: unknown\""),
    ] {
        assert!(badges[path].contains(text), "{path}: {}", badges[path]);
    }
    insta::assert_snapshot!(badges["bad%20&%20%3Cworse%3E.svg"]);
    watched.agent.stop().await;
}
