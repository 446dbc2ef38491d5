//! Slack: incoming webhooks, whose messages cannot be changed, and the Web API with a token.
//!
//! `chat.postMessage` answers with the channel and the time of the message, which identify it for
//! `chat.update` and as `thread_ts` of a reply. Errors of the Web API come with status 200 and
//! `"ok": false`. A channel takes a message per second; 429 has `Retry-After`. In all texts `&`,
//! `<` and `>` are escaped, which also makes mentions (`<!channel>`, `<@U…>`) plain text.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::incident::{Action, Content, Notice};
use super::super::sender::{Answer, DeliveryError, Reading, Request};
use super::markup::{Limit, Markup};
use super::{Effect, Place, standard};

/// Slack recommends at most 4,000 characters of text; attachments are folded beyond some hundred.
const MAX_TEXT: usize = 4_000;
const MAX_TITLE: usize = 300;

/// Errors that say that the message is gone or can no longer be changed.
const GONE: [&str; 4] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "thread_not_found",
];

/// Errors that fault the message itself.
const INVALID: [&str; 9] = [
    "attachment_payload_limit_exceeded",
    "invalid_arguments",
    "invalid_attachments",
    "invalid_blocks",
    "invalid_json",
    "json_not_object",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
];

pub(super) fn webhook_request(notice: &Notice) -> Request {
    Request::json(&payload(&notice.content))
}

pub(super) fn request(channel: &str, notice: &Notice, place: Place<'_>) -> Request {
    let mut body = payload(&notice.content);
    body["channel"] = json!(channel);
    let mut subpath = "/chat.postMessage";
    let first = match place {
        Place::Edit(message) | Place::Reply(message) => message.split_once('/'),
        Place::New | Place::Quiet => None,
    };
    if let Some((channel, ts)) = first {
        // The id, which `chat.update` needs, even if a name is configured.
        body["channel"] = json!(channel);
        if matches!(place, Place::Edit(_)) {
            subpath = "/chat.update";
            body["ts"] = json!(ts);
        } else {
            body["thread_ts"] = json!(ts);
            // Replies notify only those who follow the thread, unless the channel shows them.
            body["reply_broadcast"] = json!(notice.action != Action::Acknowledge);
        }
    }
    Request {
        subpath: subpath.to_owned(),
        ..Request::json(&body)
    }
}

fn payload(content: &Content) -> Value {
    let markup = Markup::Slack;
    let headline = markup.escape(&content.headline(), Limit::chars(MAX_TITLE));
    let field = |title: &str, value: &str| {
        let (title, value) = (
            markup.escape(title, Limit::chars(MAX_TITLE)),
            markup.escape(value, Limit::chars(MAX_TITLE)),
        );
        json!({ "title": title, "value": value, "short": true })
    };
    let labels = content
        .labels
        .iter()
        .map(|(name, value)| field(name, value));
    let fields: Vec<Value> = labels
        .chain([field("seen from", &content.vantage)])
        .collect();
    json!({
        "text": headline,
        "mrkdwn": false,
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "attachments": [{
            "color": format!("#{:06X}", content.level.color()),
            "fallback": headline,
            "title": markup.escape(&content.title, Limit::chars(MAX_TITLE)),
            "title_link": markup.escape_url(&content.page_url),
            "text": markup.body(content, Limit::chars(MAX_TEXT), true),
            "fields": fields,
            // Nothing is read as markup.
            "mrkdwn_in": [],
        }],
    })
}

pub(super) fn read_webhook(answer: &Answer) -> Reading<Effect> {
    let text = String::from_utf8_lossy(&answer.body);
    standard(answer, Some(&text))
        .map(|()| Effect::Delivered(None))
        .into()
}

pub(super) fn read(answer: &Answer) -> Reading<Effect> {
    if answer.status != StatusCode::OK {
        let outcome = standard(answer, answer.json()["error"].as_str());
        return outcome.map(|()| Effect::Delivered(None)).into();
    }
    let body = answer.json();
    if body["ok"] == true {
        let id = body["channel"].as_str().zip(body["ts"].as_str());
        let id = id.map(|(channel, ts)| format!("{channel}/{ts}"));
        return Ok(Effect::Delivered(id)).into();
    }
    let error = body["error"].as_str().unwrap_or("an unreadable answer");
    let why = format!("Slack answered with {error:?}");
    match error {
        _ if GONE.contains(&error) => Ok(Effect::Gone),
        _ if INVALID.contains(&error) => Err(DeliveryError::Rejected(why)),
        // Anything else may be corrected: a token, a scope, an invitation to the channel.
        _ => Err(DeliveryError::Retryable(why)),
    }
    .into()
}
