//! Whether the last poll of each peer reached it, counted over all peers: shows when all of them
//! fail together. Pure.

use convex_client::FailureReason;

use crate::failure::Reason;

/// Fewest unreachable peers that count as a common outage.
const MIN_UNREACHED_PEERS: usize = 2;

/// Whether the last poll reached the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// At least one endpoint was reached, whatever it answered.
    Reached,
    /// No endpoint was reached.
    Unreached,
}

impl Contact {
    /// Returns whether a poll reached the peer, from the failure of each endpoint, if it failed.
    /// None if no endpoint was reached and one failed because of the agent itself.
    #[must_use]
    pub fn from_failures(failures: impl IntoIterator<Item = Option<Reason>>) -> Option<Self> {
        let mut monitor_failed = false;
        for failure in failures {
            match failure {
                None => return Some(Self::Reached),
                Some(reason) if was_reached(reason) => return Some(Self::Reached),
                Some(reason) => monitor_failed |= reason == Reason::MONITOR,
            }
        }
        (!monitor_failed).then_some(Self::Unreached)
    }
}

/// Whether an endpoint that failed with `reason` was reached, which shows that the path to it
/// works.
pub(super) const fn was_reached(reason: Reason) -> bool {
    use FailureReason::{
        Closed, ConnectTimeout, Dns, HttpStatus, Local, Malformed, Overloaded, PeerError,
        QueryHangs, Refused, Timeout, Tls, TlsExpired, TooLarge, Unreachable, UnsupportedRelease,
    };
    match reason {
        Reason::Client(
            Dns | Refused | Unreachable | ConnectTimeout | Tls | Timeout | Closed | Local,
        ) => false,
        Reason::Client(
            TlsExpired | HttpStatus | Malformed | TooLarge | QueryHangs | PeerError | Overloaded
            | UnsupportedRelease,
        )
        | Reason::WrongNetwork
        | Reason::WrongPeer => true,
    }
}

/// Numbers of peers that their last polls reached or not, separately for remote peers and those on
/// this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachabilityCount {
    remote: Counts,
    local: Counts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    reached: usize,
    unreached: usize,
}

impl ReachabilityCount {
    /// Replaces the contact of a peer. None stands for a peer that is not counted, such as one that
    /// is down already.
    pub fn replace(&mut self, is_local: bool, before: Option<Contact>, after: Option<Contact>) {
        let counts = if is_local {
            &mut self.local
        } else {
            &mut self.remote
        };
        if let Some(before) = before {
            let count = counts.count_mut(before);
            *count = count.saturating_sub(1);
        }
        if let Some(after) = after {
            *counts.count_mut(after) += 1;
        }
    }

    /// Whether all peers that could be affected together are unreachable. For a remote peer these
    /// are all remote peers; for a local one all peers, because the network cannot explain its
    /// failure.
    #[must_use]
    pub const fn is_common_outage(&self, is_local: bool) -> bool {
        let Self { remote, local } = self;
        if is_local {
            remote.reached + local.reached == 0
                && remote.unreached + local.unreached >= MIN_UNREACHED_PEERS
        } else {
            remote.reached == 0 && remote.unreached >= MIN_UNREACHED_PEERS
        }
    }
}

impl Counts {
    fn count_mut(&mut self, contact: Contact) -> &mut usize {
        match contact {
            Contact::Reached => &mut self.reached,
            Contact::Unreached => &mut self.unreached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Reason = Reason::Client(FailureReason::Refused);
    const TIMEOUT: Reason = Reason::Client(FailureReason::Timeout);

    #[test]
    fn two_unreachable_peers_are_a_common_outage_if_no_peer_is_reached() {
        // Reached and unreached peers, remote and local; a common outage for a remote and for a
        // local peer.
        for (remote, local, expected) in [
            ([0, 0], [0, 0], [false, false]),
            ([0, 1], [0, 0], [false, false]),
            ([0, 2], [0, 0], [true, true]),
            ([1, 2], [0, 0], [false, false]),
            ([0, 2], [1, 0], [true, false]),
            ([0, 1], [0, 1], [false, true]),
            ([1, 0], [0, 2], [false, false]),
            ([0, 0], [0, 2], [false, true]),
        ] {
            let mut count = ReachabilityCount::default();
            for (is_local, [reached, unreached]) in [(false, remote), (true, local)] {
                (0..reached).for_each(|_| count.replace(is_local, None, Some(Contact::Reached)));
                (0..unreached)
                    .for_each(|_| count.replace(is_local, None, Some(Contact::Unreached)));
            }
            let outages = [count.is_common_outage(false), count.is_common_outage(true)];
            assert_eq!(outages, expected, "{remote:?} {local:?}");
        }
    }

    #[test]
    fn a_contact_replaces_the_previous_one_of_the_peer() {
        let mut count = ReachabilityCount::default();
        count.replace(false, None, Some(Contact::Reached));
        count.replace(false, Some(Contact::Reached), Some(Contact::Unreached));
        count.replace(false, None, Some(Contact::Unreached));
        assert!(count.is_common_outage(false));
        count.replace(false, Some(Contact::Unreached), None);
        assert!(!count.is_common_outage(false));
    }

    #[test]
    fn a_peer_is_reached_if_an_endpoint_answers_anything() {
        for (failures, expected) in [
            (vec![None], Some(Contact::Reached)),
            (vec![Some(TIMEOUT), None], Some(Contact::Reached)),
            (
                vec![Some(TIMEOUT), Some(Reason::WrongNetwork)],
                Some(Contact::Reached),
            ),
            (vec![Some(TIMEOUT), Some(REFUSED)], Some(Contact::Unreached)),
            (vec![Some(TIMEOUT), Some(Reason::MONITOR)], None),
        ] {
            let contact = Contact::from_failures(failures.clone());
            assert_eq!(contact, expected, "{failures:?}");
        }
    }
}
