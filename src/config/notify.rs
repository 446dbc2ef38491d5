//! Whom the agent tells of its verdicts by itself: Alertmanagers, webhooks, a dead man's switch.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::access::{basic_auth, either, http_options};
use super::keys::{ALERTMANAGER, HEARTBEAT, NOTIFY, WEBHOOK};
use super::labels::labels;
use super::scalar::{DAY, boolean, choice, duration, name, secret_url};
use super::secret_file::text_file;
use super::section::{Names, Refused, Section, Value};
use super::{HttpOptions, Secret};

/// The name of the heartbeat among the receivers.
pub const HEARTBEAT_RECEIVER: &str = "heartbeat";

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(60);

/// Whom the agent tells; nobody by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// On every alert, besides those that make its identity: what Prometheus' `external_labels` put there.
    pub labels: BTreeMap<String, String>,
    /// By position in the file.
    pub alertmanagers: Vec<Alertmanager>,
    /// By position in the file.
    pub webhooks: Vec<Webhook>,
    /// Told regularly that the agent is well.
    pub heartbeat: Option<Heartbeat>,
}

/// An Alertmanager, told by its API of version 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// The `receiver` label; unique among all receivers.
    pub name: String,
    /// Where it is; its routes are added to the path.
    pub target: Target,
}

/// A webhook, told of each transition by a request with JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The `receiver` label; unique among all receivers.
    pub name: String,
    /// Where it is.
    pub target: Target,
    /// Whether it is told when an alert is over.
    pub send_resolved: bool,
    /// What is less severe is not told.
    pub min_severity: Severity,
}

/// A dead man's switch: it tells somebody when it is not called.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// Where it is.
    pub target: Target,
    /// From one call to the next.
    pub interval: Duration,
}

/// Where requests go, and what they carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// An `http` or `https` URL. Whoever knows it may be able to use it.
    pub url: Secret,
    /// What HTTP sends and trusts.
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

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Waits for working hours.
    Warning,
    /// Wakes somebody.
    Critical,
}

impl Severity {
    /// From the least urgent on.
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
}

impl Target {
    /// Scheme and host of the URL, and whether there is more to it, which may be a secret.
    #[must_use]
    pub fn shown(&self) -> (String, bool) {
        let Ok(url) = Url::parse(self.url.expose()) else {
            return (String::new(), true);
        };
        let more = url.path() != "/" || url.query().is_some();
        (url.origin().ascii_serialization(), more)
    }
}

impl Notify {
    /// The names of all receivers, as they stand in the `receiver` label.
    pub fn receivers(&self) -> impl Iterator<Item = &str> {
        let alertmanagers = self.alertmanagers.iter().map(|it| it.name.as_str());
        let webhooks = self.webhooks.iter().map(|it| it.name.as_str());
        let heartbeat = self.heartbeat.as_ref().map(|_| HEARTBEAT_RECEIVER);
        alertmanagers.chain(webhooks).chain(heartbeat)
    }
}

/// The file's `notify`.
pub(super) fn notify(file: &Section) -> Result<Notify, Refused> {
    let Some(section) = file.section("notify", &NOTIFY)? else {
        return Ok(Notify::default());
    };
    let labels = labels(&section);
    let mut names = Names::default();
    let alertmanagers = receivers(&section, "alertmanagers", |receiver| {
        let name = names.claim(receiver, receiver_name);
        let target = target(receiver);
        Ok(Alertmanager {
            name: name?,
            target: target?,
        })
    });
    let webhooks = receivers(&section, "webhooks", |receiver| {
        let name = names.claim(receiver, receiver_name);
        let target = target(receiver);
        let send_resolved = receiver.read("send_resolved", boolean);
        let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
        let min_severity = receiver.read("min_severity", |value| choice(value, &severities));
        Ok(Webhook {
            name: name?,
            target: target?,
            send_resolved: send_resolved?.unwrap_or(true),
            min_severity: min_severity?.unwrap_or(Severity::Warning),
        })
    });
    let heartbeat = section
        .section("heartbeat", &HEARTBEAT)
        .and_then(|section| section.map(|section| heartbeat(&section)).transpose());
    Ok(Notify {
        labels: labels?,
        alertmanagers: alertmanagers?,
        webhooks: webhooks?,
        heartbeat: heartbeat?,
    })
}

/// The receivers of one kind.
fn receivers<T>(
    notify: &Section,
    kind: &str,
    mut read: impl FnMut(&Section) -> Result<T, Refused>,
) -> Result<Vec<T>, Refused> {
    let keys = if kind == "webhooks" {
        &WEBHOOK
    } else {
        &ALERTMANAGER
    };
    let items = notify.list(kind)?.into_iter().flatten();
    let read: Vec<_> = items
        .map(|(path, node)| read(&Section::open(notify.source, path, node, keys)?))
        .collect();
    read.into_iter().collect()
}

fn heartbeat(section: &Section) -> Result<Heartbeat, Refused> {
    let target = target(section);
    let interval = section.read("interval", |value| {
        duration(value, Duration::from_secs(1)..=DAY)
    });
    Ok(Heartbeat {
        target: target?,
        interval: interval?.unwrap_or(DEFAULT_HEARTBEAT),
    })
}

fn target(section: &Section) -> Result<Target, Refused> {
    let url = either(
        section,
        "url",
        section.read("url", |value| secret_url(&value.secret_text()?)),
        section.read("url_file", |value| secret_url(text_file(value)?.trim())),
    );
    let http = http_options(section);
    let basic_auth = basic_auth(section);
    let (url, http, basic_auth) = (url?, http?, basic_auth?);
    let Some(url) = url else {
        let message = "is missing; give it, or `url_file` with a file that holds it";
        return Err(section.report(section.position, "url", message));
    };
    let authorized = http.bearer_token.is_some() || http.headers.contains_key("authorization");
    if authorized && basic_auth.is_some() {
        let position = section
            .key_position("basic_auth")
            .unwrap_or(section.position);
        let message = "given beside a bearer token or an `authorization` header; keep one of them";
        return Err(section.report(position, "basic_auth", message));
    }
    Ok(Target {
        url,
        http,
        basic_auth,
    })
}

fn receiver_name(value: &Value) -> Result<String, String> {
    match name(value)? {
        taken if taken == HEARTBEAT_RECEIVER => Err(format!(
            "{taken:?} is the name of the dead man's switch among the receivers; choose another one"
        )),
        name => Ok(name),
    }
}
