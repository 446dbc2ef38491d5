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

#[tokio::test]
async fn the_page_of_a_peer_shows_its_problems_their_cause_and_its_history() {
    let (agent, _network) = fleet("").await;
    let (status, page) = agent.get("/peers/sim-2").await;
    assert_eq!(status, 200);
    for expected in [
        "<title>sim-2 is down · Convex peers</title>",
        "Is it this peer or the network? <span class=\"down\">The peer.</span>",
        "4 of 4 other watched peers answer",
        "<strong>connection refused</strong> <code>refused</code> <small class=\"quiet\"><time",
        " data-lasting>for ",
        "<h3>What to do</h3>",
        "action=\"/peers/sim-2/poll\"",
        "Last failed poll, <time datetime=",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    let (_, page) = agent.get("/peers/sim-1").await;
    for expected in [
        "<span class=\"up\">Neither: all is well.</span>",
        "<strong>100\u{a0}%</strong>",
        "<code><bdi>0x",
        "STATUS over tcp, <time",
        "query over tcp, <time",
        "<svg class=\"chart\" role=\"img\"",
        "(coin-supply)",
        "<caption>Compared with peers</caption>",
    ] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    for span in ["1h", "6h", "24h", "7d", "90d"] {
        let (status, page) = agent.get(&format!("/peers/sim-1?span={span}")).await;
        let current = format!("<a href=\"?span={span}\" aria-current=\"true\">");
        assert!(status == 200 && page.contains(&current), "{span}: {page}");
    }
    let (status, page) = agent.get("/peers/%3Cscript%3E").await;
    assert!(
        status == 404 && page.contains("No peer is called &#60;script&#62;."),
        "{status}: {page}"
    );
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
    for path in ["/", "/peers/short", "/peers/long", "/peers/body"] {
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
    let (_, page) = agent.get("/peers/short").await;
    assert!(
        page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"),
        "the text is escaped: {page}"
    );
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
        assert!(page.contains("Its process is not there on this host."));
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
        page.contains(">The peer.<") && page.contains("No other peer of the network is watched"),
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
    let (status, page) = agent.post("/convex/peers/one/poll", &foreign).await;
    assert!(
        status == 403 && page.contains("The peer was not polled: "),
        "{status}: {page}"
    );
    let client = http_client(&HttpOptions::default(), DEADLINE).unwrap();
    let url = format!("http://{}/convex/peers/one/poll", agent.address);
    let answer = client.post(url).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], "/convex/peers/one");
    let (_, page) = agent.get("/convex/peers/one").await;
    assert!(page.contains("last 2 polls: 2 good"), "{page}");
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
