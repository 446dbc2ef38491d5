//! Who answers: genesis hash and peer key as seen, against what is pinned or was learned. Pure.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Attempt, Status};

/// How long a changed key stays a condition.
const CHANGE_IN_FORCE: Duration = Duration::from_secs(3600);

/// What is known of who a peer is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The genesis hash last seen.
    pub genesis: Option<Hash>,
    /// The peer key last seen; without a pinned key this is the learned one.
    pub key: Option<Hash>,
    /// Whether the genesis is the pinned one; none without a pin or without evidence.
    pub genesis_match: Option<bool>,
    /// Whether the key is the pinned one, or has long been the learned one.
    pub key_match: Option<bool>,
    /// Whether both transports reach one peer; none without evidence.
    pub transports_agree: Option<bool>,
    /// Whether the peer is where it says on chain; none when neither it nor another watched peer is found there.
    pub advertised_match: Option<bool>,
    /// How often another genesis than before was seen.
    pub genesis_changes: u64,
    /// How often another key than before was seen.
    pub key_changes: u64,
    /// How often the URL on chain was another one than before.
    pub advertised_changes: u64,
    pub(in crate::fleet) key_changed_at: Option<SystemTime>,
    /// The URL last seen on chain, and whose.
    advertised: Option<(Hash, Option<String>)>,
}

/// What the configuration pins.
#[derive(Clone, Copy, Debug)]
pub struct Pins {
    /// The network's genesis.
    pub genesis: Option<Hash>,
    /// The peer's key.
    pub key: Option<Hash>,
}

impl Identity {
    /// Takes what the endpoints answered in one poll.
    pub fn observe(&mut self, attempts: &[&Attempt], pins: Pins, now: SystemTime) {
        let statuses: Vec<&Status> = attempts
            .iter()
            .filter_map(|attempt| Some(&attempt.status.as_ref()?.value))
            .collect();
        // Two endpoints that contradict each other are a disagreement, not a change with every poll.
        let who = |status: &Status| (status.genesis, status.peer_key);
        if let Some(status) = statuses
            .first()
            .filter(|first| statuses.iter().all(|other| who(other) == who(first)))
        {
            if self
                .genesis
                .replace(status.genesis)
                .is_some_and(|old| old != status.genesis)
            {
                self.genesis_changes += 1;
            }
            if self
                .key
                .replace(status.peer_key)
                .is_some_and(|old| old != status.peer_key)
            {
                self.key_changes += 1;
                self.key_changed_at = Some(now);
            }
        }
        if let Some(pinned) = pins.genesis.filter(|_| !statuses.is_empty()) {
            self.genesis_match = Some(statuses.iter().all(|status| status.genesis == pinned));
        }
        self.key_match = match pins.key {
            Some(pinned) if !statuses.is_empty() => {
                Some(statuses.iter().all(|status| status.peer_key == pinned))
            }
            Some(_) => self.key_match,
            None => self.key.map(|_| !self.changed_lately(now)),
        };
        if let [first, second] = attempts {
            self.transports_agree = agree(first, second).or(self.transports_agree);
        }
    }

    /// Takes the URL that the chain has for `key`, the peer's, and whether the peer was found there.
    pub fn advertise(&mut self, key: Hash, url: Option<&str>, matches: Option<bool>) {
        self.advertised_match = matches;
        let seen = (key, url.map(str::to_owned));
        // Another key has another entry on chain: that is no change of a URL.
        let changed = |(of, before): &(Hash, Option<String>)| *of == key && *before != seen.1;
        self.advertised_changes += u64::from(self.advertised.as_ref().is_some_and(changed));
        self.advertised = Some(seen);
    }

    /// Whether another key than the learned one began to answer within the last hour.
    #[must_use]
    pub fn changed_lately(&self, now: SystemTime) -> bool {
        self.key_changed_at
            .is_some_and(|at| now.duration_since(at).unwrap_or_default() < CHANGE_IN_FORCE)
    }
}

/// Whether two endpoints reach one peer: by their statuses, else by the state hash at one block.
fn agree(first: &Attempt, second: &Attempt) -> Option<bool> {
    if let (Some(a), Some(b)) = (&first.status, &second.status) {
        return Some(a.value.genesis == b.value.genesis && a.value.peer_key == b.value.peer_key);
    }
    let state = |attempt: &Attempt| {
        let figures = attempt.query.as_ref()?.value.as_ref().ok()?;
        Some((figures.state_block?, figures.state_hash?))
    };
    let (a, b) = (state(first)?, state(second)?);
    (a.0 == b.0).then_some(a.1 == b.1)
}

#[cfg(test)]
mod tests {
    use convex_client::{OrderPoints, PollAnswer, Timed};

    use super::*;

    fn status(genesis: u8, key: u8) -> Attempt {
        let value = Status {
            genesis: Hash::new([genesis; 32]),
            peer_key: Hash::new([key; 32]),
            order: OrderPoints {
                block: 1,
                proposal: 1,
                consensus: 1,
                finality: 1,
            },
        };
        Attempt {
            status: Some(Timed {
                value,
                took: Duration::ZERO,
            }),
            ..Attempt::default()
        }
    }

    fn state(block: i64, hash: u8) -> Attempt {
        let figures = PollAnswer {
            state_block: Some(block),
            state_hash: Some(Hash::new([hash; 32])),
            ..PollAnswer::default()
        };
        Attempt {
            query: Some(Timed {
                value: Ok(figures),
                took: Duration::ZERO,
            }),
            ..Attempt::default()
        }
    }

    fn pins(genesis: Option<u8>, key: Option<u8>) -> Pins {
        Pins {
            genesis: genesis.map(|byte| Hash::new([byte; 32])),
            key: key.map(|byte| Hash::new([byte; 32])),
        }
    }

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn nothing_is_claimed_without_evidence() {
        let mut identity = Identity::default();
        identity.observe(&[&state(1, 1)], pins(Some(1), Some(1)), START);
        assert_eq!(identity, Identity::default());
    }

    #[test]
    fn a_pin_is_proven_or_disproven_and_stays_so_while_the_peer_is_silent() {
        let mut identity = Identity::default();
        identity.observe(&[&status(1, 9)], pins(Some(1), Some(2)), START);
        identity.observe(&[&Attempt::default()], pins(Some(1), Some(2)), START);
        assert_eq!(
            (identity.genesis_match, identity.key_match),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn a_change_of_the_url_on_chain_is_counted_and_another_key_is_none() {
        let mut identity = Identity::default();
        let changes = [
            (1, Some("a:1")),
            (1, Some("a:1")),
            (1, Some("b:1")),
            (1, None),
            (2, Some("a:1")),
            (2, Some("b:1")),
        ]
        .map(|(key, url)| {
            identity.advertise(Hash::new([key; 32]), url, None);
            identity.advertised_changes
        });
        assert_eq!(changes, [0, 0, 1, 2, 2, 3]);
    }

    #[test]
    fn a_learned_key_that_changes_is_a_condition_for_an_hour_and_then_the_learned_one() {
        let mut identity = Identity::default();
        let mut observe = |key, minutes: u64| {
            let now = START + Duration::from_secs(60 * minutes);
            identity.observe(&[&status(1, key)], pins(None, None), now);
            (
                identity.key_match,
                identity.changed_lately(now),
                identity.key_changes,
            )
        };
        assert_eq!(observe(1, 0), (Some(true), false, 0));
        assert_eq!(observe(2, 1), (Some(false), true, 1));
        assert_eq!(observe(2, 60), (Some(false), true, 1));
        assert_eq!(observe(2, 61), (Some(true), false, 1));
    }

    #[test]
    fn transports_are_compared_by_status_or_at_a_common_block() {
        for (first, second, expected) in [
            (status(1, 1), status(1, 1), Some(true)),
            (status(1, 1), status(1, 2), Some(false)),
            (status(1, 1), status(2, 1), Some(false)),
            (state(5, 1), state(5, 1), Some(true)),
            (state(5, 1), state(5, 2), Some(false)),
            (state(5, 1), state(6, 2), None),
            (status(1, 1), state(5, 1), None),
        ] {
            assert_eq!(agree(&first, &second), expected);
        }
    }
}
