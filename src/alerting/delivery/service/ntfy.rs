//! ntfy servers.
//!
//! JSON is published to the root of the server. A message has at most 4,096 bytes; a longer one
//! would become a file. Priorities are 1 to 5, and up to three actions are buttons. A message is
//! plain text, so nothing in it is escaped.

use serde_json::json;

use crate::config::Secret;

use super::super::incident::{Action, Level, Notice};
use super::super::sender::{Answer, Reading, Request};
use super::markup::{Limit, Markup};
use super::{Effect, standard};

const MAX_MESSAGE: usize = 4_096;
const MAX_TITLE: usize = 250;

pub(super) fn request(topic: &Secret, notice: &Notice) -> Request {
    let content = &notice.content;
    let mut actions = vec![json!({ "action": "view", "label": "Page", "url": content.page_url })];
    if let Some(alert) = content.alerts.first() {
        let url = &alert.runbook_url;
        actions.push(json!({ "action": "view", "label": "Runbook", "url": url }));
    }
    let message = Markup::Plain.body(content, Limit::bytes(MAX_MESSAGE), false);
    let message = if message.is_empty() {
        // The server would replace an empty one.
        Markup::Plain.escape(&content.title, Limit::bytes(MAX_MESSAGE))
    } else {
        message
    };
    Request::json(&json!({
        "topic": topic.expose(),
        "title": Markup::Plain.escape(&content.headline(), Limit::bytes(MAX_TITLE)),
        "message": message,
        "priority": priority(notice),
        "tags": [tag(content.level)],
        "click": content.page_url,
        "actions": actions,
    }))
}

const fn priority(notice: &Notice) -> u8 {
    match (notice.action, notice.content.level) {
        (Action::End, _) | (_, Level::Resolved) => 3,
        (_, Level::Info) => 2,
        (_, Level::Warning) => 4,
        (_, Level::Critical) => 5,
    }
}

/// The names of emojis, which the apps show.
const fn tag(level: Level) -> &'static str {
    match level {
        Level::Resolved => "white_check_mark",
        Level::Info => "information_source",
        Level::Warning => "warning",
        Level::Critical => "rotating_light",
    }
}

pub(super) fn read(answer: &Answer) -> Reading<Effect> {
    standard(answer, answer.json()["error"].as_str())
        .map(|()| Effect::Delivered(None))
        .into()
}
