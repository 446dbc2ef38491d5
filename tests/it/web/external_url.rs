//! Paths of `external_url`: `check-config` refuses one, or the agent starts and serves under it.

use std::fs;

use convex_peer_monitor::cli::check_config::{self, Options};

use crate::support::agent::Agent;

const PEERS: &str = "defaults: { interval: 1s, timeout: 100ms, retries: 0 }\n\
    peers: [{ name: peers, endpoints: ['tcp://127.0.0.1:1'] }]\n";

fn config(path: &str) -> String {
    format!("external_url: \"https://mon.example{path}\"\n{PEERS}")
}

/// Returns what `check-config` says against a configuration.
fn refused(text: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yml");
    fs::write(&file, text).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ok = check_config::run(&[file], Options::default(), &|_| 0, &mut out, &mut err).unwrap();
    (!ok).then(|| String::from_utf8(err).unwrap())
}

#[tokio::test]
async fn check_config_refuses_a_path_or_the_agent_serves_under_it() {
    for path in [
        "",
        "/",
        "/convex",
        "/convex/",
        "/a/b/c/",
        "/:x/",
        "/*a/",
        "/{x}",
        "/{*x}/",
        "/{/",
        "/a:b/*",
        "/p",
        "/peer/",
        "/metric",
        "/x/metrics",
        "/%7Bx%7D/",
        "/%/",
        "/ü/",
        "/'/",
        "/convex//",
    ] {
        let text = config(path);
        let check = text.clone();
        let refusal = tokio::task::spawn_blocking(move || refused(&check));
        assert_eq!(refusal.await.unwrap(), None, "{path}");
        let agent = Agent::start(&text).await;
        let url: url::Url = format!("https://mon.example{path}").parse().unwrap();
        let prefix = url.path().trim_end_matches('/');
        for route in [
            "/",
            "/metrics",
            "/-/healthy",
            "/api/v1/peers",
            "/peers/peers",
        ] {
            for served in [route.to_owned(), format!("{prefix}{route}")] {
                assert_eq!(agent.get(&served).await.0, 200, "{path}: {served}");
            }
        }
        // A poll takes a second. This path is also the beginning of the route without it.
        if path == "/p" {
            let polled = agent.post("/p/peers/peers/poll", &[]).await;
            assert_eq!(polled.0, 303, "redirected back to the page");
        }
        agent.stop().await;
    }
    for path in [
        "/metrics",
        "/metrics/",
        "/networks/",
        "/-/healthy",
        "/-",
        "/api",
        "/api/v1/monitor",
        "/peers/",
        "/badge",
        "/config/x",
        "/live",
        "/live.js",
        "/icon.svg",
        "/style.css",
        "/runbooks/",
        "//evil.example/",
        "/a//b",
        "/x/../metrics",
        "/./live",
    ] {
        let text = config(path);
        let refusal = tokio::task::spawn_blocking(move || refused(&text));
        let refusal = refusal.await.unwrap().unwrap_or_else(|| panic!("{path}"));
        assert!(refusal.contains("c.yml:1:15: external_url: "), "{refusal}");
    }
}
