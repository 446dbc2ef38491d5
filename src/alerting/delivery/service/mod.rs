//! Chat and paging services: what a message looks like in each, and what its answers mean.

mod courier;
mod discord;
mod markup;
mod ntfy;
mod pagerduty;
mod slack;
mod telegram;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use crate::config::{Receiver, Service};

use super::incident::{Action, Level, Notice, Style};
use super::sender::{Answer, DeliveryError, Reading, Request, classify, mask};

pub(super) use courier::run;

/// Longest error text of a service that is logged, characters.
const MAX_ERROR_CHARS: usize = 200;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A new message.
    New,
    /// A new message that notifies nobody, where the service can do so.
    Quiet,
    /// A new message that belongs to this one.
    Reply(&'a str),
    /// In the place of what this message says.
    Edit(&'a str),
}

/// What an answer of a service means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The message arrived, and has this id.
    Delivered(Option<String>),
    /// The message that should be edited, or replied to, no longer exists.
    Gone,
}

/// Returns how a service shows an incident.
pub(super) const fn style(service: &Service) -> Style {
    match service {
        Service::Discord | Service::Slack { .. } | Service::Telegram { .. } => Style::Thread,
        Service::SlackWebhook | Service::Ntfy { .. } => Style::Messages,
        Service::PagerDuty { .. } => Style::Pages,
    }
}

/// Whether messages stay open until they are resolved.
pub(super) fn has_pages(service: &Service) -> bool {
    style(service) == Style::Pages
}

/// Whether an id can be that of a message of this service; not if the receiver was one of another
/// service before.
fn knows(service: &Service, message: &str) -> bool {
    match service {
        Service::Discord => discord::is_message_id(message),
        Service::Slack { .. } => message.contains('/'),
        Service::Telegram { .. } => message.parse::<i64>().is_ok(),
        Service::SlackWebhook | Service::Ntfy { .. } | Service::PagerDuty { .. } => false,
    }
}

/// Returns the shortest time between two requests.
const fn pace(service: &Service) -> Duration {
    match service {
        // A message per second and channel or chat.
        Service::SlackWebhook | Service::Slack { .. } | Service::Telegram { .. } => {
            Duration::from_secs(1)
        }
        Service::Discord | Service::Ntfy { .. } | Service::PagerDuty { .. } => Duration::ZERO,
    }
}

/// Returns the request for a message. `message` is the service's id of the first message of the
/// incident. None if there is nothing to do.
pub(super) fn request(
    service: &Service,
    notice: &Notice,
    message: Option<&str>,
) -> Option<Request> {
    let place = match (notice.action, message) {
        (Action::Open, _) => Place::New,
        (Action::Update, Some(message)) => Place::Edit(message),
        // The message that says that it is over follows.
        (Action::Update, None) if notice.content.level == Level::Resolved => return None,
        (Action::Update, None) => Place::Quiet,
        (_, Some(message)) => Place::Reply(message),
        (_, None) => Place::New,
    };
    Some(match service {
        Service::Discord => discord::request(notice, place),
        Service::SlackWebhook => slack::webhook_request(notice),
        Service::Slack { channel } => slack::request(channel, notice, place),
        Service::Telegram { token, chat_id } => telegram::request(token, chat_id, notice, place),
        Service::Ntfy { topic } => ntfy::request(topic, notice),
        Service::PagerDuty { routing_key } => pagerduty::request(routing_key, notice),
    })
}

/// Says what an answer means. What it quotes of the answer has no secret of `receiver`.
pub(super) fn read(receiver: &Receiver, answer: &Answer) -> Reading<Effect> {
    let mut reading = match &receiver.service {
        Service::Discord => discord::read(answer),
        Service::SlackWebhook => slack::read_webhook(answer),
        Service::Slack { .. } => slack::read(answer),
        Service::Telegram { .. } => telegram::read(answer),
        Service::Ntfy { .. } => ntfy::read(answer),
        Service::PagerDuty { .. } => pagerduty::read(answer),
    };
    if let Err(DeliveryError::Rejected(why) | DeliveryError::Retryable(why)) = &mut reading.outcome
    {
        *why = without_secrets(receiver, why);
    }
    reading
}

/// Replaces the secrets of a receiver in a text.
pub(super) fn without_secrets(receiver: &Receiver, text: &str) -> String {
    let secret = match &receiver.service {
        Service::Discord | Service::SlackWebhook | Service::Slack { .. } => None,
        Service::Telegram { token: secret, .. }
        | Service::Ntfy { topic: secret }
        | Service::PagerDuty {
            routing_key: secret,
        } => Some(secret),
    };
    mask(text, &receiver.target, secret)
}

/// Classifies an answer by its status. `error` is what the service says about it.
fn standard(answer: &Answer, error: Option<&str>) -> Result<(), DeliveryError> {
    classify(answer.status).map_err(|outcome| {
        let error = error.unwrap_or_default().trim();
        if error.is_empty() {
            return outcome;
        }
        let error: String = error.chars().take(MAX_ERROR_CHARS).collect();
        match outcome {
            DeliveryError::Rejected(why) => DeliveryError::Rejected(format!("{why}: {error:?}")),
            DeliveryError::Retryable(why) => DeliveryError::Retryable(format!("{why}: {error:?}")),
        }
    })
}

/// Reads a number of seconds.
fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}
