//! The lists of alerts and events, the page of an event, of the configuration and of all networks.

use std::fs;

use convex_client::{HttpOptions, http_client};

use crate::support::DEADLINE;
use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Script};
use crate::support::until;

const ALERT: &str = "ConvexPeerIdentityChanged";

/// The configuration of an agent with two networks that watches a peer with another key than the
/// pinned one, which is an alert at once, and a silent one.
fn config(peer: &FakePeer, key: &str, more: &str) -> String {
    format!(
        "{more}vantage: eu-1\ndefaults: {{ interval: 1s, timeout: 900ms, down_after: 1 }}\n\
         networks: [{{ name: n }}, {{ name: 'o <b>' }}]\npeers:\n\
         - {{ name: p, network: n, {key}endpoints: ['tcp://{}'] }}\n\
         - {{ name: 'q <i>', network: 'o <b>', endpoints: ['tcp://127.0.0.1:1'] }}\n",
        peer.tcp
    )
}

fn wrong_key() -> String {
    format!("key: '0x{}', ", "11".repeat(32))
}

/// Waits until the page shows a text, and returns it.
async fn shows(agent: &Agent, page: &str, text: &str) -> String {
    let mut shown = String::new();
    until(&format!("{page} shows {text:?}"), async || {
        shown = agent.get(page).await.1;
        shown.contains(text)
    })
    .await;
    shown
}

/// Returns the keys of the rows of a page, in order.
fn rows(page: &str) -> Vec<&str> {
    let rows = page.split("<tr data-key=\"").skip(1);
    rows.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Returns the first address that follows `before` in a page, as the browser reads it.
fn link(page: &str, before: &str) -> String {
    let rest = page
        .split_once(before)
        .unwrap_or_else(|| panic!("{before} is not in {page}"))
        .1;
    rest.split('"').next().unwrap().replace("&#38;", "&")
}

#[tokio::test]
async fn an_alert_is_listed_while_it_fires_and_after_it_has_ended_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let peer = FakePeer::start(Script::default()).await;
    let kept = format!("state_dir: '{}'\n", dir.path().display());
    let agent = Agent::start(&config(&peer, &wrong_key(), &kept)).await;
    // The event of its begin comes a moment after it.
    let page = shows(
        &agent,
        "/alerts?alert=ConvexPeerIdentityChanged",
        "<td data-cell=\"time\"><a href=\"",
    )
    .await;
    for expected in [
        "<a href=\"/alerts\" aria-current=\"page\">Alerts<span id=\"alert-count\"><span class=\"count down\">",
        "<span class=\"severity down\">critical</span>",
        "href=\"/peers/p\"",
        "href=\"/runbooks/ConvexPeerIdentityChanged\"",
        "href=\"/actions?alertname=ConvexPeerIdentityChanged",
        "1 firing, 0 ended.",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    // Its begin is an event with an address of its own.
    let event = link(&page, "<td data-cell=\"time\"><a href=\"");
    let (status, shown) = agent.get(&event).await;
    assert!(status == 200 && shown.contains("alert began"), "{shown}");
    assert!(
        shown.contains("<a href=\"/runbooks/ConvexPeerIdentityChanged\">"),
        "{shown}"
    );

    for (query, listed) in [
        ("", true),
        (
            "?state=firing&severity=critical&peer=p&network=n&last=1h",
            true,
        ),
        ("?state=ended", false),
        ("?severity=warning", false),
        ("?peer=q", false),
        ("?network=o+%3Cb%3E", false),
        ("?to=2020-01-01", false),
    ] {
        let (status, page) = agent.get(&format!("/alerts{query}")).await;
        assert_eq!(status, 200, "{query}");
        let found = rows(&page).iter().any(|key| key.contains(ALERT));
        assert_eq!(found, listed, "{query}: {page}");
    }

    let reference = wrong_key() + "role: reference, ";
    fs::write(&agent.config, config(&peer, &reference, &kept)).unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    let ended = format!("/alerts?state=ended&alert={ALERT}");
    let page = shows(&agent, &ended, "removed from the configuration").await;
    assert!(page.contains("<p>1 ended."), "{page}");
    agent.stop().await;

    let again = Agent::start(&config(&peer, "", &kept)).await;
    let page = shows(&again, &ended, "removed from the configuration").await;
    assert_eq!(rows(&page).len(), 1, "{page}");
    again.stop().await;
}

#[tokio::test]
async fn events_are_filtered_and_paged_by_their_address() {
    let peer = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&peer, "", "")).await;
    let page = shows(&agent, "/events?peer=q+%3Ci%3E", "tcp: connection refused").await;
    for expected in [
        "<span class=\"health down\"></span><bdi>down, was unknown: ",
        "href=\"/peers/q%20%3Ci%3E\"><bdi>q &#60;i&#62;</bdi>",
        "<option value=\"o &#60;b&#62;\">",
        "The events go back to <time",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(!page.contains("q <i>"), "{page}");
    for (query, text, listed) in [
        ("?kind=agent_started", "the agent ", true),
        ("?kind=agent_started&peer=p", "the agent ", false),
        ("?change=worse&network=o+%3Cb%3E", "down, was unknown", true),
        ("?change=better", "down, was unknown", false),
        ("?last=1h", "down, was unknown", true),
        ("?to=2020-01-01T00:00", "down, was unknown", false),
    ] {
        let (status, page) = agent.get(&format!("/events{query}")).await;
        assert_eq!(
            (status, page.contains(text)),
            (200, listed),
            "{query}: {page}"
        );
    }
    for _ in 0..3 {
        assert_eq!(agent.post("/-/reload", &[]).await.0, 200);
    }
    let (_, page) = agent.get("/events?kind=config_reloaded").await;
    assert!(page.contains("3 events."), "{page}");
    let [newest, .., oldest] = rows(&page)[..] else {
        panic!("{page}");
    };
    assert!(newest > oldest, "the newest first");
    let (_, page) = agent
        .get(&format!("/events?kind=config_reloaded&before={newest}"))
        .await;
    assert!(page.contains("3 events; 2 to 3 shown."), "{page}");
    assert_eq!(
        link(&page, "<a rel=\"prev\" href=\""),
        "/events?kind=config_reloaded"
    );
    agent.stop().await;
}

#[tokio::test]
async fn wrong_addresses_say_what_is_wrong() {
    let peer = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&peer, "", "")).await;
    for (path, status, expected) in [
        (
            "/alerts?severity=bad",
            400,
            "`severity` is &#34;bad&#34;, which is not one of info, warning, critical",
        ),
        (
            "/events?last=%3Cscript%3E",
            400,
            "`last` is &#34;&#60;script&#62;&#34;, which is not a length of time",
        ),
        (
            "/events?peers=p",
            400,
            "there is no parameter &#34;peers&#34;; there are last, from",
        ),
        ("/events/x", 400, "&#34;x&#34; is not the id of an event"),
        (
            "/events/7",
            404,
            "There is no event 7, or no longer: the last 10000 events are kept.",
        ),
        (
            "/evidence/x",
            404,
            "No evidence is kept, because state_dir is not set.",
        ),
    ] {
        let (answered, page) = agent.get(path).await;
        assert_eq!(answered, status, "{path}: {page}");
        assert!(
            page.contains(expected),
            "{path}: {expected} is not in {page}"
        );
        assert!(!page.contains("live.js"), "{path} is not updated");
    }
    agent.stop().await;
}

#[tokio::test]
async fn the_configuration_is_a_page_with_its_source_its_defaults_and_no_secrets() {
    let peer = FakePeer::start(Script::default()).await;
    let secret = "notify: { webhooks: [{ name: w, url: 'http://127.0.0.1:1/s3cret' }] }\nlimits: { max_inflight: 7 }\n";
    let agent = Agent::start(&config(&peer, "", secret)).await;
    let (status, page) = agent.get("/configuration").await;
    assert_eq!(status, 200);
    let file = agent.config.display().to_string();
    for expected in [
        "<a href=\"/configuration\" aria-current=\"page\">Configuration",
        file.as_str(),
        "<span>vantage: eu-1</span>",
        "<span>  max_inflight: 7</span>",
        "<span class=\"quiet\">  per_host_inflight: ",
        "<span class=\"quiet\">mode: central</span>",
        "<span>- name: q &#60;i&#62;</span>",
        "&#60;secret&#62;",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    assert!(
        !page.contains("s3cret") && !page.contains("The last reload failed"),
        "{page}"
    );
    fs::write(&agent.config, "nonsense").unwrap();
    assert_eq!(agent.post("/-/reload", &[]).await.0, 400);
    let (_, page) = agent.get("/configuration").await;
    assert!(page.contains("The last reload failed"), "{page}");
    let event = link(&page, "this configuration stays active. <a href=\"");
    let (_, event) = agent.get(&event).await;
    assert!(event.contains("configuration rejected"), "{event}");
    agent.stop().await;
}

#[tokio::test]
async fn several_networks_have_a_page_and_one_has_none_in_the_navigation() {
    let peer = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&peer, "", "")).await;
    let (status, page) = agent.get("/networks").await;
    assert_eq!(status, 200);
    for expected in [
        "<a href=\"/networks\" aria-current=\"page\">Networks</a>",
        "href=\"/networks/o%20%3Cb%3E\"><bdi>o &#60;b&#62;</bdi>",
        "href=\"/networks/n\"",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    agent.stop().await;
    let one = format!(
        "peers: [{{ name: p, endpoints: ['tcp://{}'] }}]\n",
        peer.tcp
    );
    let agent = Agent::start(&one).await;
    let (_, page) = agent.get("/").await;
    assert!(
        page.contains("href=\"/configuration\"") && !page.contains("href=\"/networks\""),
        "{page}"
    );
    agent.stop().await;
}

#[tokio::test]
async fn lists_are_updated_live_and_the_number_of_alerts_with_them() {
    let peer = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&config(&peer, &wrong_key(), "")).await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    for (path, expected) in [
        ("/alerts/live", "ConvexPeerIdentityChanged"),
        ("/events/live?kind=alert_began", "alert began"),
        ("/live/networks", "Compared"),
        ("/live", "<span class=\\\"count down\\\">"),
    ] {
        let url = format!("http://{}{path}", agent.address);
        let mut answer = client.get(url).send().await.unwrap();
        let mut text = String::new();
        while !text.contains(expected) {
            let chunk = answer.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        assert!(text.contains("\"alert-count\":"), "{path}: {text}");
    }
    agent.stop().await;
}
