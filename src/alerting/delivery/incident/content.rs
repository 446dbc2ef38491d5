//! What a message about an incident says, before a service's markup and limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alerting::{Alert, OperatorAction};
use crate::config::Severity;

use super::super::context::MessageContext;
use super::super::message::digest;
use super::Step;

/// Largest number of alerts that a message describes; the others are counted.
const MAX_DESCRIBED: usize = 10;

/// How bad something is, or that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::alerting::delivery) enum Level {
    /// It is over.
    Resolved,
    /// For information only.
    Info,
    /// Can wait for working hours.
    Warning,
    /// Needs somebody at once.
    Critical,
}

impl Level {
    /// Returns the word that stands before a title.
    pub(in crate::alerting::delivery) const fn word(self) -> &'static str {
        match self {
            Self::Resolved => "Resolved",
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }

    /// Returns a colour, as red, green and blue.
    pub(in crate::alerting::delivery) const fn color(self) -> u32 {
        match self {
            Self::Resolved => 0x002E_7D32,
            Self::Info => 0x0019_76D2,
            Self::Warning => 0x00F9_A825,
            Self::Critical => 0x00D3_2F2F,
        }
    }
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::alerting::delivery) struct Content {
    pub(in crate::alerting::delivery) level: Level,
    /// The problem, and of which peer, network or agent: one line.
    pub(in crate::alerting::delivery) title: String,
    /// Why it ended, if nothing shows that the cause is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::alerting::delivery) ended_by: Option<String>,
    /// The worst alerts first.
    pub(in crate::alerting::delivery) alerts: Vec<AlertText>,
    /// Counts of the alerts that are not described; empty if all are.
    pub(in crate::alerting::delivery) others: String,
    /// The page of the agent to look at first.
    pub(in crate::alerting::delivery) page_url: String,
    /// The operator's labels, and those that all alerts have.
    pub(in crate::alerting::delivery) labels: BTreeMap<String, String>,
    /// The agent that says so.
    pub(in crate::alerting::delivery) vantage: String,
}

/// What a message says about one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::alerting::delivery) struct AlertText {
    pub(in crate::alerting::delivery) level: Level,
    pub(in crate::alerting::delivery) name: String,
    /// The problem, and of which peer, network or agent: one line.
    pub(in crate::alerting::delivery) title: String,
    /// Since when, the figures, who sees it, what is at risk, and the first step.
    pub(in crate::alerting::delivery) description: String,
    /// How it ended, who works on it, or who has silenced it; may be empty.
    pub(in crate::alerting::delivery) note: String,
    pub(in crate::alerting::delivery) page_url: String,
    pub(in crate::alerting::delivery) runbook_url: String,
}

impl Content {
    /// Describes alerts that fire, or those that ended last.
    pub(super) fn new(mut alerts: Vec<&Alert>, step: Step<'_>) -> Self {
        let context = step.context;
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.rule.severity), alert.key()));
        let level = alerts.iter().map(|alert| Level::of(alert)).max();
        let title = alerts.first().map_or_else(String::new, |first| {
            first.rule.summary_of(&first.subject, &context.vantage)
        });
        let title = match alerts.len() {
            0 | 1 => title,
            2 => format!("{title}, and 1 more alert"),
            count => format!("{title}, and {} more alerts", count - 1),
        };
        let described = alerts.len().min(MAX_DESCRIBED);
        let page_url = match alerts.as_slice() {
            [only] => context.page_url(&only.subject),
            _ => context.home_page_url(),
        };
        Self {
            level: level.unwrap_or(Level::Resolved),
            title,
            ended_by: None,
            others: counts(&alerts[described..]),
            page_url,
            labels: common_labels(&alerts, context),
            alerts: alerts[..described]
                .iter()
                .map(|alert| AlertText::new(alert, step))
                .collect(),
            vantage: context.vantage.clone(),
        }
    }

    /// Returns a hash of what it says.
    pub(super) fn digest(&self) -> String {
        let json = serde_json::to_string(self).expect("strings can be encoded as JSON");
        digest([json.as_str()])
    }

    /// Returns the title with how bad it is.
    pub(in crate::alerting::delivery) fn headline(&self) -> String {
        let (word, title) = (self.level.word(), &self.title);
        match &self.ended_by {
            Some(by) => format!("Ended ({by}): {title}"),
            None => format!("{word}: {title}"),
        }
    }
}

impl Level {
    fn of(alert: &Alert) -> Self {
        match alert.ends_at {
            Some(_) => Self::Resolved,
            None => alert.rule.severity.into(),
        }
    }
}

impl AlertText {
    fn new(alert: &Alert, step: Step<'_>) -> Self {
        let mut annotations = step.context.annotations(alert);
        let mut take = |name: &str| annotations.remove(name).unwrap_or_default();
        Self {
            level: Level::of(alert),
            name: alert.rule.name.to_owned(),
            title: take("summary"),
            // The description is of the beginning and does not explain the end.
            description: match alert.ends_at {
                None => (step.describe)(alert),
                Some(_) => String::new(),
            },
            note: note(alert),
            page_url: take("page_url"),
            runbook_url: take("runbook_url"),
        }
    }
}

fn note(alert: &Alert) -> String {
    let until = |action: &OperatorAction| {
        let until = humantime::format_rfc3339_seconds(action.ends_at).to_string();
        let until = until.replace('T', " ").replace('Z', " UTC");
        let (by, why) = (&action.created_by, &action.comment);
        format!("by {by} until {until}: {why}")
    };
    match alert {
        Alert {
            ends_at: Some(_),
            ended_by: Some(by),
            ..
        } => format!("ended ({by}), which does not mean that it is over"),
        Alert {
            ends_at: Some(_), ..
        } => "resolved".to_owned(),
        Alert {
            silenced: Some(action),
            ..
        } => format!("Silenced {}", until(action)),
        Alert {
            acknowledged: Some(action),
            ..
        } => format!("Acknowledged {}", until(action)),
        _ => String::new(),
    }
}

/// Counts alerts by name, as in `488 × ConvexPeerDown, 2 × ConvexPeerLagging`.
fn counts(alerts: &[&Alert]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in alerts {
        *counts.entry(alert.rule.name).or_default() += 1;
    }
    let counts = counts
        .iter()
        .map(|(name, count)| format!("{count} × {name}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Returns the labels that all of `alerts` have, but for those that are in their titles.
fn common_labels(alerts: &[&Alert], context: &MessageContext) -> BTreeMap<String, String> {
    let mut all = alerts.iter().map(|alert| context.labels(alert));
    let mut common = all.next().unwrap_or_default();
    for labels in all {
        common.retain(|name, value| labels.get(name) == Some(value));
    }
    common.remove("severity");
    common
}
