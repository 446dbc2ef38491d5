//! The genesis hash that a peer shows in one poll after the other.

use cad3::Hash;
use tokio::time::Instant;

use crate::config::Peer;
use crate::fleet::Observation;

use super::FRESH_INTERVALS;

/// How many polls in a row have to show another genesis hash: one can meet a peer that is being
/// replaced.
pub(in crate::fleet) const MIN_OTHER_GENESIS_POLLS: u32 = 2;

/// A genesis hash that the last statuses of a peer showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fleet) struct GenesisShown {
    pub(in crate::fleet) hash: Hash,
    /// How many polls in a row showed it. Polls without a status do not count.
    pub(in crate::fleet) polls: u32,
    /// Until when that counts.
    pub(in crate::fleet) until: Instant,
}

impl GenesisShown {
    /// Returns what `peer` shows after a poll, if it showed `before` until then; none if the
    /// endpoints contradict each other.
    pub(super) fn after(
        before: Option<Self>,
        peer: &Peer,
        observation: &Observation,
        now: Instant,
    ) -> Option<Self> {
        let statuses = observation.endpoints.iter();
        let mut hashes =
            statuses.filter_map(|endpoint| Some(endpoint.attempt.status.as_ref()?.value.genesis));
        let Some(hash) = hashes.next() else {
            return before;
        };
        let polling = &peer.polling;
        // A peer of another network is down, and may be polled less often.
        let next_poll = match peer.genesis {
            Some(pinned) if pinned != hash => polling.interval.max(polling.max_interval),
            _ => polling.interval,
        };
        let same = before.filter(|before| before.hash == hash);
        hashes.all(|other| other == hash).then_some(Self {
            hash,
            polls: same.map_or(0, |same| same.polls).saturating_add(1),
            until: now + next_poll.saturating_mul(FRESH_INTERVALS),
        })
    }
}
