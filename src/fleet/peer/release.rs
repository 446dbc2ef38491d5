//! The release that a peer tells, and what it proves. Pure.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A release is shown for this long after it was told: three times as long as passes until the peer
/// is asked again.
const VALID: Duration = Duration::from_secs(3 * 3600);

/// The first release that executes upgrades of the protocol (PEER-PROTOCOL, section 14).
const FIRST_WITH_UPGRADES: [u32; 3] = [0, 8, 7];

/// A release that a peer told.
#[derive(Clone, Debug)]
pub(super) struct ToldRelease {
    text: Arc<str>,
    told: Instant,
    /// How many restarts of the peer were inferred before.
    restarts: u64,
}

impl ToldRelease {
    /// Takes what a peer told at `told`, after so many restarts.
    pub(super) fn new(text: &str, told: Instant, restarts: u64) -> Self {
        Self {
            text: text.into(),
            told,
            restarts,
        }
    }

    /// Returns the release, unless it was told too long ago.
    pub(super) fn text(&self, now: Instant) -> Option<&str> {
        (now.saturating_duration_since(self.told) < VALID).then_some(&self.text)
    }

    /// Whether the peer, which was restarted so many times, is of a release that executes no
    /// upgrade. After a restart it can be of another release.
    pub(super) fn lacks_upgrades(&self, now: Instant, restarts: u64) -> bool {
        self.restarts == restarts
            && self
                .text(now)
                .and_then(version)
                .is_some_and(|version| version < FIRST_WITH_UPGRADES)
    }
}

/// Returns the version of a release such as `0.8.6-SNAPSHOT`; none if the text does not say it.
fn version(release: &str) -> Option<[u32; 3]> {
    let end = release.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut parts = release[..end.unwrap_or(release.len())].split('.');
    let mut next = || parts.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_before_upgrades_were_introduced_lack_them() {
        let now = Instant::now();
        for (release, expected) in [
            ("0.8.0", true),
            ("0.8.5", true),
            ("0.8.6-SNAPSHOT", true),
            ("0.7.15", true),
            ("0.8.7", false),
            // It may be of a day before or after they were introduced.
            ("0.8.7-SNAPSHOT", false),
            ("0.8.17", false),
            ("0.10.0", false),
            ("1.0.0", false),
            // These say nothing.
            ("0.8", false),
            ("0.8.x", false),
            ("0", false),
            ("0.8.99999999999", false),
        ] {
            let told = ToldRelease::new(release, now, 0);
            assert_eq!(told.lacks_upgrades(now, 0), expected, "{release}");
        }
    }

    #[test]
    fn a_release_proves_nothing_after_a_restart_and_is_forgotten_after_three_hours() {
        let now = Instant::now();
        let told = ToldRelease::new("0.8.6", now, 1);
        assert!(told.lacks_upgrades(now, 1));
        assert!(!told.lacks_upgrades(now, 2));
        assert_eq!(told.text(now), Some("0.8.6"));
        let later = now + VALID;
        assert!(!told.lacks_upgrades(later, 1));
        assert_eq!(told.text(later), None);
    }
}
