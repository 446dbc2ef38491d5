//! The whole agent against scripted peers: what it serves, and what a reload changes.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::agent::{Agent, value_of};
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::until;

fn config(peers: &[(&str, &FakePeer)]) -> String {
    let peer = |(name, fake): &(&str, &FakePeer)| {
        let (http, tcp) = (fake.http, fake.tcp);
        format!("  - {{ name: {name}, endpoints: ['http://{http}', 'tcp://{tcp}'] }}\n")
    };
    let peers: String = peers.iter().map(peer).collect();
    format!(
        "defaults: {{ interval: 2s, timeout: 1900ms }}\nnetworks: [{{ name: test }}]\npeers:\n{peers}"
    )
}

#[tokio::test]
async fn a_polled_peer_is_in_the_metrics_the_api_and_the_pages() {
    let fake = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&[("one", &fake)])).await;
    agent
        .wait_for("convex_peer_up{peer=\"one\",network=\"test\"}", |up| {
            up == 1.0
        })
        .await;
    agent
        .wait_for(
            "convex_peer_health{peer=\"one\",network=\"test\",state=\"up\"}",
            |up| up == 1.0,
        )
        .await;
    let (status, text) = agent.get("/metrics").await;
    assert_eq!(status, 200);
    for (series, value) in [
        ("convex_peer_accounts{peer=\"one\",network=\"test\"}", 132.0),
        (
            "convex_peer_state_block{peer=\"one\",network=\"test\"}",
            6.0,
        ),
        (
            "convex_peer_order_blocks{peer=\"one\",network=\"test\",level=\"finality\"}",
            7.0,
        ),
        (
            "convex_peer_pending_blocks{peer=\"one\",network=\"test\"}",
            0.0,
        ),
        (
            "convex_peer_memory_pool_bytes{peer=\"one\",network=\"test\"}",
            673_200_000.0,
        ),
        (
            "convex_probe_failures_total{peer=\"one\",network=\"test\",transport=\"tcp\",reason=\"refused\"}",
            0.0,
        ),
        (
            "convex_peer_identity_match{peer=\"one\",network=\"test\",check=\"transports_agree\"}",
            1.0,
        ),
        ("convex_monitor_targets{network=\"test\",role=\"own\"}", 1.0),
        ("convex_monitor_config_last_reload_successful", 1.0),
    ] {
        assert_eq!(value_of(&text, series), Some(value), "{series}");
    }
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(
        value_of(&text, "convex_monitor_series"),
        Some(samples.map(|_| 1.0).sum()),
        "the number of series is exact"
    );

    let (status, json) = agent.get("/api/v1/peers").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (status, &json[0]["health"], &json[0]["state"]["accounts"]),
        (200, &"up".into(), &132.into())
    );
    assert_eq!(
        json[0]["state"]["coin_supply_copper"],
        1_000_000_000_000_000_i64
    );
    assert_eq!(json[0]["order"]["state"], "idle");
    assert_eq!(agent.get("/api/v1/peers/one").await.0, 200);
    assert_eq!(agent.get("/api/v1/peers/none").await.0, 404);
    let (status, page) = agent.get("/").await;
    assert!(
        status == 200 && page.contains("<bdi>one</bdi></a>") && page.contains("href=\"/metrics\""),
        "{page}"
    );
    assert_eq!(agent.get("/-/healthy").await.0, 200);
    assert_eq!(agent.get("/-/ready").await.0, 200);
    assert!(agent.get("/config").await.1.contains("name: one"));
    agent.stop().await;
}

#[tokio::test]
async fn a_failing_peer_goes_down_alone_and_comes_back_up() {
    let (bad, good) = (
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
    );
    let agent = Agent::start(&config(&[("bad", &bad), ("good", &good)])).await;
    let up = "convex_peer_health{peer=\"bad\",network=\"test\",state=\"up\"}";
    agent.wait_for(up, |up| up == 1.0).await;
    bad.set(|script| script.fault = Fault::QueryHangs);
    agent
        .wait_for("convex_peer_up{peer=\"bad\",network=\"test\"}", |up| {
            up == 0.0
        })
        .await;
    agent
        .wait_for(
            "convex_peer_health{peer=\"bad\",network=\"test\",state=\"down\"}",
            |down| down == 1.0,
        )
        .await;
    agent
        .wait_for(
            "convex_peer_condition{peer=\"bad\",network=\"test\",condition=\"query_hangs\"}",
            |c| c == 1.0,
        )
        .await;
    assert_eq!(
        agent
            .metric("convex_peer_poll_failures_total{peer=\"good\",network=\"test\"}")
            .await,
        Some(0.0)
    );
    bad.set(|script| script.fault = Fault::None);
    agent.wait_for(up, |up| up == 1.0).await;
    assert_eq!(
        agent
            .metric(
                "convex_peer_condition{peer=\"bad\",network=\"test\",condition=\"query_hangs\"}"
            )
            .await,
        None
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_reload_keeps_unchanged_peers_and_an_invalid_file_changes_nothing() {
    let (kept, gone, new) = (
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
        FakePeer::start(Script::default()).await,
    );
    let agent = Agent::start(&config(&[("kept", &kept), ("gone", &gone)])).await;
    let polls = "convex_peer_polls_total{peer=\"kept\",network=\"test\"}";
    let before = agent.wait_for(polls, |polls| polls >= 2.0).await;
    // One per transport, and one on which the release was asked.
    until("the release was asked", async || kept.connections() == 3).await;

    fs::write(
        &agent.config,
        "peers: [{ name: kept, endpoints: ['localhost:1'] }]\n",
    )
    .unwrap();
    let (status, errors) = agent.post("/-/reload", &[]).await;
    assert!(
        status == 400 && errors.contains("did you mean http://localhost:1?"),
        "{status} {errors}"
    );
    assert_eq!(
        agent
            .metric("convex_monitor_config_last_reload_successful")
            .await,
        Some(0.0)
    );
    assert!(
        agent
            .metric("convex_peer_polls_total{peer=\"gone\",network=\"test\"}")
            .await
            .is_some()
    );

    fs::write(&agent.config, config(&[("kept", &kept), ("new", &new)])).unwrap();
    assert_eq!(
        agent.post("/-/reload", &[]).await,
        (200, "reloaded\n".to_owned())
    );
    assert_eq!(
        agent
            .metric("convex_monitor_config_last_reload_successful")
            .await,
        Some(1.0)
    );
    assert!(
        agent.metric(polls).await.unwrap() >= before,
        "the unchanged peer keeps its counters"
    );
    assert_eq!(kept.connections(), 3, "and its connections");
    assert!(
        !agent.get("/metrics").await.1.contains("peer=\"gone\""),
        "the series of a removed peer are gone"
    );
    agent
        .wait_for("convex_peer_up{peer=\"new\",network=\"test\"}", |up| {
            up == 1.0
        })
        .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_reload() {
    let fake = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&[("one", &fake)])).await;
    let (status, why) = agent
        .post("/-/reload", &[("origin", "http://evil.example")])
        .await;
    assert!(
        status == 403 && why.contains("another origin"),
        "{status} {why}"
    );
    let (status, why) = agent.post("/-/reload", &[("host", "192.0.2.1")]).await;
    assert!(status == 403 && why.contains("loopback"), "{status} {why}");
    agent.stop().await;
}

#[tokio::test]
async fn pages_are_also_served_under_the_path_of_external_url() {
    let fake = FakePeer::start(Script::default()).await;
    let text = format!(
        "external_url: https://mon.example/convex/\n{}",
        config(&[("one", &fake)])
    );
    let agent = Agent::start(&text).await;
    for path in ["/", "/convex", "/convex/"] {
        let (status, page) = agent.get(path).await;
        assert!(
            status == 200 && page.contains("href=\"/convex/metrics\""),
            "{path}: {status}"
        );
    }
    assert_eq!(agent.get("/convex/metrics").await.0, 200);
    assert_eq!(agent.get("/metrics").await.0, 200);
    agent.stop().await;
}

#[tokio::test]
async fn a_condition_links_to_its_runbook() {
    let agent = Agent::start(
        "external_url: http://mon.example/convex/\n\
         defaults: { interval: 1s, timeout: 500ms, down_after: 1 }\n\
         peers: [{ name: gone, endpoints: ['tcp://127.0.0.1:1'] }]\n",
    )
    .await;
    let refused = "convex_peer_condition{peer=\"gone\",network=\"default\",condition=\"refused\"}";
    agent.wait_for(refused, |value| value == 1.0).await;
    let page = agent.get("/convex/").await.1;
    assert!(
        page.contains("<a href=\"/convex/runbooks/ConvexPeerDown\" title=\"refused: what to do\">connection refused</a>"),
        "{page}"
    );
    let (status, runbook) = agent.get("/convex/runbooks/ConvexPeerDown").await;
    assert_eq!(status, 200);
    assert!(runbook.contains("<h2>What to do</h2>"), "{runbook}");
    assert!(
        agent
            .get("/runbooks/")
            .await
            .1
            .contains("ConvexPeerDegraded</a>")
    );
    let (status, body) = agent.get("/runbooks/None").await;
    assert_eq!(
        (status, body.as_str()),
        (
            404,
            "no runbook named \"None\"; /convex/runbooks/ lists all of them\n"
        )
    );
    agent.stop().await;
}

#[tokio::test]
async fn an_unreachable_peer_does_not_keep_the_agent_from_starting() {
    let text = "defaults: { interval: 1s, timeout: 300ms, down_after: 1 }\npeers: [{ name: a, endpoints: ['tcp://127.0.0.1:1'] }]\n";
    let agent = Agent::start(text).await;
    agent
        .wait_for("convex_peer_up{peer=\"a\",network=\"default\"}", |up| {
            up == 0.0
        })
        .await;
    let refused = "convex_probe_failures_total{peer=\"a\",network=\"default\",transport=\"tcp\",reason=\"refused\"}";
    assert!(agent.metric(refused).await.unwrap() >= 1.0);
    assert_eq!(agent.get("/-/ready").await.0, 200);
    agent.stop().await;
}

#[tokio::test]
async fn a_reload_fails_while_a_file_does_not_answer_and_works_again_after() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "secret\n").unwrap();
    let text = format!(
        "peers: [{{ name: a, endpoints: ['http://127.0.0.1:1'], bearer_token_file: '{}' }}]\n",
        token.display()
    );
    let agent = Agent::start(&text).await;
    let successful = "convex_monitor_config_last_reload_successful";
    for _ in 0..2 {
        fs::remove_file(&token).unwrap();
        mknodat(CWD, &token, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let (status, error) = agent.post("/-/reload", &[]).await;
        assert_eq!(status, 400, "{error}");
        let expected = "/token\": it is a FIFO, not a regular file\n";
        assert!(error.ends_with(expected), "{error}");
        assert_eq!(agent.metric(successful).await, Some(0.0));

        fs::remove_file(&token).unwrap();
        fs::write(&token, "another\n").unwrap();
        assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
        assert_eq!(agent.metric(successful).await, Some(1.0));
    }
    agent.stop().await;
}
