//! Webhooks of Discord channels.
//!
//! A message has at most 2,000 characters of content, and its embeds 6,000 together: title 256,
//! description 4,096, footer 2,048. With `?wait=true` the answer has its id, by which `PATCH` edits
//! it. A webhook cannot reply to a message. Requests beyond the limit get 429 with the time to wait
//! in `Retry-After` and, more exactly, in the body; the headers `X-RateLimit-*` tell before.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::incident::{Content, Notice};
use super::super::sender::{Answer, Reading, Request};
use super::markup::{Limit, Markup};
use super::{Effect, Place, seconds, standard};

const MAX_CONTENT: usize = 2_000;
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 4_096;
const MAX_FOOTER: usize = 1_000;

/// Code of the error about a message that is gone.
const UNKNOWN_MESSAGE: u64 = 10_008;

/// A message that notifies nobody.
const SUPPRESS_NOTIFICATIONS: u32 = 1 << 12;

pub(super) fn request(notice: &Notice, place: Place<'_>) -> Request {
    let mut body = payload(&notice.content);
    if place == Place::Quiet {
        body["flags"] = json!(SUPPRESS_NOTIFICATIONS);
    }
    match place {
        Place::Edit(message) => Request {
            method: Method::PATCH,
            subpath: format!("/messages/{message}"),
            ..Request::json(&body)
        },
        Place::New | Place::Quiet | Place::Reply(_) => Request {
            query: vec![("wait", "true")],
            ..Request::json(&body)
        },
    }
}

fn payload(content: &Content) -> Value {
    let markup = Markup::Discord;
    let labels = content.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let footer = format!("{} · seen from {}", labels.join(" · "), content.vantage);
    json!({
        "content": markup.escape(&content.headline(), Limit::chars(MAX_CONTENT)),
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": markup.escape(&content.title, Limit::chars(MAX_TITLE)),
            "url": content.page_url,
            "description": markup.body(content, Limit::chars(MAX_DESCRIPTION), true),
            "color": content.level.color(),
            // A footer has no markup.
            "footer": { "text": Markup::Plain.escape(&footer, Limit::chars(MAX_FOOTER)) },
        }],
    })
}

pub(super) fn read(answer: &Answer) -> Reading<Effect> {
    let body = answer.json();
    let pause = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => seconds(&body["retry_after"]),
        _ => exhausted(answer),
    };
    let gone = answer.status == StatusCode::NOT_FOUND && body["code"] == UNKNOWN_MESSAGE;
    let outcome = if gone {
        Ok(Effect::Gone)
    } else {
        standard(answer, body["message"].as_str())
            .map(|()| Effect::Delivered(message_id(&body["id"])))
    };
    Reading { outcome, pause }
}

/// Reads the id of a message, which becomes part of a URL.
fn message_id(id: &Value) -> Option<String> {
    let id = id.as_str().filter(|id| is_message_id(id))?;
    Some(id.to_owned())
}

/// Whether a text can be the id of a message.
pub(super) fn is_message_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns how long to wait after the last request that the limit allows.
fn exhausted(answer: &Answer) -> Option<Duration> {
    let header = |name: &str| answer.headers.get(name)?.to_str().ok();
    if header("x-ratelimit-remaining")? != "0" {
        return None;
    }
    let after: f64 = header("x-ratelimit-reset-after")?.parse().ok()?;
    Duration::try_from_secs_f64(after).ok()
}
