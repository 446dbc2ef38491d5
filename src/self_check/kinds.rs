//! The checks: the values of the `check` label, what needs each of them, and which failures each
//! could cause. Pure.

use std::collections::BTreeMap;

use convex_client::FailureReason;

use crate::failure::Reason;
use crate::label_enum::label_enum;

use super::excuse::FailedEndpoint;
use super::network_path::NetworkPath;

label_enum! {
    /// A check of the agent itself and its host.
    pub enum Check {
        Clock = "clock", "The wall clock has not jumped relative to the monotonic clock within the last 15 s, as it does after a suspend or a correction.";
        Descriptors = "descriptors", "More than 5 % of the file descriptors that the process can have are free.";
        Dns = "dns", "`self_check.dns_name` resolves or, without it, at least one host name of the configured endpoints.";
        EventLoop = "event_loop", "No timer was more than 1 s late within the last 15 s.";
        References = "references", "At least one of `self_check.references` accepts a connection.";
        Route = "route", "The system has a route to at least one of the configured endpoints; no packet is sent.";
    }
}

impl Check {
    /// Whether a poll over `path` depends on what is checked. An IP address needs no DNS, and this
    /// host no route.
    #[must_use]
    pub const fn is_needed_by(self, path: NetworkPath) -> bool {
        match self {
            Self::Dns => path.named && !path.local,
            Self::Route | Self::References => !path.local,
            Self::Clock | Self::Descriptors | Self::EventLoop => true,
        }
    }

    /// Says what is wrong if the check fails.
    pub(super) const fn problem(self) -> &'static str {
        match self {
            Self::Clock => "the clock of this host has jumped",
            Self::Descriptors => "this process has few file descriptors left",
            Self::Dns => "no name resolves: this host may be offline",
            Self::EventLoop => "timers are late: this host is too busy",
            Self::References => "no reference accepts a connection: this host may be offline",
            Self::Route => "there is no route to any peer: this host may be offline",
        }
    }

    /// Whether a failure of the check could cause `reason`. An endpoint that refuses a connection
    /// or answers wrongly was reached, so it needs another explanation.
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
            // A socket that cannot be opened fails with `monitor`; the resolver, which opens files,
            // fails with `dns`.
            Self::Descriptors => matches!(reason, Dns | Closed),
        }
    }

    /// Whether a failure of the check could be why the endpoint failed.
    pub(super) const fn explains(self, endpoint: FailedEndpoint) -> bool {
        self.is_needed_by(endpoint.path) && self.can_cause(endpoint.reason)
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Nothing is wrong.
    Passed,
    /// The check failed, but the cause could be outside this host.
    Suspect,
    /// The check failed because of the agent or its host.
    Failed,
}

/// The latest result of each check. Checks that no peer needs, or that have not run yet, are
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks(pub BTreeMap<Check, CheckResult>);

impl Checks {
    /// Returns each check and whether it passed, in label order.
    pub fn healthy(&self) -> impl Iterator<Item = (Check, bool)> {
        self.0
            .iter()
            .map(|(check, result)| (*check, *result == CheckResult::Passed))
    }

    /// Returns the checks with this result, in label order.
    pub(super) fn with_result(&self, result: CheckResult) -> impl Iterator<Item = Check> {
        self.0
            .iter()
            .filter(move |(_, found)| **found == result)
            .map(|(check, _)| *check)
    }

    /// Whether all checks passed.
    #[must_use]
    pub fn all_passed(&self) -> bool {
        self.healthy().all(|(_, healthy)| healthy)
    }

    /// Whether a reference answers, which shows that this host reaches others.
    #[must_use]
    pub fn reference_answers(&self) -> bool {
        self.0.get(&Check::References) == Some(&CheckResult::Passed)
    }
}

impl FromIterator<(Check, CheckResult)> for Checks {
    fn from_iter<I: IntoIterator<Item = (Check, CheckResult)>>(results: I) -> Self {
        Self(results.into_iter().collect())
    }
}
