//! Tests of what the users of each service see of an incident, whatever goes wrong on the way. The
//! services are stand-ins that refuse what the real ones document that they refuse.

mod faults;
mod operators;
mod pages;
mod thread;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::config::Secret;
use crate::fleet::Health;

use super::super::grouping_tests::Fixture;
use super::super::sender::{Answer, DeliveryError, Request};
use super::super::service_state::FirstNotice;
use super::super::stand_ins::{Call, Kind, StandIn};
use super::{courier, read, request};

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
        let receiver = self.fixture.config.notify.receivers[0].clone();
        let first = courier::first_notice(&self.fixture.outbox, &receiver).0;
        let Some(first) = first.filter(|_| self.survives()) else {
            return false;
        };
        let outbox = &self.fixture.outbox;
        let FirstNotice { notice, message } = &first;
        let Some(request) = request(&receiver.service, notice, message.as_deref()) else {
            outbox.notice_done("ops", notice, None);
            return true;
        };
        let target = &receiver.target;
        let token = target.http.bearer_token.as_ref();
        let call = call(&request, target.url.expose(), token.map(Secret::expose));
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
