//! Renders `notify`, and the other servers that requests are sent to.

use std::collections::BTreeMap;

use convex_client::mask_url;
use serde::Serialize;

use crate::config::{
    Alertmanager, BasicAuth, Heartbeat, Notify, Receiver, Service, Target, Webhook,
};

use super::peers::HttpEntry;
use super::{SECRET, duration, text};

#[derive(Serialize)]
pub(super) struct NotifySection<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alertmanagers: Vec<ServerEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhooks: Vec<WebhookEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receivers: Vec<ReceiverEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat: Option<HeartbeatSection<'a>>,
}

/// A server with a name.
#[derive(Serialize)]
pub(super) struct ServerEntry<'a> {
    name: String,
    #[serde(flatten)]
    target: TargetEntry<'a>,
}

#[derive(Serialize)]
struct WebhookEntry<'a> {
    name: String,
    #[serde(flatten)]
    target: TargetEntry<'a>,
    send_resolved: bool,
    min_severity: &'static str,
}

#[derive(Serialize)]
struct ReceiverEntry {
    name: String,
    r#type: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    min_severity: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
}

#[derive(Serialize)]
struct HeartbeatSection<'a> {
    #[serde(flatten)]
    target: TargetEntry<'a>,
    interval: String,
}

/// Where requests are sent; a URL may contain a token after the host.
#[derive(Serialize)]
struct TargetEntry<'a> {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    basic_auth: Option<BasicAuthSection>,
    #[serde(flatten)]
    http: HttpEntry<'a>,
}

#[derive(Serialize)]
struct BasicAuthSection {
    username: String,
    password: &'static str,
}

impl<'a> ServerEntry<'a> {
    pub(super) fn new(name: &str, target: &'a Target) -> Self {
        Self {
            name: text(name),
            target: target.into(),
        }
    }
}

impl<'a> From<&'a Notify> for NotifySection<'a> {
    fn from(notify: &'a Notify) -> Self {
        let Notify {
            labels,
            alertmanagers,
            webhooks,
            receivers,
            heartbeat,
        } = notify;
        let labels = labels
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)));
        let alertmanager =
            |Alertmanager { name, target }: &'a Alertmanager| ServerEntry::new(name, target);
        let webhook = |webhook: &'a Webhook| {
            let Webhook {
                name,
                target,
                send_resolved,
                min_severity,
            } = webhook;
            WebhookEntry {
                name: text(name),
                target: target.into(),
                send_resolved: *send_resolved,
                min_severity: min_severity.as_str(),
            }
        };
        let heartbeat = heartbeat
            .as_ref()
            .map(|Heartbeat { target, interval }| HeartbeatSection {
                target: target.into(),
                interval: duration(*interval),
            });
        Self {
            labels: labels.collect(),
            alertmanagers: alertmanagers.iter().map(alertmanager).collect(),
            webhooks: webhooks.iter().map(webhook).collect(),
            receivers: receivers.iter().map(Into::into).collect(),
            heartbeat,
        }
    }
}

impl From<&Receiver> for ReceiverEntry {
    fn from(receiver: &Receiver) -> Self {
        let Receiver {
            name,
            service,
            target,
            min_severity,
            networks,
        } = receiver;
        let (mut channel, mut chat_id) = (None, None);
        let (mut topic, mut routing_key) = (None, None);
        let mut token = target.http.bearer_token.as_ref().map(|_| SECRET);
        match service {
            Service::Discord | Service::SlackWebhook => {}
            Service::Slack { channel: id } => channel = Some(text(id)),
            Service::Telegram {
                token: _,
                chat_id: id,
            } => {
                token = Some(SECRET);
                chat_id = Some(text(id));
            }
            Service::Ntfy { topic: _ } => topic = Some(SECRET),
            Service::PagerDuty { routing_key: _ } => routing_key = Some(SECRET),
        }
        Self {
            name: text(name),
            r#type: service.type_name(),
            url: mask_url(target.url.expose()),
            token,
            channel,
            chat_id,
            topic,
            routing_key,
            ca_file: target
                .http
                .ca_file
                .as_ref()
                .map(|path| text(path.to_string_lossy())),
            proxy: target.http.proxy.as_ref().map(text),
            min_severity: min_severity.as_str(),
            networks: networks.iter().map(text).collect(),
        }
    }
}

impl<'a> From<&'a Target> for TargetEntry<'a> {
    fn from(target: &'a Target) -> Self {
        let Target {
            url,
            http,
            basic_auth,
        } = target;
        let basic_auth = basic_auth.as_ref().map(
            |BasicAuth {
                 username,
                 password: _,
             }| BasicAuthSection {
                username: text(username),
                password: SECRET,
            },
        );
        Self {
            url: mask_url(url.expose()),
            basic_auth,
            http: http.into(),
        }
    }
}
