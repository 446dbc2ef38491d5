//! The Bot API of Telegram.

use serde_json::json;

use super::{Call, Message, PAUSE, Refused, Reply, StandIn, html, mentions, text};

pub(super) fn busy() -> Reply {
    let body = json!({
        "ok": false,
        "error_code": 429,
        "description": format!("Too Many Requests: retry after {PAUSE}"),
        "parameters": { "retry_after": PAUSE },
    });
    Reply::json(429, &body)
}

pub(super) fn error(status: u16, description: &str) -> Reply {
    let body = json!({ "ok": false, "error_code": status, "description": description });
    Reply::json(status, &body)
}

pub(super) fn take(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    let Some(method) = call.path.strip_prefix("/bot123:s3cret/") else {
        return Err(error(401, "Unauthorized"));
    };
    if text(&call.body, "/chat_id") != "-1001234567890" {
        return Err(error(400, "Bad Request: chat not found"));
    }
    if call.body["parse_mode"] != "HTML" {
        service.complain("no parse mode");
    }
    let shown = match html::shown(text(&call.body, "/text")) {
        Ok(shown) => shown,
        Err(problem) => {
            service.complain(problem.clone());
            let description = format!("Bad Request: can't parse entities: {problem}");
            return Err(error(400, &description));
        }
    };
    let length = shown.encode_utf16().count();
    if length == 0 || length > 4_096 {
        service.complain(format!("a text of {length} characters"));
        return Err(error(400, "Bad Request: message is too long"));
    }
    if mentions(&shown) {
        service.complain(format!("a mention in {shown:?}"));
    }
    let (title, body) = shown.split_once('\n').unwrap_or((&shown, ""));
    let id = match method {
        "sendMessage" => {
            let id = service.next_id().to_string();
            let mut message = Message::new(id.clone(), title, body);
            message.quiet = call.body["disable_notification"] == true;
            let reply = call.body.pointer("/reply_parameters/message_id");
            message.reply_to = reply.map(ToString::to_string);
            service.post(message);
            id
        }
        "editMessageText" => {
            let id = call.body["message_id"].to_string();
            let Some(message) = service.find(&id) else {
                return Err(error(400, "Bad Request: message to edit not found"));
            };
            if (message.title.as_str(), message.text.as_str()) == (title, body) {
                let description = "Bad Request: message is not modified: specified new message \
                                   content and reply markup are exactly the same as a current \
                                   content and reply markup of the message";
                return Err(error(400, description));
            }
            message.edit(title, body);
            id
        }
        _ => return Err(error(404, "Not Found")),
    };
    let id: u64 = id.parse().unwrap_or_default();
    Ok(Reply::json(
        200,
        &json!({ "ok": true, "result": { "message_id": id, "text": shown } }),
    ))
}
