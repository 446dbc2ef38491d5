//! The uptime of a peer over windows of time, and how much data it rests on.

use crate::history::{History, Uptime};

use crate::web::pages::format::{percent, short_duration};

/// The names of the windows.
const WINDOWS: [&str; crate::history::WINDOWS.len()] = ["24 h", "7 d", "30 d", "90 d"];

/// Uptime over the windows for which there is data.
#[derive(Default)]
pub(super) struct UptimePanel {
    pub(super) windows: Vec<UptimeWindow>,
    /// Why it could not be read.
    pub(super) error: Option<String>,
}

/// Uptime over one window.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UptimeWindow {
    pub(super) name: &'static str,
    /// None if the peer was in maintenance all the time.
    pub(super) ratio: Option<String>,
    /// How long the peer was observed.
    pub(super) data: String,
    /// How long it was down.
    pub(super) down: Option<String>,
}

impl UptimePanel {
    /// Reads the uptime of a peer.
    pub(super) async fn read(history: &History, peer: &str) -> Self {
        match history.uptime(peer).await {
            Ok(uptimes) => Self {
                windows: windows(&uptimes),
                error: None,
            },
            Err(error) => Self {
                windows: Vec::new(),
                error: Some(error.to_string()),
            },
        }
    }
}

/// Returns the windows that hold data. One that holds no more than the one before is left out.
fn windows(uptimes: &[Uptime]) -> Vec<UptimeWindow> {
    let observed = |uptime: &Uptime| uptime.up + uptime.down + uptime.maintenance;
    let mut found = Vec::new();
    let mut last = std::time::Duration::ZERO;
    for (uptime, name) in uptimes.iter().zip(WINDOWS) {
        let data = observed(uptime);
        if data <= last {
            continue;
        }
        last = data;
        found.push(UptimeWindow {
            name,
            ratio: uptime.ratio().map(percent),
            data: short_duration(data),
            down: (!uptime.down.is_zero()).then(|| short_duration(uptime.down)),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn uptime(up: u64, down: u64, maintenance: u64) -> Uptime {
        Uptime {
            up: Duration::from_secs(up),
            down: Duration::from_secs(down),
            maintenance: Duration::from_secs(maintenance),
            ..Uptime::default()
        }
    }

    #[test]
    fn uptime_says_what_it_rests_on() {
        let young = uptime(163, 497, 0);
        let found = windows(&[young, young, young, young]);
        let expected = UptimeWindow {
            name: "24 h",
            ratio: Some("24.7\u{a0}%".to_owned()),
            data: "11 min".to_owned(),
            down: Some("8 min".to_owned()),
        };
        assert_eq!(found, [expected], "longer windows hold nothing more");
        let day = uptime(86_000, 0, 0);
        let week = uptime(300_000, 0, 0);
        let found = windows(&[day, week, week, week]);
        let found: Vec<_> = found.iter().map(|it| (it.name, it.data.as_str())).collect();
        assert_eq!(found, [("24 h", "23 h"), ("7 d", "3 d")]);
    }

    #[test]
    fn time_in_maintenance_is_data_without_uptime() {
        let found = windows(&[uptime(0, 0, 600)]);
        assert_eq!(
            (found[0].ratio.as_ref(), found[0].data.as_str()),
            (None, "10 min")
        );
        assert_eq!(windows(&[uptime(0, 0, 0)]), []);
    }
}
