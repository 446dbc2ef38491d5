//! What an operator asks for, and whether that can be.

use std::time::{Duration, SystemTime};

use humantime::format_duration;

use super::action::ActionKind;
use super::matchers::Matchers;

/// Longest comment, in characters.
pub const MAX_COMMENT_CHARS: usize = 500;

/// Longest name of an operator, peer, network or alert, in characters.
pub const MAX_NAME_CHARS: usize = 128;

/// How long before now a beginning may lie: it takes a while to send it.
const MAX_LATE: Duration = Duration::from_secs(60);

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What to do.
    pub kind: ActionKind,
    /// What it is about.
    pub matchers: Matchers,
    /// Name of the requester.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// When it begins; now by default. Only of maintenance.
    pub starts_at: Option<SystemTime>,
    /// How long it lasts; an acknowledgement as long as it can by default.
    pub length: Option<Duration>,
}

/// Why an action was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionRefused {
    /// It would be forgotten at the next restart.
    #[error("nothing would be left of it after a restart; set `state_dir` in the configuration")]
    NotKept,
    /// A field of the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// No firing alert has the labels.
    #[error("no alert fires with {0}; /api/v1/alerts lists those that do")]
    NoSuchAlert(Box<Matchers>),
    /// Several firing alerts have the labels.
    #[error(
        "{count} alerts fire with {matchers}; an acknowledgement is about one, so add labels until \
         only one has all of them"
    )]
    SeveralAlerts {
        /// The labels.
        matchers: Box<Matchers>,
        /// Number of alerts.
        count: usize,
    },
    /// No peer or network has this name.
    #[error("no watched peer or network has {0}")]
    NotWatched(Box<Matchers>),
    /// There are as many as there can be.
    #[error("there are {count} of kind {kind}, as many as there can be; end some first")]
    TooMany {
        /// Their kind.
        kind: ActionKind,
        /// Their number.
        count: usize,
    },
    /// There is no such action, or it has ended.
    #[error("nothing active has the id {0}; /api/v1/actions lists what is")]
    NoSuchAction(u64),
}

impl Draft {
    /// Checks texts and times. Returns when it begins and for how long.
    pub(super) fn check(&self, wall: SystemTime) -> Result<(SystemTime, Duration), ActionRefused> {
        self.check_matchers()?;
        check_line("created_by", &self.created_by, MAX_NAME_CHARS)
            .and_then(|()| check_line("comment", &self.comment, MAX_COMMENT_CHARS))
            .map_err(ActionRefused::Invalid)?;
        Ok((self.check_start(wall)?, self.check_length()?))
    }

    fn check_matchers(&self) -> Result<(), ActionRefused> {
        for (name, value) in self.matchers.labels() {
            if let Some(value) = value {
                check_line(name, value, MAX_NAME_CHARS).map_err(ActionRefused::Invalid)?;
            }
        }
        let Matchers {
            alertname,
            severity,
            peer,
            network,
            service,
        } = &self.matchers;
        let wrong = match self.kind {
            ActionKind::Acknowledgement if alertname.is_none() => {
                "`alertname` is missing: an acknowledgement is about one alert"
            }
            ActionKind::Silence if self.matchers.is_empty() => {
                "give at least one of `alertname`, `severity`, `peer`, `network` and `service`: \
                 nothing silences all alerts"
            }
            ActionKind::Maintenance
                if alertname.is_some() || severity.is_some() || service.is_some() =>
            {
                "maintenance is of a peer or a network; leave out `alertname`, `severity` and `service`"
            }
            ActionKind::Maintenance if peer.is_none() && network.is_none() => {
                "give `peer` or `network`"
            }
            _ => return Ok(()),
        };
        Err(ActionRefused::Invalid(wrong.to_owned()))
    }

    fn check_start(&self, wall: SystemTime) -> Result<SystemTime, ActionRefused> {
        let invalid = |why: String| Err(ActionRefused::Invalid(why));
        let Some(starts_at) = self.starts_at else {
            return Ok(wall);
        };
        if self.kind != ActionKind::Maintenance {
            return invalid("`starts_at` is of maintenance only; others begin at once".to_owned());
        }
        let ahead = starts_at.duration_since(wall).unwrap_or_default();
        let late = wall.duration_since(starts_at).unwrap_or_default();
        let max = self.kind.max_length();
        if late > MAX_LATE {
            let late = format_duration(Duration::from_secs(late.as_secs()));
            return invalid(format!(
                "`starts_at` is {late} ago; expected a time to come"
            ));
        }
        if ahead > max {
            let max = format_duration(max);
            return invalid(format!("`starts_at` is more than {max} ahead"));
        }
        Ok(starts_at.max(wall))
    }

    fn check_length(&self) -> Result<Duration, ActionRefused> {
        let max = self.kind.max_length();
        let invalid = |why: String| Err(ActionRefused::Invalid(why));
        match self.length {
            None if self.kind == ActionKind::Acknowledgement => Ok(max),
            None => invalid("`seconds` is missing: how long it lasts".to_owned()),
            Some(length) if length < Duration::from_secs(1) || length > max => {
                let (kind, max) = (self.kind, format_duration(max));
                invalid(format!(
                    "{} is not how long {kind} can last; expected 1s to {max}",
                    format_duration(length)
                ))
            }
            Some(length) => Ok(length),
        }
    }
}

/// Checks a text of one line that an operator gives as `field`.
///
/// # Errors
/// It is empty, has more than `max_chars` characters, or has a control character.
pub fn check_line(field: &str, text: &str, max_chars: usize) -> Result<(), String> {
    let count = text.chars().count();
    let wrong = if text.trim().is_empty() {
        format!("`{field}` is empty")
    } else if count > max_chars {
        format!("`{field}` has {count} characters; expected at most {max_chars}")
    } else if text.chars().any(char::is_control) {
        format!("`{field}` has a control character; expected one line of text")
    } else {
        return Ok(());
    };
    Err(wrong)
}
