//! The pages as a browser without JavaScript gets them, and the streams that update them.

use convex_client::{HttpOptions, http_client};

use crate::support::agent::Agent;
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::{DEADLINE, simulated, until};

/// An agent that watches five simulated peers in two regions: the second refuses connections and
/// the clock of the third is 5 s ahead.
async fn fleet(more: &str) -> (Agent, convex_simulator::Network) {
    let network = simulated::network(5, &["refuse:2", "skew=5s:3"], Some("500ms")).await;
    let peers: Vec<String> = (1..=network.len())
        .map(|i| {
            let region = if i < 4 { "eu" } else { "us" };
            format!(
                "  - {{ name: sim-{}, labels: {{ region: {region} }}, endpoints: ['http://{}', 'tcp://{}'] }}\n",
                i,
                network.http(i),
                network.tcp(i)
            )
        })
        .collect();
    let agent = Agent::start(&format!(
        "{more}defaults: {{ interval: 2s, timeout: 1900ms, down_after: 1, up_after: 1 }}\npeers:\n{}",
        peers.concat()
    ))
    .await;
    for (peer, state) in [
        ("sim-1", "up"),
        ("sim-2", "down"),
        ("sim-3", "degraded"),
        ("sim-4", "up"),
        ("sim-5", "up"),
    ] {
        let health =
            format!("convex_peer_health{{peer=\"{peer}\",network=\"default\",state=\"{state}\"}}");
        agent.wait_for(&health, |value| value == 1.0).await;
    }
    (agent, network)
}

/// Returns the keys of the rows of a fleet page, in order.
fn rows(page: &str) -> Vec<&str> {
    let rows = page.split(" data-key=\"").skip(1);
    rows.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_address_of_the_fleet_page_filters_sorts_and_groups() {
    let (agent, _network) = fleet("").await;
    let shown = async |query: &str| {
        let (status, page) = agent.get(&format!("/{query}")).await;
        assert_eq!(status, 200, "{query}");
        rows(&page).join(" ")
    };
    assert_eq!(
        shown("").await,
        "sim-2 sim-3 sim-1 sim-4 sim-5",
        "the worst first"
    );
    assert_eq!(shown("?sort=-name").await, "sim-5 sim-4 sim-3 sim-2 sim-1");
    assert_eq!(shown("?sort=clock").await.split(' ').next(), Some("sim-3"));
    assert_eq!(shown("?health=amiss").await, "sim-2 sim-3");
    assert_eq!(shown("?q=clock+is+off").await, "sim-3");
    assert_eq!(shown("?q=REGION%3Dus&sort=name").await, "sim-4 sim-5");
    assert_eq!(
        shown("?group=label%3Aregion&sort=name").await,
        "group region: eu sim-1 sim-2 sim-3 group region: us sim-4 sim-5"
    );
    let (_, page) = agent.get("/?q=nothing").await;
    assert!(page.contains("No peers match (5 in total)."), "{page}");
    let (_, page) = agent.get("/?sort=-latency&q=sim").await;
    for expected in [
        "<title>1 of 5 peers down, 1 degraded · Convex peers",
        "<a class=\"health down\" href=\"/?health=down\">1 of 5 peers down</a>",
        "<a class=\"health degraded\" href=\"/?health=degraded\">1 degraded</a>",
        "<dt>Compared</dt><dd>",
        "href=\"/icon.svg?health=down&#38;count=1\"",
        "<th scope=\"col\" aria-sort=\"ascending\"><a href=\"/?q=sim&#38;sort=latency\">Latency</a></th>",
        "<a href=\"/?q=sim&#38;sort=-latency&#38;bars=30d\">30 d</a>",
        "<input type=\"hidden\" name=\"sort\" value=\"-latency\">",
        "<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    agent.stop().await;
}

/// Asserts that the page at `path` has all of these texts.
async fn assert_shows(agent: &Agent, path: &str, texts: &[&str]) {
    let (status, page) = agent.get(path).await;
    assert_eq!(status, 200, "{path}");
    for text in texts {
        assert!(page.contains(text), "{path}: {text} is not in {page}");
    }
}

#[tokio::test]
async fn the_page_of_a_peer_has_an_overview_charts_events_and_diagnostics() {
    let (agent, network) = fleet("").await;
    let runbook = "<article class=\"problem is-critical\">\n<h3>connection refused <small class=\"quiet\"><time";
    let command = format!(
        "<code>convex-peer-monitor probe http://{} tcp://{}</code> \
         <button type=\"button\" class=\"copy\">Copy</button>",
        network.http(2),
        network.tcp(2)
    );
    assert_shows(
        &agent,
        "/peers/sim-2",
        &[
            "<title>sim-2 is down · Convex peers</title>",
            "<a href=\"/peers/sim-2\" aria-current=\"page\">Overview</a><a href=\"/peers/sim-2/charts\">",
            "<p class=\"trouble\">connection refused",
            "Is it this peer or the network? <span class=\"down\">The peer.</span>",
            "4 of 4 other watched peers answer",
            runbook,
            &command,
            " data-lasting>for ",
            "<h3>What to do</h3>",
            "<a class=\"act\" href=\"/runbooks/ConvexPeerDown?peer=sim-2\">",
            "action=\"/peers/sim-2/poll\"",
            "<span class=\"event down\"><bdi>down, was ",
        ],
    )
    .await;
    let (_, page) = agent.get("/peers/sim-2").await;
    let down = page.matches("/runbooks/ConvexPeerDown?").count();
    assert_eq!(down, 1, "both endpoints have one runbook: {page}");
    assert_shows(
        &agent,
        "/peers/sim-1",
        &[
            "<span class=\"up\">Neither: no problem was found.</span>",
            "<dt>Latency over tcp</dt>",
            "24 h <strong>100\u{a0}%</strong> <small class=\"quiet\">",
            " of data</small>",
            "<svg class=\"chart\" role=\"img\"",
        ],
    )
    .await;
    assert_shows(
        &agent,
        "/peers/sim-1/diagnostics",
        &[
            "<title>sim-1 is up · Diagnostics · Convex peers</title>",
            "data-live=\"/peers/sim-1/diagnostics/live\"",
            "action=\"/peers/sim-1/poll?tab=diagnostics\"",
            "<code><bdi>0x",
            "STATUS over tcp, <time",
            "query over tcp, <time",
            "(coin-supply)",
            "<caption>Compared with peers</caption>",
            "Last successful poll, <time datetime=",
        ],
    )
    .await;
    assert_shows(
        &agent,
        "/peers/sim-2/events",
        &["<li id=\"event-", "connection refused"],
    )
    .await;
    let (_, events) = agent.get("/peers/sim-2/events?before=1").await;
    assert!(events.contains("Nothing has happened yet."), "{events}");
    assert!(events.contains(">Newest</a>"), "{events}");
    for (path, expected) in [
        ("/peers/%3Cscript%3E", "No peer is called &#60;script&#62;."),
        ("/peers/none/charts", "No peer is called none."),
        (
            "/peers/sim-1/nothing",
            "has no part &#34;nothing&#34;; its parts are: charts events diagnostics.",
        ),
    ] {
        let (status, page) = agent.get(path).await;
        assert!(status == 404 && page.contains(expected), "{path}: {page}");
    }
    let (status, _) = agent.get("/peers/sim-1/nothing/live").await;
    assert_eq!(status, 404);
    agent.stop().await;
}

#[tokio::test]
async fn the_address_of_charts_says_which_time_they_show() {
    let (agent, _network) = fleet("").await;
    assert_shows(
        &agent,
        "/peers/sim-1/charts",
        &[
            "<a href=\"?\" aria-current=\"true\">last polls</a>",
            "<figcaption>Latency",
            "<figcaption>Finality delay",
            "<figcaption>Pending blocks",
            "<th scope=\"col\" data-chart=\"0\" data-line=\"0\">Latency: http</th>",
            "<script src=\"/charts.js\" defer></script>",
            "<meta http-equiv=\"refresh\"",
        ],
    )
    .await;
    for span in ["1h", "6h", "24h", "7d", "90d"] {
        let current = format!("<a href=\"?span={span}\" aria-current=\"true\">");
        let path = format!("/peers/sim-1/charts?span={span}");
        assert_shows(&agent, &path, &[&current]).await;
    }
    let past = "/peers/sim-1/charts?from=2026-01-31T11%3A00&to=2026-01-31T12%3A00";
    assert_shows(
        &agent,
        past,
        &[
            "value=\"2026-01-31T11:00:00\"",
            "href=\"?from=2026-01-31T12:00:00Z&#38;to=2026-01-31T13:00:00Z\">later",
            "Nothing was measured in this time.",
        ],
    )
    .await;
    let (_, page) = agent.get(past).await;
    assert!(!page.contains("http-equiv=\"refresh\""), "the past stays");
    assert_shows(
        &agent,
        "/peers/sim-1/charts?from=%3Cb%3E",
        &["`from` is &#34;&#60;b&#62;&#34;; it must be a time in UTC such as"],
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_missing_stake_is_named_before_an_endpoint_that_fails() {
    let network = simulated::network(5, &["http-500:2", "low-stake:2"], Some("500ms")).await;
    let peers: Vec<String> = (1..=network.len())
        .map(|i| {
            let (http, tcp) = (network.http(i), network.tcp(i));
            format!("  - {{ name: sim-{i}, endpoints: ['http://{http}', 'tcp://{tcp}'] }}\n")
        })
        .collect();
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 1s, timeout: 900ms, down_after: 1, up_after: 1 }}\n\
         networks: [{{ name: default, stake_interval: 10s }}]\npeers:\n{}",
        peers.concat()
    ))
    .await;
    until("both troubles are known", async || {
        let (_, page) = agent.get("/peers/sim-2").await;
        page.contains("HTTP error") && page.contains("own stake")
    })
    .await;
    assert_shows(
        &agent,
        "/peers/sim-2",
        &["<p class=\"trouble\">own stake is below the minimum"],
    )
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn texts_of_a_hostile_peer_are_shown_and_harmless() {
    let evil =
        "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}\u{0}\u{1b}[31m\u{200b}";
    let long = evil.repeat(900_000 / evil.len());
    let says = |text: &str| Script {
        fault: Fault::Says(text.to_owned()),
        ..Script::default()
    };
    let short = FakePeer::start(says(evil)).await;
    let long = FakePeer::start(says(&long)).await;
    let body = FakePeer::start(Script {
        fault: Fault::Http(500, "<script>alert(3)</script>\u{202e}\u{7}"),
        ..Script::default()
    })
    .await;
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 60s, timeout: 55s, down_after: 1 }}\n\
         peers: [{{ name: short, endpoints: ['tcp://{}'] }}, {{ name: long, endpoints: ['tcp://{}'] }}, {{ name: body, endpoints: ['http://{}'] }}]\n",
        short.tcp, long.tcp, body.http
    ))
    .await;
    for series in [
        "polls_total{peer=\"short\"",
        "polls_total{peer=\"long\"",
        "poll_failures_total{peer=\"body\"",
    ] {
        let series = format!("convex_peer_{series},network=\"default\"}}");
        agent.wait_for(&series, |polls| polls >= 1.0).await;
    }
    for path in [
        "/",
        "/peers/short",
        "/peers/long",
        "/peers/body",
        "/peers/short/events",
        "/peers/long/diagnostics",
        "/peers/body/charts",
    ] {
        let (status, page) = agent.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(page.len() < 100_000, "{path}: {} bytes", page.len());
        for harmful in [
            "<script>",
            "<img",
            "onerror=alert(2)>\"",
            "\u{202e}",
            "\u{200b}",
            "\u{1b}",
            "\u{0}",
            "\u{7}",
        ] {
            assert!(!page.contains(harmful), "{path} has {harmful:?}: {page}");
        }
    }
    let (_, page) = agent.get("/peers/short/diagnostics").await;
    assert!(
        page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"),
        "the text is escaped: {page}"
    );
    agent.stop().await;
}

#[tokio::test]
async fn the_runbook_links_of_the_alert_rules_work_at_the_agent() {
    let (agent, _network) = fleet("").await;
    let (status, page) = agent.get("/runbooks/ConvexPeerDown.md").await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<h1>ConvexPeerDown</h1>"), "{page}");
    agent.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_content_security_policy_and_every_page_obeys_it() {
    let (agent, _network) = fleet("external_url: https://mon.example/convex/\n").await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    for path in [
        "/convex/",
        "/convex/?group=network",
        "/convex/peers/sim-2",
        "/convex/peers/sim-2/charts",
        "/convex/peers/sim-2/events",
        "/convex/peers/sim-2/diagnostics",
        "/convex/peers/none",
        "/convex/alerts",
        "/convex/alerts?state=bad",
        "/convex/events",
        "/convex/events?kind=agent_started",
        "/convex/networks",
        "/convex/configuration",
        "/convex/runbooks/",
        "/convex/runbooks/ConvexPeerDown",
        "/convex/live.js",
        "/convex/charts.js",
        "/convex/style.css",
        "/convex/icon.svg",
        "/convex/metrics",
        "/nothing",
    ] {
        let answer = client
            .get(format!("http://{}{path}", agent.address))
            .send()
            .await
            .unwrap();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        let policy = header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'")
                && policy.contains("frame-ancestors 'none'")
                && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(
            header("x-content-type-options").as_deref(),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            header("referrer-policy").as_deref(),
            Some("same-origin"),
            "{path}"
        );
        if header("content-type").is_none_or(|kind| !kind.starts_with("text/html")) {
            continue;
        }
        let page = answer.text().await.unwrap();
        for forbidden in [
            "<style",
            " style=\"",
            "<script>",
            " onclick",
            " onload",
            "javascript:",
            "href=\"http",
        ] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}: {page}");
        }
        for attribute in [" href=\"", " src=\"", " action=\"", " data-live=\""] {
            for rest in page.split(attribute).skip(1) {
                let fits = ["/convex/", "#", "?"]
                    .iter()
                    .any(|start| rest.starts_with(start))
                    || path.contains("runbooks/Convex");
                assert!(fits, "{path}:{attribute}{}", &rest[..rest.len().min(60)]);
            }
        }
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_sidecar_agent_shows_first_whether_the_peer_or_the_network_fails() {
    let other = FakePeer::start(Script::default()).await;
    let front_page = async |other: Option<&FakePeer>| {
        let reference = other.map_or(String::new(), |other| {
            format!(
                "  - {{ name: other, role: reference, endpoints: ['tcp://{}'] }}\n",
                other.tcp
            )
        });
        let agent = Agent::start(&format!(
            "mode: sidecar\ndefaults: {{ interval: 1s, timeout: 900ms, down_after: 1, up_after: 1 }}\nreferences: {{ interval: 1s }}\npeers:\n\
             \x20 - {{ name: mine, endpoints: ['tcp://127.0.0.1:1'], sidecar: {{ command_contains: no-process-is-called-so }} }}\n{reference}"
        ))
        .await;
        let gone = "convex_peer_process_up{peer=\"mine\",network=\"default\"}";
        agent.wait_for(gone, |value| value == 0.0).await;
        let polls = "convex_peer_polls_total{peer=\"mine\",network=\"default\"}";
        agent.wait_for(polls, |polls| polls >= 2.0).await;
        if other.is_some() {
            let up = "convex_peer_up{peer=\"other\",network=\"default\"}";
            agent.wait_for(up, |up| up == 1.0).await;
        }
        let page = agent.get("/").await.1;
        assert!(page.contains("Is it <bdi>mine</bdi> or the network?"));
        assert!(page.contains("Its process does not run on this host."));
        agent.stop().await;
        page
    };
    let page = front_page(Some(&other)).await;
    assert!(
        page.contains(">The peer.<") && page.contains("1 of 1 other watched peers answer"),
        "{page}"
    );
    let page = front_page(None).await;
    assert!(
        page.contains(">The peer.<")
            && page.contains("This is the only peer that is watched on this network"),
        "{page}"
    );
}

#[tokio::test]
async fn the_poll_form_polls_at_once_unless_it_is_on_another_site() {
    let fake = FakePeer::start(Script::default()).await;
    let silent = FakePeer::start(Script {
        fault: Fault::Silent,
        ..Script::default()
    })
    .await;
    let agent = Agent::start(&format!(
        "external_url: https://mon.example/convex/\n\
         defaults: {{ interval: 1h, timeout: 5s }}\n\
         peers:\n\
         - {{ name: one, endpoints: ['tcp://{}'] }}\n\
         - {{ name: silent, timeout: 30m, endpoints: ['tcp://{}'] }}\n",
        fake.tcp, silent.tcp
    ))
    .await;
    let (_, page) = agent.get("/convex/peers/silent").await;
    assert!(page.contains("not polled yet"), "{page}");
    let polls = "convex_peer_polls_total{peer=\"one\",network=\"default\"}";
    agent.wait_for(polls, |polls| polls == 1.0).await; // The next one is an hour later.
    let foreign = [("origin", "https://evil.example")];
    let form = "/convex/peers/one/poll?tab=events";
    let (status, page) = agent.post(form, &foreign).await;
    assert!(
        status == 403 && page.contains("The peer was not polled: "),
        "{status}: {page}"
    );
    let events = "<a href=\"/convex/peers/one/events\" aria-current=\"page\">Events</a>";
    assert!(page.contains(events), "the same part of the page: {page}");
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let url = format!("http://{}/convex/peers/one/poll", agent.address);
    let answer = client.post(url).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let location = answer.headers()["location"].to_str().unwrap();
    let result = location.strip_suffix("#poll-result").unwrap().to_owned();
    assert!(result.starts_with("/convex/peers/one?polled="), "{result}");
    let (_, page) = agent.get(&result).await;
    for expected in [
        "last 2 polls: 2 good",
        "<strong class=\"up\">The peer answered</strong>",
        "<span class=\"quiet\">tcp</span> ",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    let (status, _) = agent.post("/convex/peers/none/poll", &[]).await;
    assert_eq!(status, 404);
    agent.stop().await;
}

/// Reads on until the text contains `wanted`.
async fn read_until(answer: &mut reqwest::Response, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.contains(wanted) {
            let chunk = answer.chunk().await.unwrap();
            let chunk =
                chunk.unwrap_or_else(|| panic!("the stream ended without {wanted}: {text}"));
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let found = tokio::time::timeout(DEADLINE, reading).await;
    assert!(found.is_ok(), "no {wanted} in {text}");
    text
}

#[tokio::test]
async fn changes_are_streamed_to_open_pages_until_the_agent_stops() {
    let fake = FakePeer::start(Script::default()).await;
    let agent = Agent::start(&format!(
        "defaults: {{ interval: 1s, timeout: 900ms, down_after: 1, up_after: 1 }}\npeers: [{{ name: one, endpoints: ['tcp://{}'] }}]\n",
        fake.tcp
    ))
    .await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let mut streams = Vec::new();
    for path in ["/live", "/peers/one/live"] {
        let url = format!("http://{}{path}", agent.address);
        let mut answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        read_until(&mut answer, "event: news").await;
        streams.push(answer);
    }
    for answer in &mut streams {
        read_until(answer, "is-up").await;
    }
    fake.set(|script| script.fault = Fault::Close);
    for answer in &mut streams {
        read_until(answer, "is-down").await;
    }
    let mut last = streams.pop().unwrap();
    let stopping = tokio::spawn(agent.stop());
    let ended = async { while last.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(DEADLINE, ended)
        .await
        .expect("the stream ends");
    stopping.await.unwrap();
}

#[tokio::test]
async fn the_number_of_live_pages_is_limited() {
    let agent = Agent::start("peers: [{ name: gone, endpoints: ['tcp://127.0.0.1:1'] }]\n").await;
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let mut open = Vec::new();
    let refused = loop {
        let url = format!("http://{}/live", agent.address);
        let answer = client.get(url).send().await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        open.push(answer);
        assert!(open.len() < 200, "the number is not limited");
    };
    assert_eq!(refused.status(), 503);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("too many pages are open")
    );
    open.pop();
    until("a closed page makes room for another", async || {
        let url = format!("http://{}/live", agent.address);
        client.get(&url).send().await.unwrap().status() == 200
    })
    .await;
    drop(open);
    agent.stop().await;
}
