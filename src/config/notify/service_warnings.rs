//! Warnings about valid but unwise settings of chat and paging receivers.

use url::Url;

use crate::config::Secret;
use crate::config::section::Section;

use super::services::{Receiver, Service};

/// Warns about what the service cannot do, or does badly, with this configuration.
pub(super) fn warn(section: &Section, receiver: &Receiver) {
    let name = &receiver.name;
    let mut warnings = Vec::new();
    match &receiver.service {
        Service::SlackWebhook => warnings.push(format!(
            "receiver {name:?}: messages by an incoming webhook cannot be edited or put into a \
             thread, so every change that matters is a new message; use `token` and `channel` to \
             have one message per incident"
        )),
        Service::Ntfy { .. } if receiver.target.http.bearer_token.is_none() => {
            warnings.push(format!(
                "receiver {name:?}: without a token, everyone who knows the topic can read it and \
                 publish to it; protect the topic and set `token`"
            ));
        }
        Service::Discord if !is_discord_webhook(&receiver.target.url) => warnings.push(format!(
            "receiver {name:?}: the URL does not look like a webhook of Discord, which is \
             https://discord.com/api/webhooks/ID/TOKEN"
        )),
        _ => {}
    }
    if is_plain_http(&receiver.target.url) {
        warnings.push(format!(
            "receiver {name:?}: its URL is http, so its secrets and messages cross the network \
             unencrypted; use https"
        ));
    }
    for warning in warnings {
        section.source.warn(section.position, warning);
    }
}

pub(super) fn host(url: &Secret) -> Option<String> {
    Some(Url::parse(url.expose()).ok()?.host_str()?.to_owned())
}

/// Whether a URL has the form of a webhook of Discord, whatever its host.
fn is_discord_webhook(url: &Secret) -> bool {
    let Ok(url) = Url::parse(url.expose()) else {
        return false;
    };
    let mut segments = url.path().split('/').rev();
    let (token, id) = (segments.next(), segments.next());
    token.is_some_and(|it| !it.is_empty())
        && id.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
        && segments.next() == Some("webhooks")
}

/// Whether a URL leads off this host without encryption.
fn is_plain_http(url: &Secret) -> bool {
    Url::parse(url.expose()).is_ok_and(|url| {
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        url.scheme() == "http" && !loopback
    })
}
