//! A webhook of Discord.

use serde_json::{Value, json};

use super::{Call, Message, PAUSE, Refused, Reply, StandIn, mentions, text};

const HOOK: &str = "/api/webhooks/123/s3cret";

pub(super) fn busy() -> Reply {
    let body =
        json!({ "message": "You are being rate limited.", "retry_after": 2.64, "global": false });
    Reply::json(429, &body).with_header("retry-after", PAUSE.to_string())
}

pub(super) fn take(service: &mut StandIn, call: &Call) -> Result<Reply, Refused> {
    let Some(rest) = call.path.strip_prefix(HOOK) else {
        return Err(error(404, 10_015, "Unknown Webhook"));
    };
    if let Err(complaint) = check(&call.body) {
        service.complain(complaint);
        return Err(error(400, 50_035, "Invalid Form Body"));
    }
    let title = text(&call.body, "/content").to_owned();
    let description = text(&call.body, "/embeds/0/description").to_owned();
    match (call.method.as_str(), rest.strip_prefix("/messages/")) {
        ("PATCH", Some(id)) => {
            let Some(message) = service.find(id) else {
                return Err(error(404, 10_008, "Unknown Message"));
            };
            message.edit(&title, &description);
            Ok(Reply::json(200, &json!({ "id": id, "channel_id": "9" })))
        }
        ("POST", None) => {
            let id = (1_000_000_000_000_000_000 + service.next_id()).to_string();
            let mut message = Message::new(id.clone(), &title, &description);
            let flags = call.body["flags"].as_u64().unwrap_or_default();
            message.quiet = flags & (1 << 12) != 0;
            service.post(message);
            if call.query != "wait=true" {
                service.complain("the id of the message is not asked for");
                return Ok(Reply::new(204, ""));
            }
            let body = json!({ "id": id, "channel_id": "9", "type": 0 });
            Ok(Reply::json(200, &body)
                .with_header("x-ratelimit-remaining", "4".to_owned())
                .with_header("x-ratelimit-reset-after", "2.0".to_owned()))
        }
        _ => Err(error(405, 0, "405: Method Not Allowed")),
    }
}

fn error(status: u16, code: u64, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message, "code": code }))
}

fn check(body: &Value) -> Result<(), String> {
    let chars = |text: &str| text.chars().count();
    let content = text(body, "/content");
    if content.is_empty() || chars(content) > 2_000 {
        return Err(format!("content of {} characters", chars(content)));
    }
    if body["allowed_mentions"] != json!({ "parse": [] }) {
        return Err("mentions are allowed".to_owned());
    }
    let embeds = body["embeds"].as_array().map_or(&[][..], Vec::as_slice);
    let mut total = 0;
    if embeds.is_empty() || embeds.len() > 10 {
        return Err(format!("{} embeds", embeds.len()));
    }
    for embed in embeds {
        for (part, max) in [
            ("/title", 256),
            ("/description", 4_096),
            ("/footer/text", 2_048),
        ] {
            let length = chars(text(embed, part));
            total += length;
            if length > max {
                return Err(format!("{part} of {length} characters"));
            }
        }
        if !text(embed, "/url").starts_with("http") {
            return Err(format!("not a URL: {}", embed["url"]));
        }
        if embed["color"]
            .as_u64()
            .is_none_or(|color| color > 0x00FF_FFFF)
        {
            return Err(format!("not a colour: {}", embed["color"]));
        }
        is_well_formed(text(embed, "/description"))?;
        is_well_formed(text(embed, "/title"))?;
    }
    if total > 6_000 {
        return Err(format!("embeds of {total} characters"));
    }
    is_well_formed(content)
}

/// Checks that nothing has a meaning but bold lines and links.
fn is_well_formed(text: &str) -> Result<(), String> {
    if mentions(text) {
        return Err(format!("a mention in {text:?}"));
    }
    let mut rest = text;
    let mut is_bold = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => after.get(1..).ok_or("ends with a backslash")?,
            '*' if after.starts_with('*') => {
                is_bold = !is_bold;
                &after[1..]
            }
            '[' => {
                let link = after.split_once("](<").and_then(|(label, url)| {
                    let (url, rest) = url.split_once(">)")?;
                    let is_plain = label.chars().all(char::is_alphanumeric);
                    (is_plain && url.starts_with("http") && !url.contains('<')).then_some(rest)
                });
                link.ok_or_else(|| format!("a broken link in {text:?}"))?
            }
            '\n' if is_bold => return Err(format!("bold over lines in {text:?}")),
            '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | ']' => {
                return Err(format!("{c:?} is not escaped in {text:?}"));
            }
            _ => after,
        };
    }
    if is_bold {
        return Err(format!("bold without an end in {text:?}"));
    }
    Ok(())
}
