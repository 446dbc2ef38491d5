//! Decides when a failed poll does not count against the peer. Pure: takes failures and results of
//! checks, returns an excuse or none.

use std::fmt;

use crate::failure::Reason;

use super::kinds::{Check, CheckResult, Checks};
use super::network_path::NetworkPath;
use super::reachability::was_reached;

/// An endpoint whose last poll failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedEndpoint {
    /// Why it failed.
    pub reason: Reason,
    /// What a poll of it needs of this host.
    pub path: NetworkPath,
}

/// Why a failed poll does not count against the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// The check proves a problem of this host that could be the cause. Excuses for as long as it
    /// fails.
    FailedCheck(Check),
    /// The check fails, but the cause could be elsewhere. Excuses for a short time.
    SuspectCheck(Check),
    /// All peers became unreachable together. Excuses for a short time.
    CommonOutage,
}

impl Excuse {
    /// Whether the peer could be down nevertheless, so that the excuse must end soon.
    #[must_use]
    pub const fn is_suspicion(self) -> bool {
        matches!(self, Self::SuspectCheck(_) | Self::CommonOutage)
    }

    /// Whether the excuse ends when a reference answers.
    #[must_use]
    pub const fn ends_when_reference_answers(self) -> bool {
        matches!(
            self,
            Self::SuspectCheck(Check::References) | Self::CommonOutage
        )
    }
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedCheck(check) => {
                write!(f, "the monitor's {} self-check fails", check.as_str())
            }
            Self::SuspectCheck(check) => {
                write!(f, "the monitor's {} self-check fails too", check.as_str())
            }
            Self::CommonOutage => f.write_str("all peers became unreachable at the same time"),
        }
    }
}

/// Returns what excuses a poll in which all of these endpoints failed. Only a poll whose failures
/// are all explained is excused. `common_outage` is
/// [`ReachabilityCount::is_common_outage`](super::ReachabilityCount::is_common_outage).
#[must_use]
pub fn find_excuse(
    failed: &[FailedEndpoint],
    checks: &Checks,
    common_outage: bool,
) -> Option<Excuse> {
    // The check that explains the first failure, if checks with these results explain all of them.
    let explanation = |results: &[CheckResult]| {
        let cause = |endpoint: &FailedEndpoint| {
            results.iter().find_map(|result| {
                checks
                    .with_result(*result)
                    .find(|check| check.explains(*endpoint))
            })
        };
        let causes: Option<Vec<Check>> = failed.iter().map(cause).collect();
        causes?.first().copied()
    };
    if let Some(check) = explanation(&[CheckResult::Failed]) {
        return Some(Excuse::FailedCheck(check));
    }
    if let Some(check) = explanation(&[CheckResult::Suspect, CheckResult::Failed]) {
        return Some(Excuse::SuspectCheck(check));
    }
    let unreached = failed.iter().all(|endpoint| !was_reached(endpoint.reason));
    (common_outage && unreached && !failed.is_empty() && !checks.reference_answers())
        .then_some(Excuse::CommonOutage)
}

#[cfg(test)]
mod tests {
    use CheckResult::{Failed, Passed, Suspect};
    use convex_client::FailureReason;

    use super::*;

    const REFUSED: Reason = Reason::Client(FailureReason::Refused);
    const TIMEOUT: Reason = Reason::Client(FailureReason::Timeout);
    const TLS_EXPIRED: Reason = Reason::Client(FailureReason::TlsExpired);
    const UNREACHABLE: Reason = Reason::Client(FailureReason::Unreachable);

    const NAMED: NetworkPath = NetworkPath {
        local: false,
        named: true,
    };
    const LITERAL: NetworkPath = NetworkPath {
        local: false,
        named: false,
    };
    const LOCAL: NetworkPath = NetworkPath {
        local: true,
        named: false,
    };

    #[test]
    fn a_check_excuses_failures_that_it_could_have_caused() {
        let one = |path, reason| vec![FailedEndpoint { reason, path }];
        let both = |first, second| [one(NAMED, first), one(LITERAL, second)].concat();
        let dns = Reason::Client(FailureReason::Dns);
        let table = [
            // DNS
            (
                Check::Dns,
                Failed,
                one(NAMED, dns),
                Some(Excuse::FailedCheck(Check::Dns)),
            ),
            (
                Check::Dns,
                Suspect,
                one(NAMED, dns),
                Some(Excuse::SuspectCheck(Check::Dns)),
            ),
            (Check::Dns, Passed, one(NAMED, dns), None),
            (Check::Dns, Failed, one(NAMED, REFUSED), None),
            (Check::Dns, Failed, one(LITERAL, dns), None),
            (Check::Dns, Failed, both(dns, TIMEOUT), None),
            // Route
            (
                Check::Route,
                Failed,
                one(LITERAL, UNREACHABLE),
                Some(Excuse::FailedCheck(Check::Route)),
            ),
            (
                Check::Route,
                Failed,
                both(dns, TIMEOUT),
                Some(Excuse::FailedCheck(Check::Route)),
            ),
            (Check::Route, Failed, one(LITERAL, REFUSED), None),
            (Check::Route, Failed, one(LOCAL, TIMEOUT), None),
            // References
            (
                Check::References,
                Suspect,
                one(LITERAL, TIMEOUT),
                Some(Excuse::SuspectCheck(Check::References)),
            ),
            (Check::References, Suspect, one(LOCAL, TIMEOUT), None),
            (
                Check::References,
                Suspect,
                one(LITERAL, Reason::Client(FailureReason::Malformed)),
                None,
            ),
            // The agent itself
            (
                Check::EventLoop,
                Failed,
                one(LOCAL, TIMEOUT),
                Some(Excuse::FailedCheck(Check::EventLoop)),
            ),
            (Check::EventLoop, Failed, one(LOCAL, REFUSED), None),
            (
                Check::Clock,
                Failed,
                one(NAMED, TLS_EXPIRED),
                Some(Excuse::FailedCheck(Check::Clock)),
            ),
            (
                Check::Descriptors,
                Failed,
                one(NAMED, dns),
                Some(Excuse::FailedCheck(Check::Descriptors)),
            ),
            (Check::Descriptors, Failed, one(NAMED, TIMEOUT), None),
        ];
        for (check, result, failed, expected) in table {
            let checks = Checks::from_iter([(check, result)]);
            assert_eq!(
                find_excuse(&failed, &checks, false),
                expected,
                "{check:?} {result:?} {failed:?}"
            );
        }
        for path in [NAMED, LITERAL, LOCAL] {
            for reason in [Reason::WrongNetwork, Reason::WrongPeer] {
                let all = Check::ALL.iter().map(|check| (*check, Failed));
                let excuse = find_excuse(&one(path, reason), &all.collect(), true);
                assert_eq!(
                    excuse, None,
                    "nothing excuses a peer with the wrong identity"
                );
            }
        }
    }

    #[test]
    fn a_common_outage_excuses_unless_a_reference_or_the_peer_was_reached() {
        let unreached = [FailedEndpoint {
            reason: REFUSED,
            path: LITERAL,
        }];
        let reached = [FailedEndpoint {
            reason: Reason::Client(FailureReason::QueryHangs),
            path: LITERAL,
        }];
        let none = Checks::default();
        let reference = |result| Checks::from_iter([(Check::References, result)]);
        for (failed, checks, common_outage, expected) in [
            (&unreached, &none, true, Some(Excuse::CommonOutage)),
            (&unreached, &none, false, None),
            (&reached, &none, true, None),
            (
                &unreached,
                &reference(Suspect),
                true,
                Some(Excuse::CommonOutage),
            ),
            (&unreached, &reference(Passed), true, None),
        ] {
            assert_eq!(
                find_excuse(failed, checks, common_outage),
                expected,
                "{failed:?} {checks:?}"
            );
        }
    }
}
