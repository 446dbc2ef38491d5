//! Sends a page that is marked as a test through one receiver, to see what the receiver says.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::Registry;

use crate::alerting::{Alert, AlertSubject, Rule};
use crate::config::{Config, Severity, Target};

use super::context::MessageContext;
use super::group::Group;
use super::grouping::Due;
use super::incident::{Action, test_notice};
use super::message::WebhookMessage;
use super::metrics::DeliveryMetrics;
use super::queue::Queued;
use super::sender::{Answer, DeliveryError, Sender, mask};
use super::{alertmanager, service};

/// How long a test fires in an Alertmanager: longer than it waits for others of its group.
const TEST_LASTS: Duration = Duration::from_secs(180);

/// Largest part of an answer that is returned, characters.
const MAX_ANSWER_CHARS: usize = 500;

/// The rules of test pages, one per severity. No condition raises them.
static RULES: [Rule; 3] = [
    Rule::for_test_page(Severity::Info),
    Rule::for_test_page(Severity::Warning),
    Rule::for_test_page(Severity::Critical),
];

/// What a receiver said to a test page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// What kind of receiver it is.
    pub kind: &'static str,
    /// The status and the start of the answer to each request, without secrets of the receiver. One
    /// request without an answer has none.
    pub answers: Vec<String>,
    /// Why the page was not delivered; none if it was.
    pub failure: Option<String>,
}

/// Sends a test page through the receiver called `name`. None if there is no such receiver.
///
/// # Panics
/// Never: a message consists of strings, which can be encoded as JSON.
pub async fn send_test_page(config: &Config, name: &str) -> Option<TestResult> {
    let notify = &config.notify;
    let context = MessageContext::from_config(config);
    let wall = SystemTime::now();
    if let Some(it) = notify.alertmanagers.iter().find(|it| it.name == name) {
        let mut page = Page::new("alertmanager", name, &it.target);
        let alert = test_alert(Severity::Warning, &context, wall);
        let outcome = alertmanager::send_test(&mut page.sender, &context, &alert, TEST_LASTS).await;
        page.record(outcome.err());
        return Some(page.result(|text| mask(text, &it.target, None)));
    }
    if let Some(it) = notify.webhooks.iter().find(|it| it.name == name) {
        let mut page = Page::new("webhook", name, &it.target);
        let begins = test_alert(it.min_severity, &context, wall);
        let ends = Alert {
            ends_at: Some(wall),
            ..begins.clone()
        };
        let ends = it.send_resolved.then_some(&ends);
        for alert in std::iter::once(&begins).chain(ends) {
            let due = Due {
                group: Group::Monitor,
                changed: vec![alert],
                known: Vec::new(),
            };
            for message in WebhookMessage::all(&due, &context, name) {
                let body = serde_json::to_vec(&message).expect("strings can be encoded as JSON");
                let outcome = page.sender.post("", body, Some(message.id())).await;
                page.record(outcome.err());
            }
        }
        return Some(page.result(|text| mask(text, &it.target, None)));
    }
    if let Some(it) = notify.receivers.iter().find(|it| it.name == name) {
        let mut page = Page::new(it.service.type_name(), name, &it.target);
        let alert = test_alert(it.min_severity, &context, wall);
        let begins = test_notice(&alert, &context, wall);
        let mut ends = begins.clone();
        ends.action = Action::End;
        // A page stays open until it is resolved.
        let ends = service::has_pages(&it.service).then_some(&ends);
        for notice in std::iter::once(&begins).chain(ends) {
            if let Some(request) = service::request(&it.service, notice, None) {
                let read = |answer: &Answer| service::read(it, answer);
                let outcome = page.sender.call(request, Some(&notice.id), read).await;
                page.record(outcome.err());
            }
        }
        return Some(page.result(|text| service::without_secrets(it, text)));
    }
    let heartbeat = notify.heartbeat.as_ref();
    let heartbeat = heartbeat.filter(|_| name == crate::config::HEARTBEAT_RECEIVER)?;
    let mut page = Page::new("heartbeat", name, &heartbeat.target);
    let outcome = page.sender.post("", Vec::new(), None).await;
    page.record(outcome.err());
    Some(page.result(|text| mask(text, &heartbeat.target, None)))
}

/// The requests of a test page, and what came of them.
struct Page {
    kind: &'static str,
    sender: Sender,
    answers: Vec<String>,
    failure: Option<String>,
}

impl Page {
    fn new(kind: &'static str, name: &str, target: &Target) -> Self {
        let metrics = DeliveryMetrics::register(&Registry::new());
        let metrics = metrics.expect("the registry is empty");
        let mut sender = Sender::new(name, target, metrics, Arc::default());
        sender.keeps_answer = true;
        Self {
            kind,
            sender,
            answers: Vec::new(),
            failure: None,
        }
    }

    /// Records the answer to a request, and its failure if it is the first.
    fn record(&mut self, failure: Option<DeliveryError>) {
        let answer = self.sender.last_answer.take();
        self.answers.extend(answer.as_ref().map(describe));
        if self.failure.is_none() {
            self.failure = failure.map(|failure| match failure {
                DeliveryError::Rejected(why) | DeliveryError::Retryable(why) => why,
            });
        }
    }

    fn result(self, without_secrets: impl Fn(&str) -> String) -> TestResult {
        let answers = self.answers.iter();
        TestResult {
            kind: self.kind,
            answers: answers.map(|text| without_secrets(text)).collect(),
            failure: self.failure.map(|text| without_secrets(&text)),
        }
    }
}

fn describe(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let mut body: String = body.trim().chars().take(MAX_ANSWER_CHARS).collect();
    if body.len() < answer.body.trim_ascii().len() {
        body.push('…');
    }
    let status = answer.status;
    if body.is_empty() {
        format!("HTTP status {status}")
    } else {
        format!("HTTP status {status}: {body}")
    }
}

fn test_alert(severity: Severity, context: &MessageContext, wall: SystemTime) -> Alert {
    let rule = RULES.iter().find(|rule| rule.severity == severity);
    let vantage = &context.vantage;
    Alert {
        rule: rule.unwrap_or(&RULES[0]),
        subject: AlertSubject::Monitor,
        starts_at: wall,
        ends_at: None,
        ended_by: None,
        description: format!(
            "Somebody ran notify-test on {vantage} to see whether notifications arrive. \
             First: do nothing; no peer and no network has a problem because of this."
        ),
        acknowledged: None,
        silenced: None,
    }
}
