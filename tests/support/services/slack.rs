//! The Web API and an incoming webhook of Slack.

use serde_json::{Value, json};

use super::{Call, Message, Refused, Reply, StandIn, mentions, text};

pub(super) fn take_webhook(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    if call.path != "/services/T0/B0/s3cret" {
        return Err(Reply::new(404, "no_service"));
    }
    if let Err(complaint) = check(&call.body) {
        service.complain(complaint);
        return Err(Reply::new(400, "invalid_payload"));
    }
    if call.body.get("channel").is_some() {
        service.complain("a webhook has its own channel");
    }
    let id = service.next_id().to_string();
    let message = message(id, &call.body);
    service.post(message);
    Ok(Reply::new(200, "ok"))
}

pub(super) fn take(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    let error = |error: &str| Reply::json(200, &json!({ "ok": false, "error": error }));
    if call.authorization.as_deref() != Some("Bearer xoxb-s3cret") {
        return Err(error("not_authed"));
    }
    if let Err(complaint) = check(&call.body) {
        service.complain(complaint);
        return Err(error("invalid_attachments"));
    }
    let channel = text(&call.body, "/channel").to_owned();
    match call.path.as_str() {
        "/api/chat.postMessage" => {
            if !["#ops", "C0123456789"].contains(&channel.as_str()) {
                return Err(error("channel_not_found"));
            }
            let ts = format!("1503435956.{:06}", service.next_id());
            let mut message = message(ts.clone(), &call.body);
            if let Some(thread) = call.body["thread_ts"].as_str() {
                if service.find(thread).is_none() {
                    return Err(error("thread_not_found"));
                }
                message.reply_to = Some(thread.to_owned());
                message.quiet = call.body["reply_broadcast"] != true;
            }
            service.post(message);
            Ok(Reply::json(
                200,
                &json!({ "ok": true, "channel": "C0123456789", "ts": ts }),
            ))
        }
        "/api/chat.update" => {
            if channel != "C0123456789" {
                service.complain("chat.update needs the id of the channel");
                return Err(error("channel_not_found"));
            }
            let ts = text(&call.body, "/ts").to_owned();
            let new = message(ts.clone(), &call.body);
            let Some(message) = service.find(&ts) else {
                return Err(error("message_not_found"));
            };
            message.edit(&new.title, &new.text);
            Ok(Reply::json(
                200,
                &json!({ "ok": true, "channel": channel, "ts": ts }),
            ))
        }
        _ => Err(error("unknown_method")),
    }
}

fn message(id: String, body: &Value) -> Message {
    let shown = |pointer: &str| {
        text(body, pointer)
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    Message::new(id, &shown("/text"), &shown("/attachments/0/text"))
}

fn check(body: &Value) -> Result<(), String> {
    let attachment = &body["attachments"][0];
    if text(body, "/text").is_empty() || body["text"].as_str().map(str::len) > Some(40_000) {
        return Err(format!("no text, or too much: {}", body["text"]));
    }
    if body["mrkdwn"] != false || attachment["mrkdwn_in"] != json!([]) {
        return Err("text is read as markup".to_owned());
    }
    if body["link_names"] != false {
        return Err("names become mentions".to_owned());
    }
    if text(attachment, "/text").chars().count() > 4_000 {
        return Err("more text than Slack recommends".to_owned());
    }
    let fields = attachment["fields"].as_array().into_iter().flatten();
    let fields = fields.flat_map(|field| [text(field, "/title"), text(field, "/value")]);
    let texts = [
        text(body, "/text"),
        text(attachment, "/text"),
        text(attachment, "/title"),
        text(attachment, "/fallback"),
    ];
    texts.into_iter().chain(fields).try_for_each(is_escaped)
}

fn is_escaped(text: &str) -> Result<(), String> {
    let is_entity = |rest: &str| ["amp;", "lt;", "gt;"].iter().any(|it| rest.starts_with(it));
    if text.contains(['<', '>']) || !text.split('&').skip(1).all(is_entity) || mentions(text) {
        return Err(format!("not escaped: {text:?}"));
    }
    Ok(())
}
