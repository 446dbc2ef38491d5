//! Chat and paging services that the agent notifies by their own interfaces.

use crate::config::Secret;
use crate::config::http_options::{http_options, inline_or_file};
use crate::config::keys::RECEIVER;
use crate::config::networks::Networks;
use crate::config::scalar::{choice, secret_url};
use crate::config::secret_file::text_file;
use crate::config::section::{Names, Section};
use crate::config::source::Reported;

use super::service_values::{bearer_token, bot_token, chat_id, identifier, routing_key, topic};
use super::service_warnings::{host, warn};
use super::{Severity, Target, min_severity, receiver_name, receivers};

/// Host of the incoming webhooks of Slack.
const SLACK_WEBHOOK_HOST: &str = "hooks.slack.com";

/// Keys of every type.
const COMMON: &[&str] = &[
    "name",
    "type",
    "min_severity",
    "networks",
    "ca_file",
    "proxy",
];

/// A receiver of a chat or paging service.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// The `receiver` label; unique among all receivers.
    pub name: String,
    /// The service, and where in it messages go.
    pub service: Service,
    /// Its address and what requests send: the webhook of Discord or Slack, or else the base URL of
    /// its interface.
    pub target: Target,
    /// Lowest severity that it is notified of.
    pub min_severity: Severity,
    /// Networks that it is notified of; all if empty. Alerts about the agent belong to none and are
    /// always sent.
    pub networks: Vec<String>,
}

/// A service, and where in it messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A webhook of a Discord channel.
    Discord,
    /// An incoming webhook of Slack, whose messages cannot be edited.
    SlackWebhook,
    /// The Web API of Slack. The token is sent as that of the HTTP options.
    Slack {
        /// Id or name of the channel.
        channel: String,
    },
    /// The Bot API of Telegram.
    Telegram {
        /// The token of the bot, which is part of every URL.
        token: Secret,
        /// Id of the chat, or `@name` of a channel.
        chat_id: String,
    },
    /// An ntfy server. A token is sent as that of the HTTP options.
    Ntfy {
        /// The topic. Anyone who knows the name of an unprotected one can read it.
        topic: Secret,
    },
    /// Version 2 of the Events API of `PagerDuty`.
    PagerDuty {
        /// The integration key.
        routing_key: Secret,
    },
}

/// The value of `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Discord,
    Slack,
    Telegram,
    Ntfy,
    PagerDuty,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Discord,
        Self::Slack,
        Self::Telegram,
        Self::Ntfy,
        Self::PagerDuty,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Discord => "discord",
            Self::Slack => "slack",
            Self::Telegram => "telegram",
            Self::Ntfy => "ntfy",
            Self::PagerDuty => "pagerduty",
        }
    }

    /// Returns the keys that the type has besides the common ones.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Discord => &["url", "url_file"],
            Self::Slack => &["url", "url_file", "token", "token_file", "channel"],
            Self::Telegram => &["url", "url_file", "token", "token_file", "chat_id"],
            Self::Ntfy => &[
                "url",
                "url_file",
                "token",
                "token_file",
                "topic",
                "topic_file",
            ],
            Self::PagerDuty => &["url", "url_file", "routing_key", "routing_key_file"],
        }
    }

    /// Returns the base URL of the service; none if each user has an own one.
    const fn base_url(self) -> Option<&'static str> {
        match self {
            Self::Discord => None,
            Self::Slack => Some("https://slack.com/api"),
            Self::Telegram => Some("https://api.telegram.org"),
            Self::Ntfy => Some("https://ntfy.sh"),
            Self::PagerDuty => Some("https://events.pagerduty.com"),
        }
    }
}

impl Service {
    /// The value of `type`.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        self.kind().as_str()
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Discord => Kind::Discord,
            Self::SlackWebhook | Self::Slack { .. } => Kind::Slack,
            Self::Telegram { .. } => Kind::Telegram,
            Self::Ntfy { .. } => Kind::Ntfy,
            Self::PagerDuty { .. } => Kind::PagerDuty,
        }
    }
}

/// Reads `notify.receivers`.
pub(super) fn service_receivers(
    notify: &Section,
    names: &mut Names,
    networks: Result<&Networks, Reported>,
) -> Result<Vec<Receiver>, Reported> {
    receivers(notify, "receivers", &RECEIVER, |section| {
        receiver(section, names, networks)
    })
}

fn receiver(
    section: &Section,
    names: &mut Names,
    networks: Result<&Networks, Reported>,
) -> Result<Receiver, Reported> {
    let name = names.claim(section, receiver_name);
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = section.require("type", |value| choice(value, &kinds));
    let min_severity = min_severity(section);
    let networks = networks.and_then(|networks| {
        let names = section.read_list("networks", |value| networks.name(value))?;
        names.into_iter().collect::<Result<Vec<_>, _>>()
    });
    let kind = kind?;
    let keys_fit = check_keys(section, kind);
    let service = service(section, kind);
    let (service, mut target) = service?;
    keys_fit?;
    let http = http_options(section)?;
    target.http.ca = http.ca;
    target.http.ca_file = http.ca_file;
    target.http.proxy = http.proxy;
    let receiver = Receiver {
        name: name?,
        service,
        target,
        min_severity: min_severity?,
        networks: networks?,
    };
    warn(section, &receiver);
    Ok(receiver)
}

/// Reports the keys that belong to other types.
fn check_keys(section: &Section, kind: Kind) -> Result<(), Reported> {
    let mut result = Ok(());
    for key in RECEIVER.allowed() {
        if COMMON.contains(&key)
            || kind.keys().contains(&key)
            || section.key_position(key).is_none()
        {
            continue;
        }
        let others = Kind::ALL
            .into_iter()
            .filter(|other| other.keys().contains(&key));
        let others: Vec<&str> = others.map(Kind::as_str).collect();
        let message = format!(
            "is for type {} only; remove it, a receiver of type {} has {}",
            others.join(" or "),
            kind.as_str(),
            kind.keys().join(", "),
        );
        result = Err(section.report_key(key, message));
    }
    result
}

fn service(section: &Section, kind: Kind) -> Result<(Service, Target), Reported> {
    let url = inline_or_file(
        section,
        "url",
        section.read("url", |value| secret_url(&value.secret_text()?)),
        section.read("url_file", |value| secret_url(text_file(value)?.trim())),
    );
    let secret = |key: &str, check: fn(&str) -> Result<Secret, String>| {
        let file = format!("{key}_file");
        inline_or_file(
            section,
            key,
            section.read(key, |value| check(&value.secret_text()?)),
            section.read(&file, |value| check(text_file(value)?.trim())),
        )
    };
    let missing = |key: &str, message: &str| section.report(section.position, key, message);
    let required = |key: &str, value: Result<Option<Secret>, Reported>| {
        let message = format!("is missing; set it, or `{key}_file`");
        value?.ok_or_else(|| missing(key, &message))
    };
    let mut token = None;
    let service = match kind {
        Kind::Discord => Ok(Service::Discord),
        Kind::Slack => {
            let channel = section.read("channel", identifier);
            let secret = secret("token", bearer_token);
            let webhook = secret.as_ref().is_ok_and(Option::is_none);
            token = secret?;
            match (webhook, channel?) {
                (true, None) => Ok(Service::SlackWebhook),
                (true, Some(_)) => Err(section.report_key(
                    "channel",
                    "needs a token; add `token`, or remove this key: a webhook has its own channel",
                )),
                (false, Some(channel)) => Ok(Service::Slack { channel }),
                (false, None) => Err(missing(
                    "channel",
                    "is missing; add the id of the channel, as in C0123456789",
                )),
            }
        }
        Kind::Telegram => {
            let token = required("token", secret("token", bot_token));
            let chat_id = section.require("chat_id", chat_id);
            Ok(Service::Telegram {
                token: token?,
                chat_id: chat_id?,
            })
        }
        Kind::Ntfy => {
            let topic = required("topic", secret("topic", topic));
            token = secret("token", bearer_token)?;
            Ok(Service::Ntfy { topic: topic? })
        }
        Kind::PagerDuty => {
            let key = required("routing_key", secret("routing_key", routing_key));
            Ok(Service::PagerDuty { routing_key: key? })
        }
    };
    let (url, service) = (url?, service?);
    let base = match service {
        Service::SlackWebhook => None,
        _ => kind.base_url(),
    };
    let Some(url) = url.or_else(|| base.map(Secret::from)) else {
        let message = match kind {
            Kind::Slack => {
                "is missing; set the URL of an incoming webhook, or `token` and `channel`"
            }
            _ => "is missing; set the URL of the webhook, or `url_file`",
        };
        return Err(missing("url", message));
    };
    if matches!(service, Service::Slack { .. }) && host(&url).as_deref() == Some(SLACK_WEBHOOK_HOST)
    {
        let message = "is an incoming webhook, which takes no token; remove it, or `token` and \
                       `channel`";
        return Err(section.report_key("url", message));
    }
    let mut target = Target {
        url,
        http: crate::config::HttpOptions::default(),
        basic_auth: None,
    };
    target.http.bearer_token = token;
    Ok((service, target))
}
