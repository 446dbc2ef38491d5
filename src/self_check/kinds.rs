//! The checks of the agent itself: a closed set, the `check` label, and what each of them can excuse. Pure.

use std::collections::BTreeMap;

use convex_client::FailureReason;

use crate::failure::Reason;
use crate::label_enum::label_enum;
use crate::self_check::excuse::{Failed, Path};

label_enum! {
    /// Something that the agent needs to see its peers.
    pub enum Check {
        Clock = "clock", "The wall clock has not jumped against the monotonic one within the last 15 s, as after a sleep or a correction.";
        Descriptors = "descriptors", "More than a twentieth of the file descriptors that the system grants are free.";
        Dns = "dns", "`self_check.dns_name` resolves; without it, one of the names of the configured endpoints.";
        EventLoop = "event_loop", "No timer was more than a second late within the last 15 s.";
        References = "references", "One of `self_check.references` accepts a connection.";
        Route = "route", "The system has a route to one of the configured endpoints; no packet is sent.";
    }
}

impl Check {
    /// Whether a poll over `path` needs what is checked: a literal address needs no DNS, this host no route.
    #[must_use]
    pub const fn is_needed_by(self, path: Path) -> bool {
        match self {
            Self::Dns => path.named && !path.local,
            Self::Route | Self::References => !path.local,
            Self::Clock | Self::Descriptors | Self::EventLoop => true,
        }
    }

    /// Whether the trouble could be why an endpoint fails with `reason`. Who refuses a connection, or answers wrongly, has
    /// been reached.
    const fn can_cause(self, reason: Reason) -> bool {
        use FailureReason::{
            Closed, ConnectTimeout, Dns, QueryHangs, Timeout, Tls, TlsExpired, Unreachable,
        };
        let Reason::Client(reason) = reason else {
            return false;
        };
        match self {
            Self::Dns => matches!(reason, Dns),
            Self::Route | Self::References => {
                matches!(
                    reason,
                    Dns | Unreachable | ConnectTimeout | Timeout | Closed
                )
            }
            Self::EventLoop => {
                matches!(
                    reason,
                    Dns | ConnectTimeout | Timeout | QueryHangs | Tls | Closed
                )
            }
            Self::Clock => matches!(
                reason,
                Dns | ConnectTimeout | Timeout | QueryHangs | Tls | TlsExpired | Closed
            ),
            // A socket that cannot be opened is `monitor`; files that cannot be are found by the resolver.
            Self::Descriptors => matches!(reason, Dns | Closed),
        }
    }

    pub(super) const fn explains(self, failed: Failed) -> bool {
        self.is_needed_by(failed.path) && self.can_cause(failed.reason)
    }
}

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is wrong.
    Sound,
    /// Something fails that could be others' trouble as well.
    Suspect,
    /// The agent or its host has trouble.
    Broken,
}

/// What the checks have found last; those that nothing needs, and those that have not run yet, are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks(pub BTreeMap<Check, Finding>);

impl Checks {
    /// Each check and whether it found nothing wrong, in label order.
    pub fn healthy(&self) -> impl Iterator<Item = (Check, bool)> {
        self.0
            .iter()
            .map(|(check, finding)| (*check, *finding == Finding::Sound))
    }

    /// Those that found `finding`, in label order.
    pub(super) fn that_are(&self, finding: Finding) -> impl Iterator<Item = Check> {
        self.0
            .iter()
            .filter(move |(_, found)| **found == finding)
            .map(|(check, _)| *check)
    }

    /// Whether nothing is found wrong.
    #[must_use]
    pub fn all_sound(&self) -> bool {
        self.healthy().all(|(_, healthy)| healthy)
    }

    /// Whether proven trouble lies on `path`, from the agent to whom it asks.
    #[must_use]
    pub fn obstruct(&self, path: Path) -> bool {
        self.that_are(Finding::Broken)
            .any(|check| check.is_needed_by(path))
    }

    /// Whether a reference answers: this host reaches others.
    #[must_use]
    pub fn a_reference_answers(&self) -> bool {
        self.0.get(&Check::References) == Some(&Finding::Sound)
    }
}

impl FromIterator<(Check, Finding)> for Checks {
    fn from_iter<I: IntoIterator<Item = (Check, Finding)>>(found: I) -> Self {
        Self(found.into_iter().collect())
    }
}
