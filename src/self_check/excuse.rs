//! When a failed poll says nothing of the peer. Pure: failures and findings in, an excuse or none out.

use std::fmt;
use std::net::IpAddr;

use convex_client::{Endpoint, FailureReason, Transport};

use crate::config::Peer;
use crate::failure::Reason;
use crate::self_check::kinds::{Check, Checks, Finding};

/// So many peers have to fall silent to do it together.
const TOGETHER: usize = 2;

/// What a poll of an endpoint needs of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// It does not leave this host.
    pub local: bool,
    /// It begins with a name to resolve.
    pub named: bool,
}

impl Path {
    /// The path to one of `peer`'s endpoints: to its proxy, where it is asked through one.
    #[must_use]
    pub fn of(peer: &Peer, endpoint: &Endpoint) -> Self {
        let proxy = peer.http.proxy.as_ref();
        let proxy = proxy.filter(|_| endpoint.transport() == Transport::Http);
        let host = proxy.and_then(|proxy| proxy.host_str());
        Self::to(host.unwrap_or(&endpoint.host()))
    }

    /// The path to `host`, a name or an address; an IPv6 literal with or without brackets.
    #[must_use]
    pub fn to(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => Self {
                local: address.to_canonical().is_loopback(),
                named: false,
            },
            Err(_) => Self {
                local: host == "localhost" || host.ends_with(".localhost"),
                named: true,
            },
        }
    }

    /// Whether nothing of `peer` is beyond this host.
    #[must_use]
    pub fn is_local(peer: &Peer) -> bool {
        peer.endpoints
            .iter()
            .all(|endpoint| Self::of(peer, endpoint).local)
    }
}

/// An endpoint that a poll found failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub reason: Reason,
    /// What it needs of this host.
    pub path: Path,
}

/// Why a failed poll is not held against the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// The check shows trouble of this host that could be why. It excuses as long as it lasts.
    Broken(Check),
    /// The check fails, which could be others' trouble as well. It excuses for a short time.
    Suspect(Check),
    /// All peers have fallen silent together. It excuses for a short time.
    CommonOutage,
}

impl Excuse {
    /// Whether the peer could be down all the same: then the excuse must end soon.
    #[must_use]
    pub const fn is_suspicion(self) -> bool {
        matches!(self, Self::Suspect(_) | Self::CommonOutage)
    }

    /// Whether an answering reference ends it.
    #[must_use]
    pub const fn ends_with_a_reference(self) -> bool {
        matches!(self, Self::Suspect(Check::References) | Self::CommonOutage)
    }
}

impl fmt::Display for Excuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(check) => write!(f, "the monitor's own {} check fails", check.as_str()),
            Self::Suspect(check) => {
                write!(
                    f,
                    "the monitor's own {} check fails as well",
                    check.as_str()
                )
            }
            Self::CommonOutage => f.write_str("all peers have fallen silent together"),
        }
    }
}

/// What excuses a poll that failed at all of these endpoints, if anything does: each of them has to be excused. `together`
/// is [`ReachabilityCount::together`].
#[must_use]
pub fn excuse(failed: &[Failed], checks: &Checks, together: bool) -> Option<Excuse> {
    let explained = |findings: &[Finding]| {
        let by = |failed: &Failed| {
            findings.iter().find_map(|finding| {
                checks
                    .that_are(*finding)
                    .find(|check| check.explains(*failed))
            })
        };
        let causes: Option<Vec<Check>> = failed.iter().map(by).collect();
        causes?.first().copied()
    };
    if let Some(check) = explained(&[Finding::Broken]) {
        return Some(Excuse::Broken(check));
    }
    if let Some(check) = explained(&[Finding::Suspect, Finding::Broken]) {
        return Some(Excuse::Suspect(check));
    }
    let silent = failed.iter().all(|failed| !is_contact(failed.reason));
    (together && silent && !failed.is_empty() && !checks.a_reference_answers())
        .then_some(Excuse::CommonOutage)
}

/// Whether an endpoint that fails with `reason` was reached: the path to it works.
const fn is_contact(reason: Reason) -> bool {
    match reason {
        Reason::Client(FailureReason::Dns)
        | Reason::Client(FailureReason::Refused)
        | Reason::Client(FailureReason::Unreachable)
        | Reason::Client(FailureReason::ConnectTimeout)
        | Reason::Client(FailureReason::Tls)
        | Reason::Client(FailureReason::Timeout)
        | Reason::Client(FailureReason::Closed)
        | Reason::MONITOR => false,
        Reason::Client(FailureReason::TlsExpired)
        | Reason::Client(FailureReason::HttpStatus)
        | Reason::Client(FailureReason::Malformed)
        | Reason::Client(FailureReason::TooLarge)
        | Reason::Client(FailureReason::QueryHangs)
        | Reason::Client(FailureReason::PeerError)
        | Reason::Client(FailureReason::Overloaded)
        | Reason::WrongNetwork
        | Reason::WrongPeer => true,
    }
}

/// Whether a peer was heard in its last poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It was, whatever it said.
    Reached,
    /// It was not.
    Unreached,
}

impl Contact {
    /// What a poll says whose endpoints failed for these reasons; none where one answered well. None when it failed for
    /// the monitor's own sake.
    #[must_use]
    pub fn of(reasons: impl IntoIterator<Item = Option<Reason>>) -> Option<Self> {
        let mut own = false;
        for reason in reasons {
            match reason {
                None => return Some(Self::Reached),
                Some(reason) if is_contact(reason) => return Some(Self::Reached),
                Some(reason) => own |= reason == Reason::MONITOR,
            }
        }
        (!own).then_some(Self::Unreached)
    }
}

/// What the last polls of all peers say, counted: those beyond this host apart from those on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachabilityCount {
    far: Count,
    near: Count,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    heard: usize,
    silent: usize,
}

impl ReachabilityCount {
    /// A peer's word replaces its last one. None: it has none. A peer that is down already has none by being silent.
    pub fn replace(&mut self, local: bool, before: Option<Contact>, after: Option<Contact>) {
        let count = if local { &mut self.near } else { &mut self.far };
        if let Some(before) = before {
            let of = count.of(before);
            *of = of.saturating_sub(1);
        }
        if let Some(after) = after {
            *count.of(after) += 1;
        }
    }

    /// Whether everything that could be heard has fallen silent: for a peer beyond this host, all that are; for one on
    /// this host, all at all, because the network explains nothing there.
    #[must_use]
    pub const fn together(&self, local: bool) -> bool {
        let Self { far, near } = self;
        if local {
            far.heard + near.heard == 0 && far.silent + near.silent >= TOGETHER
        } else {
            far.heard == 0 && far.silent >= TOGETHER
        }
    }
}

impl Count {
    fn of(&mut self, word: Contact) -> &mut usize {
        match word {
            Contact::Reached => &mut self.heard,
            Contact::Unreached => &mut self.silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use Finding::{Broken, Sound, Suspect};

    use super::*;

    const REFUSED: Reason = Reason::Client(FailureReason::Refused);
    const TIMEOUT: Reason = Reason::Client(FailureReason::Timeout);
    const TLS_EXPIRED: Reason = Reason::Client(FailureReason::TlsExpired);
    const UNREACHABLE: Reason = Reason::Client(FailureReason::Unreachable);

    const NAMED: Path = Path {
        local: false,
        named: true,
    };
    const LITERAL: Path = Path {
        local: false,
        named: false,
    };
    const LOCAL: Path = Path {
        local: true,
        named: false,
    };

    #[test]
    fn a_path_needs_what_its_host_needs() {
        for (host, local, named) in [
            ("peer.example", false, true),
            ("192.0.2.7", false, false),
            ("2001:db8::7", false, false),
            ("127.0.0.9", true, false),
            ("::1", true, false),
            ("[::1]", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("localhost", true, true),
            ("peer.localhost", true, true),
        ] {
            assert_eq!(Path::to(host), Path { local, named }, "{host}");
        }
    }

    #[test]
    fn a_check_excuses_what_needs_it_and_could_fail_by_it() {
        let one = |path, reason| vec![Failed { reason, path }];
        let both = |first, second| [one(NAMED, first), one(LITERAL, second)].concat();
        let dns = Reason::Client(FailureReason::Dns);
        let table = [
            // DNS
            (
                Check::Dns,
                Broken,
                one(NAMED, dns),
                Some(Excuse::Broken(Check::Dns)),
            ),
            (
                Check::Dns,
                Suspect,
                one(NAMED, dns),
                Some(Excuse::Suspect(Check::Dns)),
            ),
            (Check::Dns, Sound, one(NAMED, dns), None),
            (Check::Dns, Broken, one(NAMED, REFUSED), None),
            (Check::Dns, Broken, one(LITERAL, dns), None),
            (Check::Dns, Broken, both(dns, TIMEOUT), None),
            // Route
            (
                Check::Route,
                Broken,
                one(LITERAL, UNREACHABLE),
                Some(Excuse::Broken(Check::Route)),
            ),
            (
                Check::Route,
                Broken,
                both(dns, TIMEOUT),
                Some(Excuse::Broken(Check::Route)),
            ),
            (Check::Route, Broken, one(LITERAL, REFUSED), None),
            (Check::Route, Broken, one(LOCAL, TIMEOUT), None),
            // References
            (
                Check::References,
                Suspect,
                one(LITERAL, TIMEOUT),
                Some(Excuse::Suspect(Check::References)),
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
                Broken,
                one(LOCAL, TIMEOUT),
                Some(Excuse::Broken(Check::EventLoop)),
            ),
            (Check::EventLoop, Broken, one(LOCAL, REFUSED), None),
            (
                Check::Clock,
                Broken,
                one(NAMED, TLS_EXPIRED),
                Some(Excuse::Broken(Check::Clock)),
            ),
            (
                Check::Descriptors,
                Broken,
                one(NAMED, dns),
                Some(Excuse::Broken(Check::Descriptors)),
            ),
            (Check::Descriptors, Broken, one(NAMED, TIMEOUT), None),
        ];
        for (check, finding, failed, expected) in table {
            let checks = Checks::from_iter([(check, finding)]);
            assert_eq!(
                excuse(&failed, &checks, false),
                expected,
                "{check:?} {finding:?} {failed:?}"
            );
        }
        for path in [NAMED, LITERAL, LOCAL] {
            for reason in [Reason::WrongNetwork, Reason::WrongPeer] {
                let all = Check::ALL.iter().map(|check| (*check, Broken));
                let excuse = excuse(&one(path, reason), &all.collect(), true);
                assert_eq!(
                    excuse, None,
                    "nothing excuses a peer that proves to be another"
                );
            }
        }
    }

    #[test]
    fn silence_together_excuses_unless_a_reference_answers_or_the_peer_was_reached() {
        let silent = [Failed {
            reason: REFUSED,
            path: LITERAL,
        }];
        let reached = [Failed {
            reason: Reason::Client(FailureReason::QueryHangs),
            path: LITERAL,
        }];
        let none = Checks::default();
        let reference = |finding| Checks::from_iter([(Check::References, finding)]);
        for (failed, checks, together, expected) in [
            (&silent, &none, true, Some(Excuse::CommonOutage)),
            (&silent, &none, false, None),
            (&reached, &none, true, None),
            (
                &silent,
                &reference(Suspect),
                true,
                Some(Excuse::CommonOutage),
            ),
            (&silent, &reference(Sound), true, None),
        ] {
            assert_eq!(
                excuse(failed, checks, together),
                expected,
                "{failed:?} {checks:?}"
            );
        }
    }

    #[test]
    fn two_that_fall_silent_do_it_together_when_nobody_is_heard() {
        // Reached and silent peers beyond this host, then on it; together for one beyond, for one on this host.
        for (far, near, expected) in [
            ([0, 0], [0, 0], [false, false]),
            ([0, 1], [0, 0], [false, false]),
            ([0, 2], [0, 0], [true, true]),
            ([1, 2], [0, 0], [false, false]),
            ([0, 2], [1, 0], [true, false]),
            ([0, 1], [0, 1], [false, true]),
            ([1, 0], [0, 2], [false, false]),
            ([0, 0], [0, 2], [false, true]),
        ] {
            let mut roll = ReachabilityCount::default();
            for (local, [heard, silent]) in [(false, far), (true, near)] {
                (0..heard).for_each(|_| roll.replace(local, None, Some(Contact::Reached)));
                (0..silent).for_each(|_| roll.replace(local, None, Some(Contact::Unreached)));
            }
            let together = [roll.together(false), roll.together(true)];
            assert_eq!(together, expected, "{far:?} {near:?}");
        }
    }

    #[test]
    fn a_word_is_replaced_by_the_next_one() {
        let mut roll = ReachabilityCount::default();
        roll.replace(false, None, Some(Contact::Reached));
        roll.replace(false, Some(Contact::Reached), Some(Contact::Unreached));
        roll.replace(false, None, Some(Contact::Unreached));
        assert!(roll.together(false));
        roll.replace(false, Some(Contact::Unreached), None);
        assert!(!roll.together(false));
    }

    #[test]
    fn who_says_anything_is_heard() {
        for (reasons, expected) in [
            (vec![None], Some(Contact::Reached)),
            (vec![Some(TIMEOUT), None], Some(Contact::Reached)),
            (
                vec![Some(TIMEOUT), Some(Reason::WrongNetwork)],
                Some(Contact::Reached),
            ),
            (vec![Some(TIMEOUT), Some(REFUSED)], Some(Contact::Unreached)),
            (vec![Some(TIMEOUT), Some(Reason::MONITOR)], None),
        ] {
            assert_eq!(Contact::of(reasons.clone()), expected, "{reasons:?}");
        }
    }
}
