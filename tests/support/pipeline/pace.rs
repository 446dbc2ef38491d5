//! How fast the pipeline works: as shipped, or with shorter times and everything else the same.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;

/// What shortened `for` times and waits of Alertmanager are divided by.
const DIVISOR: u32 = 30;
/// How long critical alerts outlast missing data when shortened: a restart of the agent takes seconds at any pace.
const KEEP_FIRING: Duration = Duration::from_secs(20);

type Shorten = fn(Duration) -> Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Every time as it stands in the files.
    Shipped,
    /// Scrapes and evaluations each second; `for`, `group_wait` and `group_interval` a thirtieth, `keep_firing_for` 20 s.
    /// No expression, label, route, grouping or inhibition is touched.
    Fast,
}

impl Pace {
    /// `deploy/prometheus.yml`, at this pace.
    pub(super) fn scrapes(self, text: &str) -> String {
        match self {
            Self::Shipped => text.to_owned(),
            Self::Fast => text.replace("_interval: 15s", "_interval: 1s"),
        }
    }

    /// A file of rules, at this pace.
    pub(super) fn rules(self, text: &str) -> anyhow::Result<String> {
        self.retime(
            text,
            &[
                ("for", |time| time / DIVISOR),
                ("keep_firing_for", |_| KEEP_FIRING),
            ],
        )
    }

    /// A configuration of Alertmanager, at this pace.
    pub(super) fn routes(self, text: &str) -> anyhow::Result<String> {
        self.retime(
            text,
            &[
                ("group_wait", |time| time / DIVISOR),
                ("group_interval", |time| time / DIVISOR),
            ],
        )
    }

    /// Replaces the times of lines `KEY: TIME`.
    fn retime(self, text: &str, keys: &[(&str, Shorten)]) -> anyhow::Result<String> {
        if self == Self::Shipped {
            return Ok(text.to_owned());
        }
        let mut retimed = String::new();
        for line in text.lines() {
            let (start, value) = line.split_once(": ").unwrap_or((line, ""));
            match keys.iter().find(|(key, _)| *key == start.trim()) {
                Some((_, shorter)) => {
                    let time = humantime::parse_duration(value)
                        .with_context(|| format!("{line:?} has no time"))?;
                    writeln!(retimed, "{start}: {}ms", shorter(time).as_millis())?;
                }
                None => writeln!(retimed, "{line}")?,
            }
        }
        Ok(retimed)
    }
}
