//! The Bot API of Telegram.
//!
//! A message has 1 to 4,096 characters after its HTML is read. `sendMessage` answers with its id,
//! by which `editMessageText` changes it; an edit that changes nothing is refused with 400 "message
//! is not modified". A chat takes a message per second and a group 20 per minute; 429 says in
//! `parameters.retry_after` how long to wait.

use http::StatusCode;
use serde_json::json;

use crate::config::Secret;

use super::super::incident::{Content, Notice};
use super::super::sender::{Answer, DeliveryError, Reading, Request};
use super::markup::{Limit, Markup};
use super::{Effect, Place, seconds, standard};

const MAX_TEXT: usize = 4_096;
const MAX_HEADLINE: usize = 400;

/// What 400 says about a message that is gone or cannot be changed any more.
const GONE: [&str; 3] = [
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
];

/// What 400 says about something that can be corrected at Telegram or in the configuration.
const CORRECTABLE: [&str; 4] = [
    "chat not found",
    "upgraded to a supergroup",
    "not enough rights",
    "have no rights",
];

pub(super) fn request(token: &Secret, chat_id: &str, notice: &Notice, place: Place<'_>) -> Request {
    let mut body = json!({
        "chat_id": chat_id,
        "text": text(&notice.content),
        "parse_mode": "HTML",
        "link_preview_options": { "is_disabled": true },
    });
    let mut method = "sendMessage";
    match (place, message_id(place)) {
        (Place::Quiet, _) => body["disable_notification"] = json!(true),
        (Place::Edit(_), Some(message)) => {
            method = "editMessageText";
            body["message_id"] = json!(message);
        }
        (Place::Reply(_), Some(message)) => {
            body["reply_parameters"] = json!({
                "message_id": message,
                "allow_sending_without_reply": true,
            });
        }
        _ => {}
    }
    Request {
        subpath: format!("/bot{}/{method}", token.expose()),
        ..Request::json(&body)
    }
}

/// Returns the id of the message that a place names.
fn message_id(place: Place<'_>) -> Option<i64> {
    match place {
        Place::Edit(message) | Place::Reply(message) => message.parse().ok(),
        Place::New | Place::Quiet => None,
    }
}

fn text(content: &Content) -> String {
    let markup = Markup::Telegram;
    let headline = markup.escape(&content.headline(), Limit::chars(MAX_HEADLINE));
    let headline = format!("<b>{headline}</b>");
    let labels = content.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let footer = format!("{} · seen from {}", labels.join(" · "), content.vantage);
    let footer = markup.escape(&footer, Limit::chars(MAX_HEADLINE));
    let used = headline.encode_utf16().count() + footer.encode_utf16().count() + 4;
    let body = markup.body(content, Limit::chars(MAX_TEXT - used), true);
    format!("{headline}\n\n{body}\n\n{footer}")
}

pub(super) fn read(answer: &Answer) -> Reading<Effect> {
    let body = answer.json();
    let description = body["description"].as_str().unwrap_or_default();
    let says = |part: &&str| description.to_ascii_lowercase().contains(part);
    let outcome = match answer.status {
        StatusCode::BAD_REQUEST if says(&"message is not modified") => Ok(Effect::Delivered(None)),
        StatusCode::BAD_REQUEST if GONE.iter().any(says) => Ok(Effect::Gone),
        StatusCode::BAD_REQUEST if CORRECTABLE.iter().any(says) => {
            let why = format!("Telegram answered with {description:?}");
            Err(DeliveryError::Retryable(why))
        }
        _ => standard(answer, Some(description)).map(|()| {
            let id = body["result"]["message_id"].as_i64();
            Effect::Delivered(id.map(|id| id.to_string()))
        }),
    };
    let pause = seconds(&body["parameters"]["retry_after"]);
    Reading { outcome, pause }
}
