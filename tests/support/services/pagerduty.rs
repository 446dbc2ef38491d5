//! Version 2 of the Events API of `PagerDuty`. An alert that is triggered again stays as it is; one
//! that is resolved and then triggered is a new one.

use serde_json::{Value, json};

use super::{Call, Message, Refused, Reply, StandIn, text};

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

pub(super) fn take(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    let invalid = |problem: &str| {
        let body = json!({
            "status": "invalid event",
            "message": "Event object is invalid",
            "errors": [problem],
        });
        Reply::json(400, &body)
    };
    if (call.method.as_str(), call.path.as_str()) != ("POST", "/v2/enqueue") {
        return Err(Reply::new(404, "not found"));
    }
    if text(&call.body, "/routing_key") != ROUTING_KEY {
        return Err(invalid("'routing_key' is invalid"));
    }
    if let Err(complaint) = check(&call.body) {
        service.complain(complaint.clone());
        return Err(invalid(&complaint));
    }
    let key = text(&call.body, "/dedup_key").to_owned();
    let alerts = service.messages.iter_mut().rev();
    let mut open = alerts.filter(|it| it.id == key && it.state != "resolved");
    match (text(&call.body, "/event_action"), open.next()) {
        ("trigger", None) => {
            let summary = text(&call.body, "/payload/summary");
            let details = text(&call.body, "/payload/custom_details/alerts");
            let mut alert = Message::new(key.clone(), summary, details);
            alert.state = "triggered";
            service.post(alert);
        }
        ("trigger", Some(alert)) => {
            let details = text(&call.body, "/payload/custom_details/alerts");
            let title = alert.title.clone();
            alert.edit(&title, details);
        }
        ("acknowledge", Some(alert)) => alert.state = "acknowledged",
        ("resolve", Some(alert)) => alert.state = "resolved",
        // Events about alerts that are not open are ignored.
        _ => {}
    }
    let body = json!({ "status": "success", "message": "Event processed", "dedup_key": key });
    Ok(Reply::json(202, &body))
}

fn check(body: &Value) -> Result<(), String> {
    let key = text(body, "/dedup_key");
    if key.is_empty() || key.chars().count() > 255 {
        return Err(format!("dedup_key of {} characters", key.chars().count()));
    }
    match text(body, "/event_action") {
        "acknowledge" | "resolve" => return Ok(()),
        "trigger" => {}
        other => return Err(format!("event_action {other:?}")),
    }
    let summary = text(body, "/payload/summary");
    if summary.is_empty() || summary.chars().count() > 1_024 {
        return Err(format!("summary of {} characters", summary.chars().count()));
    }
    if text(body, "/payload/source").is_empty() {
        return Err("no source".to_owned());
    }
    let severity = text(body, "/payload/severity");
    if !["critical", "error", "warning", "info"].contains(&severity) {
        return Err(format!("severity {severity:?}"));
    }
    let links = body["links"].as_array().map_or(&[][..], Vec::as_slice);
    let is_link = |link: &Value| text(link, "/href").starts_with("http");
    if links.is_empty() || !links.iter().all(is_link) || body.to_string().len() > 512_000 {
        return Err("no links, or too large".to_owned());
    }
    Ok(())
}
