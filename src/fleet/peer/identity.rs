//! Identity of a peer: its genesis hash and key as reported, compared with the pinned or learned
//! ones.

use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{Attempt, KeyProof, Status};

use crate::fleet::Evidence;

/// How long a changed key is a condition.
const KEY_CHANGE_ACTIVE: Duration = Duration::from_secs(3600);

/// Identity of a peer, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The last reported genesis hash.
    pub genesis: Option<Hash>,
    /// The last reported peer key; the learned one if no key is pinned.
    pub key: Option<Hash>,
    /// Whether the genesis hash is the pinned one; no evidence without a pin or a status.
    pub genesis_match: Evidence,
    /// Whether the key is the pinned one, or has been the learned one for long enough.
    pub key_match: Evidence,
    /// Whether both transports reach the same peer.
    pub transports_agree: Evidence,
    /// Whether the peer is reached at the URL that it advertises on chain; no evidence if no
    /// watched peer is.
    pub advertised_match: Evidence,
    /// Number of times the genesis hash changed.
    pub genesis_changes: u64,
    /// Number of times the key changed.
    pub key_changes: u64,
    /// Number of times the advertised URL changed.
    pub advertised_changes: u64,
    /// The key that the peer said it has, and the one with which it answered a challenge.
    proven: Option<(Hash, Hash)>,
    /// Why the last answer to a challenge proved nothing; none if it did.
    pub proof_problem: Option<String>,
    pub(in crate::fleet) key_changed_at: Option<SystemTime>,
    /// The key and the URL of the last entry on chain.
    advertised: Option<(Hash, Option<String>)>,
}

/// The values that the configuration pins.
#[derive(Clone, Copy, Debug)]
pub struct Pins {
    /// The network's genesis hash.
    pub genesis: Option<Hash>,
    /// The peer's key.
    pub key: Option<Hash>,
}

impl Identity {
    /// Records what the endpoints answered in one poll.
    pub fn record_attempts(&mut self, attempts: &[&Attempt], pins: Pins, now: SystemTime) {
        let statuses: Vec<&Status> = attempts
            .iter()
            .filter_map(|attempt| Some(&attempt.status.as_ref()?.value))
            .collect();
        // Two endpoints that contradict each other are a disagreement, not a change with each poll.
        let ids = |status: &Status| (status.genesis, status.peer_key);
        if let Some(status) = statuses
            .first()
            .filter(|first| statuses.iter().all(|other| ids(other) == ids(first)))
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
            self.genesis_match = statuses
                .iter()
                .all(|status| status.genesis == pinned)
                .into();
        }
        self.key_match = match pins.key {
            Some(pinned) if !statuses.is_empty() => statuses
                .iter()
                .all(|status| status.peer_key == pinned)
                .into(),
            Some(_) => self.key_match,
            None => self.key.map(|_| !self.key_changed_recently(now)).into(),
        };
        for attempt in attempts {
            if let Some(proof) = &attempt.key_proof {
                let claimed = attempt.status.as_ref().map(|status| status.value.peer_key);
                self.record_proof(claimed, proof);
            }
        }
        if let [first, second] = attempts {
            self.transports_agree = same_peer(first, second).or(self.transports_agree);
        }
    }

    fn record_proof(&mut self, claimed: Option<Hash>, proof: &KeyProof) {
        match (claimed, proof) {
            (Some(claimed), KeyProof::Signed(signer)) => {
                self.proven = Some((claimed, *signer));
                self.proof_problem = None;
            }
            (None, KeyProof::Signed(_)) => {}
            (_, KeyProof::NotProven(reason)) => {
                self.proven = None;
                self.proof_problem = Some(reason.clone());
            }
        }
    }

    /// Whether the peer has proven that it holds its key. Only a valid answer by another key
    /// disproves it.
    #[must_use]
    pub fn key_proof(&self) -> Evidence {
        let of_this_key = self
            .proven
            .filter(|(claimed, _)| Some(*claimed) == self.key);
        of_this_key
            .map(|(claimed, signer)| claimed == signer)
            .into()
    }

    /// Records the URL on chain of the peer with `key`, and whether the peer is reached there.
    pub fn record_advertised_url(&mut self, key: Hash, url: Option<&str>, matches: Evidence) {
        self.advertised_match = matches;
        let url = url.map(str::to_owned);
        // Another key has another entry on chain: that is not a change of the URL.
        let changed = |(last_key, last): &(Hash, Option<String>)| *last_key == key && *last != url;
        self.advertised_changes += u64::from(self.advertised.as_ref().is_some_and(changed));
        self.advertised = Some((key, url));
    }

    /// Whether the key changed within the last hour.
    #[must_use]
    pub fn key_changed_recently(&self, now: SystemTime) -> bool {
        self.key_changed_at
            .is_some_and(|at| now.duration_since(at).unwrap_or_default() < KEY_CHANGE_ACTIVE)
    }
}

/// Whether two endpoints reach the same peer: by their statuses, else by their state hashes at one
/// block.
fn same_peer(first: &Attempt, second: &Attempt) -> Evidence {
    if let (Some(a), Some(b)) = (&first.status, &second.status) {
        let ids = |status: &Status| (status.genesis, status.peer_key);
        return (ids(&a.value) == ids(&b.value)).into();
    }
    let state = |attempt: &Attempt| {
        let answer = attempt.query.as_ref()?.value.as_ref().ok()?;
        Some((answer.state_block?, answer.state_hash?))
    };
    match (state(first), state(second)) {
        (Some(a), Some(b)) if a.0 == b.0 => (a.1 == b.1).into(),
        _ => Evidence::None,
    }
}

#[cfg(test)]
mod tests {
    use Evidence::{Disproven, Proven};
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
            state: None,
            protocol: None,
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
        let answer = PollAnswer {
            state_block: Some(block),
            state_hash: Some(Hash::new([hash; 32])),
            ..PollAnswer::default()
        };
        Attempt {
            query: Some(Timed {
                value: Ok(answer),
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
    fn identity_stays_unknown_without_a_status() {
        let mut identity = Identity::default();
        identity.record_attempts(&[&state(1, 1)], pins(Some(1), Some(1)), START);
        assert_eq!(identity, Identity::default());
    }

    #[test]
    fn a_match_with_a_pin_is_kept_while_the_peer_does_not_answer() {
        let mut identity = Identity::default();
        identity.record_attempts(&[&status(1, 9)], pins(Some(1), Some(2)), START);
        identity.record_attempts(&[&Attempt::default()], pins(Some(1), Some(2)), START);
        assert_eq!(
            (identity.genesis_match, identity.key_match),
            (Proven, Disproven)
        );
    }

    #[test]
    fn a_key_is_proven_by_an_answer_that_it_signed_and_until_the_peer_has_another_key() {
        let signed = |key: u8| Some(KeyProof::Signed(Hash::new([key; 32])));
        let mut identity = Identity::default();
        for (claimed, key_proof, expected) in [
            (1, None, Evidence::None),
            (1, signed(1), Proven),
            // Before the answer on another connection.
            (1, None, Proven),
            (2, None, Evidence::None),
            (2, signed(1), Disproven),
            (
                2,
                Some(KeyProof::NotProven("late".to_owned())),
                Evidence::None,
            ),
            (2, signed(2), Proven),
        ] {
            let attempt = Attempt {
                key_proof: key_proof.clone(),
                ..status(1, claimed)
            };
            identity.record_attempts(&[&attempt], pins(None, None), START);
            assert_eq!(identity.key_proof(), expected, "{claimed} {key_proof:?}");
        }
    }

    #[test]
    fn a_changed_url_on_chain_is_counted_unless_the_key_changed() {
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
            identity.record_advertised_url(Hash::new([key; 32]), url, Evidence::None);
            identity.advertised_changes
        });
        assert_eq!(changes, [0, 0, 1, 2, 2, 3]);
    }

    #[test]
    fn a_changed_key_is_a_condition_for_an_hour_and_then_the_learned_one() {
        let mut identity = Identity::default();
        let mut record = |key, minutes: u64| {
            let now = START + Duration::from_secs(60 * minutes);
            identity.record_attempts(&[&status(1, key)], pins(None, None), now);
            (
                identity.key_match,
                identity.key_changed_recently(now),
                identity.key_changes,
            )
        };
        assert_eq!(record(1, 0), (Proven, false, 0));
        assert_eq!(record(2, 1), (Disproven, true, 1));
        assert_eq!(record(2, 60), (Disproven, true, 1));
        assert_eq!(record(2, 61), (Proven, false, 1));
    }

    #[test]
    fn transports_are_compared_by_status_or_by_state_at_a_common_block() {
        for (first, second, expected) in [
            (status(1, 1), status(1, 1), Proven),
            (status(1, 1), status(1, 2), Disproven),
            (status(1, 1), status(2, 1), Disproven),
            (state(5, 1), state(5, 1), Proven),
            (state(5, 1), state(5, 2), Disproven),
            (state(5, 1), state(6, 2), Evidence::None),
            (status(1, 1), state(5, 1), Evidence::None),
        ] {
            assert_eq!(same_peer(&first, &second), expected);
        }
    }
}
