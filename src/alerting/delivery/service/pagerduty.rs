//! Version 2 of the Events API of `PagerDuty`.
//!
//! An event triggers, acknowledges or resolves the alert with its `dedup_key`, of at most 255
//! characters. A summary has at most 1,024 characters. 202 means accepted, 400 that the event is
//! invalid; 429 and 5xx are sent again.

use http::StatusCode;
use serde_json::{Value, json};

use crate::config::Secret;

use super::super::incident::{Action, Content, Level, Notice};
use super::super::sender::{Answer, DeliveryError, Reading, Request};
use super::markup::{Limit, Markup};
use super::{Effect, standard};

const MAX_SUMMARY: usize = 1_024;
const MAX_FIELD: usize = 255;
const MAX_DETAILS: usize = 20_000;

/// Route that takes events.
const ENQUEUE: &str = "/v2/enqueue";

pub(super) fn request(routing_key: &Secret, notice: &Notice) -> Request {
    let mut event = json!({
        "routing_key": routing_key.expose(),
        "dedup_key": notice.incident,
        "event_action": match notice.action {
            Action::Open | Action::Update | Action::Worse | Action::Repeat => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::End => "resolve",
        },
    });
    if event["event_action"] == "trigger" {
        let content = &notice.content;
        event["payload"] = payload(content);
        event["links"] = Value::Array(links(content));
        event["client"] = json!("convex-peer-monitor");
        event["client_url"] = json!(content.page_url);
    }
    Request {
        subpath: ENQUEUE.to_owned(),
        ..Request::json(&event)
    }
}

fn payload(content: &Content) -> Value {
    let plain = |text: &str, max| Markup::Plain.escape(text, Limit::chars(max));
    let names: Vec<&str> = content.alerts.iter().map(|it| it.name.as_str()).collect();
    let label = |name: &str| content.labels.get(name).map(|it| plain(it, MAX_FIELD));
    let source = label("peer").or_else(|| label("network"));
    json!({
        "summary": plain(&content.title, MAX_SUMMARY),
        "source": source.unwrap_or_else(|| plain(&content.vantage, MAX_FIELD)),
        "severity": severity(content.level),
        "component": label("peer"),
        "group": label("network"),
        "class": names.first(),
        "custom_details": {
            "alerts": Markup::Plain.body(content, Limit::chars(MAX_DETAILS), true),
            "labels": content.labels,
            "seen_from": content.vantage,
        },
    })
}

fn links(content: &Content) -> Vec<Value> {
    let link = |text: &str, href: &str| json!({ "href": href, "text": text });
    let runbook = content.alerts.first();
    let runbook = runbook.map(|it| link(&format!("Runbook of {}", it.name), &it.runbook_url));
    std::iter::once(link("Page", &content.page_url))
        .chain(runbook)
        .collect()
}

const fn severity(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Warning => "warning",
        Level::Info | Level::Resolved => "info",
    }
}

pub(super) fn read(answer: &Answer) -> Reading<Effect> {
    let body = answer.json();
    let errors = body["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    let why = if errors.is_empty() {
        body["message"].as_str().unwrap_or_default().to_owned()
    } else {
        errors.join("; ")
    };
    // A wrong key can be corrected, and must not cost a page.
    if answer.status == StatusCode::BAD_REQUEST && why.to_ascii_lowercase().contains("routing") {
        let why = format!("PagerDuty answered with {why:?}");
        return Err(DeliveryError::Retryable(why)).into();
    }
    standard(answer, Some(&why))
        .map(|()| Effect::Delivered(None))
        .into()
}
