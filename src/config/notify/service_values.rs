//! Tokens, keys and names of chat and paging services.

use crate::config::Secret;
use crate::config::scalar::line;
use crate::config::value::Value;
use crate::config::yaml::Content;

/// Longest topic of ntfy, bytes.
const MAX_TOPIC_BYTES: usize = 64;

/// Length of an integration key of `PagerDuty`, bytes.
const ROUTING_KEY_BYTES: usize = 32;

/// Longest token, channel or chat, bytes.
const MAX_ID_BYTES: usize = 256;

/// Checks a token that is sent in a header. Errors do not quote it.
pub(super) fn bearer_token(text: &str) -> Result<Secret, String> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("not a token; expected printable ASCII without spaces".to_owned());
    }
    Ok(text.into())
}

/// Checks the token of a bot of Telegram, which becomes part of a URL.
pub(super) fn bot_token(text: &str) -> Result<Secret, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let valid = text.len() <= MAX_ID_BYTES
        && text.split_once(':').is_some_and(|(id, secret)| {
            !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_digit())
                && !secret.is_empty()
                && secret.chars().all(allowed)
        });
    if valid {
        Ok(text.into())
    } else {
        Err(
            "not the token of a bot; expected a number, a colon and letters, digits, `_` or `-`, \
             as BotFather gives it"
                .to_owned(),
        )
    }
}

pub(super) fn topic(text: &str) -> Result<Secret, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.is_empty() || text.len() > MAX_TOPIC_BYTES || !text.chars().all(allowed) {
        return Err(format!(
            "not a topic; expected 1 to {MAX_TOPIC_BYTES} letters, digits, `_` or `-`"
        ));
    }
    Ok(text.into())
}

pub(super) fn routing_key(text: &str) -> Result<Secret, String> {
    if text.len() != ROUTING_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!(
            "not an integration key; expected {ROUTING_KEY_BYTES} letters and digits, as \
             PagerDuty shows for an integration of type Events API v2"
        ));
    }
    Ok(text.into())
}

/// Parses the id of a chat, which may be written as a number, or the name of a channel.
pub(super) fn chat_id(value: &Value) -> Result<String, String> {
    let text = match &value.node.content {
        Content::Number { written, .. } => written.clone(),
        _ => value.text()?,
    };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_channel = text.strip_prefix('@').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    if text.len() <= MAX_ID_BYTES && (is_number || is_channel) {
        Ok(text)
    } else {
        Err(format!(
            "{} is not a chat; expected its id, as in `-1001234567890`, or the name of a channel, \
             as in `\"@channel\"`",
            value.quoted()
        ))
    }
}

/// Parses the id or name of a channel.
pub(super) fn identifier(value: &Value) -> Result<String, String> {
    let text = line(value)?;
    if text.is_empty() || text.len() > MAX_ID_BYTES || text.contains(char::is_whitespace) {
        return Err(format!(
            "{} is not a channel; expected its id, as in `C0123456789`",
            value.quoted()
        ));
    }
    Ok(text)
}
