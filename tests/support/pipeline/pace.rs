//! The pace of the pipeline: as shipped, or with shorter times and everything else the same.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;

/// Divisor for the `for` times of the rules and the waits of Alertmanager.
const DIVISOR: u32 = 30;
/// Shortened `keep_firing_for`. A restart of the agent takes seconds at any pace.
const KEEP_FIRING: Duration = Duration::from_secs(30);
/// Alerts about the agent itself keep their times. A busy machine may delay a few scrapes, which at
/// a thirtieth of the time would already look like an agent that is down.
const UNCHANGED_GROUP: &str = "convex-monitor";

type Shorten = fn(Duration) -> Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All times as in the files.
    Shipped,
    /// Scrapes and evaluations every second. `for`, `group_wait` and `group_interval` are divided
    /// by 30 and `keep_firing_for` is 30 s, except for alerts about the agent itself. Expressions,
    /// labels, routes, grouping and inhibition stay the same.
    Fast,
}

impl Pace {
    /// Returns `deploy/prometheus.yml` at this pace.
    pub(super) fn scrapes(self, text: &str) -> String {
        match self {
            Self::Shipped => text.to_owned(),
            Self::Fast => text.replace("_interval: 15s", "_interval: 1s"),
        }
    }

    /// Returns a rule file at this pace.
    pub(super) fn rules(self, text: &str) -> anyhow::Result<String> {
        self.retime(
            text,
            &[
                ("for", |time| time / DIVISOR),
                ("keep_firing_for", |_| KEEP_FIRING),
            ],
        )
    }

    /// Returns a configuration of Alertmanager at this pace.
    pub(super) fn routes(self, text: &str) -> anyhow::Result<String> {
        self.retime(
            text,
            &[
                ("group_wait", |time| time / DIVISOR),
                ("group_interval", |time| time / DIVISOR),
            ],
        )
    }

    /// Replaces the times in lines of the form `KEY: TIME`.
    fn retime(self, text: &str, keys: &[(&str, Shorten)]) -> anyhow::Result<String> {
        if self == Self::Shipped {
            return Ok(text.to_owned());
        }
        let mut retimed = String::new();
        let mut group = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("  - name: ") {
                group = name;
            }
            let (start, value) = line.split_once(": ").unwrap_or((line, ""));
            let key = keys.iter().find(|(key, _)| *key == start.trim());
            match key.filter(|_| group != UNCHANGED_GROUP) {
                Some((_, shorter)) => {
                    let time = humantime::parse_duration(value)
                        .with_context(|| format!("{line:?} has no duration"))?;
                    writeln!(retimed, "{start}: {}ms", shorter(time).as_millis())?;
                }
                None => writeln!(retimed, "{line}")?,
            }
        }
        Ok(retimed)
    }
}
