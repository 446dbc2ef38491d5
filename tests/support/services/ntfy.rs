//! An ntfy server.

use serde_json::{Value, json};

use super::{Call, Message, Refused, Reply, StandIn, text};

pub(super) fn busy() -> Reply {
    error(429, 42_901, "limit reached: too many requests")
}

fn error(status: u16, code: u64, error: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "code": code, "http": status, "error": error }),
    )
}

pub(super) fn take(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    if call.authorization.as_deref() != Some("Bearer tk_s3cret") {
        return Err(error(401, 40_101, "unauthorized"));
    }
    if (call.method.as_str(), call.path.as_str()) != ("POST", "/") {
        return Err(error(404, 40_401, "page not found"));
    }
    if let Err(complaint) = check(&call.body) {
        service.complain(complaint);
        return Err(error(
            400,
            40_024,
            "invalid request: request body must be valid",
        ));
    }
    let id = service.next_id().to_string();
    let (title, message) = (text(&call.body, "/title"), text(&call.body, "/message"));
    service.post(Message::new(id.clone(), title, message));
    let body = json!({ "id": id, "event": "message", "topic": "s3cret", "message": message });
    Ok(Reply::json(200, &body))
}

fn check(body: &Value) -> Result<(), String> {
    if body["topic"] != "s3cret" {
        return Err("another topic".to_owned());
    }
    let message = text(body, "/message");
    if message.is_empty() || message.len() > 4_096 {
        return Err(format!("a message of {} bytes", message.len()));
    }
    if text(body, "/title").is_empty() {
        return Err("no title".to_owned());
    }
    if !body["priority"]
        .as_u64()
        .is_some_and(|it| (1..=5).contains(&it))
    {
        return Err(format!("priority {}", body["priority"]));
    }
    let actions = body["actions"].as_array().map_or(&[][..], Vec::as_slice);
    let is_action = |action: &Value| {
        action["action"] == "view"
            && !text(action, "/label").is_empty()
            && text(action, "/url").starts_with("http")
    };
    if actions.len() > 3 || !actions.iter().all(is_action) {
        return Err(format!("actions {actions:?}"));
    }
    if !text(body, "/click").starts_with("http") || !body["tags"].is_array() {
        return Err("no address or no tags".to_owned());
    }
    Ok(())
}
