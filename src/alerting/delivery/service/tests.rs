//! Tests of what the users of each service see of an incident, whatever goes wrong on the way. The
//! services are stand-ins that refuse what the real ones document that they refuse.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::config::{Mode, Peer};
use crate::fleet::{
    Condition, Health, Opinion, OtherVantage, PeerOpinion, ReceivedOpinion, Vantages,
};

use super::super::grouping_tests::Fixture;
use super::super::outbox::FirstNotice;
use super::super::sender::{Answer, DeliveryError, Request};
use super::super::stand_ins::{Call, Fault, Kind, Message, PAUSE, StandIn};
use super::{Effect, courier, read, request};

const ALL: [Kind; 6] = [
    Kind::Discord,
    Kind::Slack,
    Kind::SlackWebhook,
    Kind::Telegram,
    Kind::Ntfy,
    Kind::PagerDuty,
];

/// Services whose messages can be edited.
const EDITABLE: [Kind; 3] = [Kind::Discord, Kind::Slack, Kind::Telegram];

/// Time between two evaluations unless a test says otherwise, in seconds.
const TICK: u64 = 10;

/// How long it takes from a cause to the message about it, in seconds.
const BEGINS: u64 = 100;

/// How long it takes from the last cause to the message about the end, in seconds.
const ENDS: u64 = 200;

/// An agent with one receiver, whose service is a stand-in.
struct Scene {
    fixture: Fixture,
    service: StandIn,
    /// Time between two evaluations, in seconds.
    tick: u64,
    /// What is on disk.
    saved: Value,
    /// Number of moments until the agent is killed.
    killed_in: Option<usize>,
    /// Number of moments at which it could have been killed.
    moments: usize,
}

impl Scene {
    fn new(kind: Kind, peers: usize) -> Self {
        Self::with_settings(kind, peers, "")
    }

    fn with_settings(kind: Kind, peers: usize, settings: &str) -> Self {
        let receiver = StandIn::receiver(kind, "http://192.0.2.9");
        let receiver = receiver.replace(" }", &format!("{settings} }}"));
        Self {
            fixture: Fixture::with_notify(peers, &format!("{{ receivers: [{receiver}] }}")),
            service: StandIn::new(kind),
            tick: TICK,
            saved: Value::Null,
            killed_in: None,
            moments: 0,
        }
    }

    /// Evaluates and delivers for this long.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds.div_ceil(self.tick) {
            self.fixture.evaluate();
            let state = serde_json::to_value(self.fixture.outbox.export()).unwrap();
            if state != self.saved && self.survives() {
                self.saved = state;
            }
            self.fixture.outbox.publish();
            while self.send() {}
            self.fixture.now += Duration::from_secs(self.tick);
            self.fixture.wall += Duration::from_secs(self.tick);
        }
    }

    /// A moment at which the agent may be killed: another one starts with what is on disk.
    fn survives(&mut self) -> bool {
        self.moments += 1;
        let is_last = self.killed_in == Some(0);
        self.killed_in = match self.killed_in {
            Some(0) | None => None,
            Some(moments) => Some(moments - 1),
        };
        if is_last {
            let saved = self.saved.clone();
            self.fixture.restart(|state| {
                if !saved.is_null() {
                    *state = saved;
                }
            });
        }
        !is_last
    }

    /// Sends the first message. Returns whether there may be another one to send now.
    fn send(&mut self) -> bool {
        if self.fixture.outbox.first_notice("ops").0.is_none() || !self.survives() {
            return false;
        }
        let outbox = &self.fixture.outbox;
        let Some(first) = outbox.first_notice("ops").0 else {
            return false;
        };
        let FirstNotice { notice, message } = &first;
        let receiver = self.fixture.config.notify.receivers[0].clone();
        let Some(request) = request(&receiver.service, notice, message.as_deref()) else {
            outbox.notice_done("ops", notice, None);
            return true;
        };
        let target = &receiver.target;
        let token = target.http.bearer_token.as_ref();
        let call = call(&request, target.url.expose(), token.map(|it| it.expose()));
        let answer = self.exchange(&call);
        if !self.survives() {
            return false;
        }
        let reading = read(&receiver, &answer);
        courier::settle(&self.fixture.outbox, "ops", &first, &reading.outcome);
        !matches!(reading.outcome, Err(DeliveryError::Retryable(_)))
    }

    fn exchange(&mut self, call: &Call) -> Answer {
        let reply = self.service.handle(call);
        let mut headers = HeaderMap::new();
        for (name, value) in reply.headers {
            headers.insert(name, HeaderValue::try_from(value).unwrap());
        }
        Answer {
            status: StatusCode::from_u16(reply.status).unwrap(),
            headers,
            body: reply.body.into_bytes(),
        }
    }

    fn recover(&mut self, peer: usize) {
        self.fixture.peers[peer - 1].health = Health::Up;
    }

    /// An operator says this about alerts.
    fn declare(&mut self, kind: &str, matchers: &Value) {
        let millis = |seconds| {
            let wall = self.fixture.wall + Duration::from_secs(seconds);
            let since = wall.duration_since(SystemTime::UNIX_EPOCH);
            u64::try_from(since.unwrap().as_millis()).unwrap()
        };
        let mut action = matchers.clone();
        for (name, value) in [
            ("id", json!(1)),
            ("kind", json!(kind)),
            ("created_by", json!("<@U1> & alice")),
            ("comment", json!("**disk** is being replaced")),
            ("declared", json!(millis(0))),
            ("starts", json!(millis(0))),
            ("ends", json!(millis(4 * 3_600))),
        ] {
            action[name] = value;
        }
        // As after a restart, to which nothing else makes a difference.
        self.fixture
            .restart(|state| state["actions"] = json!([action]));
    }

    /// Checks that the service had nothing to complain about, and that nothing waits.
    fn check(&self) {
        let kind = self.service.kind;
        assert_eq!(self.service.complaints, Vec::<String>::new(), "{kind:?}");
        let waiting = self.fixture.outbox.first_notice("ops").0;
        assert!(waiting.is_none(), "{kind:?}: {waiting:?}");
    }
}

fn call(request: &Request, url: &str, token: Option<&str>) -> Call {
    let mut url = Url::parse(url).unwrap();
    if !request.subpath.is_empty() {
        let path = format!("{}{}", url.path().trim_end_matches('/'), request.subpath);
        url.set_path(&path);
    }
    let query = request.query.iter();
    let query: Vec<String> = query
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Call {
        method: request.method.to_string(),
        path: url.path().to_owned(),
        query: query.join("&"),
        authorization: token.map(|token| format!("Bearer {token}")),
        body: serde_json::from_slice(&request.body).unwrap(),
    }
}

/// Titles without the word for the severity, each once, in order.
fn distinct<'a>(titles: &[&'a str]) -> Vec<&'a str> {
    let mut distinct: Vec<&str> = Vec::new();
    for title in titles {
        let (word, rest) = title.split_once(": ").unwrap_or(("", title));
        let title = if word == "Critical" { rest } else { title };
        if !distinct.contains(&title) {
            distinct.push(title);
        }
    }
    distinct
}

#[test]
fn an_incident_is_one_thread_from_its_beginning_to_its_end() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 3);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        let first = scene.service.messages.clone();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        let text = &first[0].text;
        for part in [
            "Since ",
            "Seen from v.",
            "First: ",
            "/peers/p1",
            "/runbooks/ConvexPeerDown",
        ] {
            let is_elsewhere = kind == Kind::Ntfy && part.starts_with('/');
            assert!(
                is_elsewhere || text.contains(part),
                "{kind:?}: {part} in {text}"
            );
        }
        // Only figures change: at most an edit now and then.
        scene.run(700);
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        let edits = if EDITABLE.contains(&kind) {
            1..=2
        } else {
            0..=0
        };
        let message = &scene.service.messages[0];
        assert!(edits.contains(&message.edits), "{kind:?}: {message:?}");
        // Worse: news, and of the same thread where there are threads.
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let news = ["p1 of n is down", "p2 of n is down"];
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        // Better, but not over: at most an edit.
        scene.recover(1);
        scene.run(ENDS);
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        scene.recover(2);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        if kind == Kind::PagerDuty {
            let states: Vec<&str> = messages.iter().map(|it| it.state).collect();
            assert_eq!(states, ["resolved", "resolved"]);
            assert_ne!(messages[0].id, messages[1].id);
            continue;
        }
        assert_eq!(messages.len(), 3, "{kind:?}: {messages:?}");
        let over = "Resolved: p1 of n is down";
        assert_eq!(messages[2].title.trim_matches('*'), over, "{kind:?}");
        if EDITABLE.contains(&kind) {
            // Two alerts, one alert, none, and figures.
            assert!(messages[0].edits >= 3, "{kind:?}: {messages:?}");
            assert_eq!(messages[0].title, over, "{kind:?}");
        } else {
            assert_eq!(messages[0].edits, 0, "{kind:?}");
        }
        let has_threads = matches!(kind, Kind::Slack | Kind::Telegram);
        let thread = has_threads.then(|| messages[0].id.clone());
        assert_eq!(messages[1].reply_to, thread, "{kind:?}");
        assert_eq!(messages[2].reply_to, thread, "{kind:?}");
    }
}

#[test]
fn texts_of_strangers_mention_nobody_and_break_nothing() {
    let long = format!("{}<&>\"@here**", "x&<".repeat(60));
    let hostile = [
        "<!channel> & <@U012345> <b>bold</b> &lt; &#64;",
        "@everyone @here @channel **bold** _it_ ~~s~~ `c` ||s|| # h > q",
        "[link](http://evil.example) ](<http://x>) \\ \\* a\\",
        "\u{202e}tsrif\u{2066} \u{1f600}\u{1f600} é ü \"quoted\" 'single'",
        "</b></a><a href=\"http://evil.example\">x</a> @bot_name ://",
        &long,
    ];
    for kind in ALL {
        let mut scene = Scene::new(kind, hostile.len());
        for (record, text) in scene.fixture.peers.iter_mut().zip(hostile) {
            let mut peer = Peer::clone(&record.peer);
            text.clone_into(&mut peer.name);
            record.peer = Arc::new(peer);
        }
        for i in 1..=hostile.len() {
            scene.fixture.fail(i..=i);
            scene.run(BEGINS);
        }
        scene.check();
        assert!(scene.service.news().len() >= hostile.len(), "{kind:?}");
        scene.fixture.end();
        scene.run(ENDS);
        scene.check();
    }
}

#[test]
fn a_storm_of_peers_is_a_handful_of_messages() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 500);
        // Evaluating so many peers takes long.
        scene.tick = 60;
        scene.fixture.fail(1..=500);
        scene.run(3 * 60);
        scene.check();
        let news = scene.service.news();
        assert_eq!(news.len(), 1, "{kind:?}: {news:?}");
        assert!(
            news[0].contains("and 499 more alerts"),
            "{kind:?}: {news:?}"
        );
        assert!(
            scene.service.messages[0]
                .text
                .contains("490 × ConvexPeerDown"),
            "{kind:?}: {:?}",
            scene.service.messages[0]
        );
        scene.fixture.end();
        scene.run(5 * 60);
        scene.check();
        assert!(scene.service.messages.len() <= 2, "{kind:?}");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_and_doubles_only_what_was_on_its_way() {
    // One of each way to show an incident.
    for kind in [Kind::Telegram, Kind::Ntfy, Kind::PagerDuty] {
        let story = |killed_in: Option<usize>| {
            let mut scene = Scene::new(kind, 2);
            scene.killed_in = killed_in;
            scene.fixture.fail(1..=1);
            scene.run(BEGINS);
            scene.fixture.fail(2..=2);
            scene.run(BEGINS);
            scene.fixture.end();
            // After a restart alerts fire for longer.
            scene.run(2 * ENDS);
            scene.check();
            scene
        };
        let whole = story(None);
        let expected = distinct(&whole.service.news());
        for moment in 0..whole.moments {
            let scene = story(Some(moment));
            let news = scene.service.news();
            assert_eq!(distinct(&news), expected, "{kind:?} at {moment}");
            let doubled = news.len() - expected.len();
            assert!(doubled <= 1, "{kind:?} at {moment}: {news:?}");
            if kind == Kind::PagerDuty {
                assert_eq!(doubled, 0, "at {moment}: {news:?}");
                let open = |it: &&Message| it.state != "resolved";
                assert_eq!(
                    scene.service.messages.iter().find(open),
                    None,
                    "at {moment}"
                );
            }
        }
    }
}

#[test]
fn errors_of_the_service_lose_only_what_it_can_never_take() {
    for kind in ALL {
        for (faults, doubled) in [
            (&[Fault::Busy, Fault::Broken, Fault::Busy][..], 0),
            (&[Fault::AnswerLost][..], 1),
        ] {
            let mut scene = Scene::new(kind, 1);
            scene.service.faults.extend(faults);
            scene.fixture.fail(1..=1);
            scene.run(BEGINS);
            scene.fixture.end();
            scene.run(ENDS);
            scene.check();
            let news = scene.service.news();
            // A page is known by its key.
            let doubled = if kind == Kind::PagerDuty { 0 } else { doubled };
            let expected = distinct(&news).len();
            assert_eq!(
                news.len(),
                expected + doubled,
                "{kind:?} {faults:?}: {news:?}"
            );
            assert!(
                news[0].ends_with("p1 of n is down"),
                "{kind:?} {faults:?}: {news:?}"
            );
        }
        // What is invalid is dropped, and the next message is sent.
        let mut scene = Scene::new(kind, 2);
        scene.service.faults.push_back(Fault::Invalid);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        assert_eq!(scene.service.news(), Vec::<&str>::new(), "{kind:?}");
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        scene.check();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p2 of n is down"],
            "{kind:?}"
        );
    }
}

#[test]
fn a_message_that_is_gone_is_replaced() {
    for kind in EDITABLE {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=2);
        scene.run(BEGINS);
        scene.service.delete_all();
        scene.recover(1);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        assert_eq!(messages.len(), 1, "{kind:?}: {messages:?}");
        assert!(
            messages[0].title.ends_with("p2 of n is down"),
            "{messages:?}"
        );
        // An edit notifies nobody, so what replaces it should not either; Slack cannot do so.
        assert_eq!(messages[0].quiet, kind != Kind::Slack, "{kind:?}");
        scene.recover(2);
        scene.run(ENDS);
        scene.check();
        let messages = &scene.service.messages;
        assert_eq!(
            (messages.len(), messages[0].edits),
            (2, 1),
            "{kind:?}: {messages:?}"
        );
    }
}

#[test]
fn an_edit_that_changes_nothing_is_done() {
    for kind in EDITABLE {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=2);
        scene.run(BEGINS);
        scene.service.faults.push_back(Fault::AnswerLost);
        scene.recover(1);
        scene.run(ENDS);
        scene.check();
        assert_eq!(scene.service.messages.len(), 1, "{kind:?}");
    }
}

#[test]
fn a_pause_is_understood_in_the_way_of_each_service() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 1);
        scene.service.faults.push_back(Fault::Busy);
        let call = Call {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            authorization: None,
            body: Value::Null,
        };
        let answer = scene.exchange(&call);
        let reading = read(&scene.fixture.config.notify.receivers[0], &answer);
        let retryable = matches!(reading.outcome, Err(DeliveryError::Retryable(_)));
        assert!(retryable, "{kind:?}: {reading:?}");
        let expected = match kind {
            // More exact than the header.
            Kind::Discord => Some(Duration::from_millis(2_640)),
            Kind::Telegram => Some(Duration::from_secs(PAUSE)),
            // By the header only, or not at all.
            Kind::Slack | Kind::SlackWebhook | Kind::Ntfy | Kind::PagerDuty => None,
        };
        assert_eq!(reading.pause, expected, "{kind:?}");
    }
}

#[test]
fn what_can_be_corrected_is_tried_again_and_no_secret_is_quoted() {
    let fixture = |kind| Scene::new(kind, 1).fixture.config.notify.receivers[0].clone();
    for (kind, status, body) in [
        (
            Kind::Discord,
            404,
            r#"{"message":"Unknown Webhook","code":10015}"#,
        ),
        (Kind::Slack, 200, r#"{"ok":false,"error":"invalid_auth"}"#),
        (Kind::Slack, 200, r#"{"ok":false,"error":"not_in_channel"}"#),
        (Kind::SlackWebhook, 403, "action_prohibited"),
        (
            Kind::Telegram,
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request: chat not found 123:s3cret"}"#,
        ),
        (
            Kind::Ntfy,
            401,
            r#"{"code":40101,"error":"unauthorized tk_s3cret"}"#,
        ),
        (
            Kind::PagerDuty,
            400,
            r#"{"errors":["routing_key 0123456789abcdef0123456789abcdef is invalid"]}"#,
        ),
    ] {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        match read(&fixture(kind), &answer).outcome {
            Err(DeliveryError::Retryable(why)) => {
                let secret = why.contains("s3cret") || why.contains("0123456789abcdef");
                assert!(!secret, "{kind:?}: {why}");
            }
            other => panic!("{kind:?} {body}: {other:?}"),
        }
    }
    let gone = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: br#"{"ok":false,"error":"message_not_found"}"#.to_vec(),
    };
    let outcome = read(&fixture(Kind::Slack), &gone).outcome;
    assert!(matches!(outcome, Ok(Effect::Gone)), "{outcome:?}");
}

#[test]
fn critical_alerts_are_repeated_until_somebody_acknowledges_them() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 1);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS + 3_600);
        scene.check();
        // A service with pages repeats by itself.
        let repeats = usize::from(kind != Kind::PagerDuty);
        let news = scene.service.news();
        assert_eq!(news.len(), 1 + repeats, "{kind:?}: {news:?}");
        assert!(news[repeats].ends_with("p1 of n is down"), "{news:?}");
    }
}

#[test]
fn an_acknowledged_alert_is_not_repeated_and_the_message_says_by_whom() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        let labels = json!({
            "alertname": "ConvexPeerDown", "severity": "critical", "peer": "p1", "network": "n",
        });
        scene.declare("acknowledgement", &labels);
        scene.run(3_800);
        scene.check();
        assert_eq!(scene.service.news().len(), 1, "{kind:?}");
        let first = &scene.service.messages[0];
        if EDITABLE.contains(&kind) {
            let says_so = first.text.contains("Acknowledged by ") && first.text.contains("alice");
            assert!(says_so, "{kind:?}: {first:?}");
        }
        if kind == Kind::PagerDuty {
            assert_eq!(first.state, "acknowledged");
        }
        // Worse is news, whatever is acknowledged.
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let news = ["p1 of n is down", "p2 of n is down"];
        assert_eq!(distinct(&scene.service.news()), news, "{kind:?}");
        // So is the end.
        scene.fixture.end();
        scene.run(2 * ENDS);
        scene.check();
        let ends = if kind == Kind::PagerDuty { 0 } else { 1 };
        assert_eq!(scene.service.news().len(), 2 + ends, "{kind:?}");
    }
}

#[test]
fn a_silenced_alert_is_not_sent_and_the_end_of_one_that_was_is() {
    for kind in ALL {
        let mut scene = Scene::new(kind, 2);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        scene.declare("silence", &json!({ "network": "n" }));
        scene.fixture.fail(2..=2);
        scene.run(3_800);
        scene.check();
        assert_eq!(
            distinct(&scene.service.news()),
            ["p1 of n is down"],
            "{kind:?}"
        );
        assert_eq!(scene.service.news().len(), 1, "{kind:?}");
        scene.fixture.end();
        scene.run(2 * ENDS);
        scene.check();
        let ends = if kind == Kind::PagerDuty { 0 } else { 1 };
        assert_eq!(scene.service.news().len(), 1 + ends, "{kind:?}");
        if kind == Kind::PagerDuty {
            assert_eq!(scene.service.messages[0].state, "resolved");
        }
    }
}

#[test]
fn only_alerts_of_the_networks_and_severities_of_a_receiver_are_sent() {
    let mut scene = Scene::with_settings(Kind::Ntfy, 1, ", min_severity: critical");
    scene.fixture.peers[0].conditions.insert(Condition::Lagging);
    scene.run(2 * BEGINS);
    assert_eq!(scene.service.news(), Vec::<&str>::new());
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(distinct(&scene.service.news()), ["p1 of n is down"]);
    // The peers are of the network n.
    let mut scene = Scene::with_settings(Kind::Ntfy, 1, "");
    scene.fixture.config.notify.receivers[0].networks = vec!["other".to_owned()];
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(scene.service.news(), Vec::<&str>::new());
}

#[test]
fn pages_have_the_same_keys_for_all_agents_and_their_labels() {
    let keys = |vantage: &str, later: u64, labels: &str| {
        let mut scene = Scene::new(Kind::PagerDuty, 2);
        scene.fixture.config.vantage = vantage.to_owned();
        let labels = [("cluster".to_owned(), labels.to_owned())];
        scene.fixture.config.notify.labels = labels.into();
        scene.run(later);
        scene.fixture.fail(1..=1);
        scene.run(BEGINS);
        scene.fixture.fail(2..=2);
        scene.run(BEGINS);
        let alerts = scene.service.messages.into_iter();
        alerts.map(|alert| alert.id).collect::<Vec<_>>()
    };
    let expected = keys("eu-1", 0, "a");
    assert_eq!(expected.len(), 2);
    assert_eq!(keys("us-1", 200, "a"), expected);
    assert_ne!(keys("eu-1", 0, "b"), expected);
}

#[test]
fn a_page_is_resolved_only_when_no_other_agent_sees_trouble() {
    let vantages = |health| {
        let on_peer = PeerOpinion {
            name: "p1".to_owned(),
            network: "n".to_owned(),
            key: None,
            health,
            good_poll_age_seconds: None,
            interval_seconds: 15.0,
            proven: Vec::new(),
        };
        let opinion = Opinion {
            vantage: "w".to_owned(),
            mode: Mode::Central,
            networks: Vec::new(),
            acknowledged: Vec::new(),
            peers: vec![on_peer],
        };
        Vantages {
            others: vec![OtherVantage {
                name: "w".to_owned(),
                opinion: Some(Arc::new(ReceivedOpinion::new(opinion, Instant::now()))),
            }],
            ..Vantages::default()
        }
    };
    let mut scene = Scene::new(Kind::PagerDuty, 1);
    scene.fixture.vantages = vantages(Health::Down);
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    scene.recover(1);
    scene.run(ENDS + 600);
    scene.check();
    assert_eq!(scene.service.messages[0].state, "triggered");
    // Another alert of the peer goes on under the same key.
    scene.fixture.fail(1..=1);
    scene.run(BEGINS);
    assert_eq!(scene.service.messages.len(), 1);
    scene.recover(1);
    scene.run(ENDS);
    scene.fixture.vantages = vantages(Health::Up);
    scene.run(TICK);
    scene.check();
    assert_eq!(scene.service.messages[0].state, "resolved");
}
