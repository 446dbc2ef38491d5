//! Where the agent sends alerts itself: Alertmanagers, webhooks and a dead man's switch.

mod service_values;
mod service_warnings;
mod services;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Secret;
use super::http_options::{HttpOptions, basic_auth, http_options, inline_or_file};
use super::keys::{ALERTMANAGER, HEARTBEAT, Keys, NOTIFY, WEBHOOK};
use super::labels::labels;
use super::networks::Networks;
use super::scalar::{DAY, boolean, choice, duration, name, secret_url};
use super::secret_file::text_file;
use super::section::{Names, Section};
use super::source::Reported;
use super::value::Value;

pub use services::{Receiver, Service};

/// Name of the heartbeat among the receivers.
pub const HEARTBEAT_RECEIVER: &str = "heartbeat";

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(60);

/// Where alerts are sent; nowhere by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// Labels added to every alert, as `external_labels` does in Prometheus.
    pub labels: BTreeMap<String, String>,
    /// Alertmanagers, in file order.
    pub alertmanagers: Vec<Alertmanager>,
    /// Webhooks, in file order.
    pub webhooks: Vec<Webhook>,
    /// Chat and paging services, in file order.
    pub receivers: Vec<Receiver>,
    /// The dead man's switch.
    pub heartbeat: Option<Heartbeat>,
}

/// An Alertmanager, which is sent alerts by version 2 of its API.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// The `receiver` label; unique among all receivers.
    pub name: String,
    /// Its base URL; the API's route is appended.
    pub target: Target,
}

/// A webhook, which is sent a JSON request when an alert fires or resolves.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The `receiver` label; unique among all receivers.
    pub name: String,
    /// Where requests are sent.
    pub target: Target,
    /// Whether it is notified of resolved alerts.
    pub send_resolved: bool,
    /// Lowest severity that it is notified of.
    pub min_severity: Severity,
}

/// A dead man's switch, which alerts somebody when the agent stops calling it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Where requests are sent.
    pub target: Target,
    /// Time between two requests.
    pub interval: Duration,
}

/// Where requests are sent, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// An `http` or `https` URL; secret, because for many services it is the only credential.
    pub url: Secret,
    /// HTTP options.
    pub http: HttpOptions,
    /// User name and password.
    pub basic_auth: Option<BasicAuth>,
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user name; without a colon.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information only.
    Info,
    /// Can wait for working hours.
    Warning,
    /// Needs somebody at once.
    Critical,
}

impl Severity {
    /// Every severity, lowest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The value of the `severity` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Returns the severity with this label value.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|severity| severity.as_str() == label)
    }
}

impl Notify {
    /// Returns the names of all receivers, which are the values of the `receiver` label.
    pub fn receivers(&self) -> impl Iterator<Item = &str> {
        let alertmanagers = self.alertmanagers.iter().map(|it| it.name.as_str());
        let webhooks = self.webhooks.iter().map(|it| it.name.as_str());
        let receivers = self.receivers.iter().map(|it| it.name.as_str());
        let heartbeat = self.heartbeat.as_ref().map(|_| HEARTBEAT_RECEIVER);
        alertmanagers
            .chain(webhooks)
            .chain(receivers)
            .chain(heartbeat)
    }
}

/// Reads `notify`.
pub(super) fn notify(
    file: &Section,
    networks: Result<&Networks, Reported>,
) -> Result<Notify, Reported> {
    let Some(section) = file.section("notify", &NOTIFY)? else {
        return Ok(Notify::default());
    };
    let labels = labels(&section);
    let mut names = Names::default();
    let alertmanagers = receivers(&section, "alertmanagers", &ALERTMANAGER, |receiver| {
        let name = names.claim(receiver, receiver_name);
        let target = target(receiver);
        Ok(Alertmanager {
            name: name?,
            target: target?,
        })
    });
    let webhooks = receivers(&section, "webhooks", &WEBHOOK, |receiver| {
        let name = names.claim(receiver, receiver_name);
        let target = target(receiver);
        let send_resolved = receiver.read("send_resolved", boolean);
        let min_severity = min_severity(receiver);
        Ok(Webhook {
            name: name?,
            target: target?,
            send_resolved: send_resolved?.unwrap_or(true),
            min_severity: min_severity?,
        })
    });
    let receivers = services::service_receivers(&section, &mut names, networks);
    let heartbeat = section
        .section("heartbeat", &HEARTBEAT)
        .and_then(|section| section.map(|section| heartbeat(&section)).transpose());
    Ok(Notify {
        labels: labels?,
        alertmanagers: alertmanagers?,
        webhooks: webhooks?,
        receivers: receivers?,
        heartbeat: heartbeat?,
    })
}

fn min_severity(receiver: &Section) -> Result<Severity, Reported> {
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let min_severity = receiver.read("min_severity", |value| choice(value, &severities))?;
    Ok(min_severity.unwrap_or(Severity::Warning))
}

/// Reads a list of receivers, or of other servers.
pub(super) fn receivers<T>(
    section: &Section,
    key: &str,
    keys: &Keys,
    mut read: impl FnMut(&Section) -> Result<T, Reported>,
) -> Result<Vec<T>, Reported> {
    let items = section.list(key)?.into_iter().flatten();
    let read: Vec<_> = items
        .map(|(path, node)| read(&Section::open(section.source, path, node, keys)?))
        .collect();
    read.into_iter().collect()
}

fn heartbeat(section: &Section) -> Result<Heartbeat, Reported> {
    let target = target(section);
    let interval = section.read("interval", |value| {
        duration(value, Duration::from_secs(1)..=DAY)
    });
    Ok(Heartbeat {
        target: target?,
        interval: interval?.unwrap_or(DEFAULT_HEARTBEAT),
    })
}

/// Reads where requests go, and what they send.
pub(super) fn target(section: &Section) -> Result<Target, Reported> {
    let url = inline_or_file(
        section,
        "url",
        section.read("url", |value| secret_url(&value.secret_text()?)),
        section.read("url_file", |value| secret_url(text_file(value)?.trim())),
    );
    let http = http_options(section);
    let basic_auth = basic_auth(section);
    let (url, http, basic_auth) = (url?, http?, basic_auth?);
    let Some(url) = url else {
        let message = "is missing; set it, or `url_file`";
        return Err(section.report(section.position, "url", message));
    };
    let authorized = http.bearer_token.is_some() || http.headers.contains_key("authorization");
    if authorized && basic_auth.is_some() {
        let message =
            "conflicts with a bearer token or an `authorization` header; keep one of them";
        return Err(section.report_key("basic_auth", message));
    }
    Ok(Target {
        url,
        http,
        basic_auth,
    })
}

fn receiver_name(value: &Value) -> Result<String, String> {
    match name(value)? {
        reserved if reserved == HEARTBEAT_RECEIVER => Err(format!(
            "{reserved:?} is reserved for the dead man's switch; choose another name"
        )),
        name => Ok(name),
    }
}
