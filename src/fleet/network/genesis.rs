//! Whether a network was reset: whether all of its peers show one genesis hash that is not the
//! network's. Pure.

use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use crate::fleet::Evidence;
use crate::fleet::peer::genesis::{GenesisShown, MIN_OTHER_GENESIS_POLLS};

use super::watch::NetworkWatch;

/// After this time the new genesis hash of a network that pins none is the network's.
const LEARN_AFTER: Duration = Duration::from_secs(3600);

/// All polled peers of a network show one genesis hash that is not the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkReset {
    /// The genesis hash of the network.
    pub expected: Hash,
    /// Whether the configuration pins it; else the peers showed it before.
    pub pinned: bool,
    /// The genesis hash that the peers show.
    pub shown: Hash,
    /// How many peers show it.
    pub peers: usize,
    /// Since when all of them show it.
    pub since: Instant,
}

/// The genesis hash of one network.
#[derive(Debug, Default)]
pub(super) struct GenesisWatch {
    /// What all peers showed, where the configuration pins none.
    learned: Option<Hash>,
    /// Whether a peer shows the genesis hash of the network.
    is_shown: bool,
    reset: Option<NetworkReset>,
}

impl GenesisWatch {
    /// Learns what peers showed before the agent started.
    pub(super) fn restore(&mut self, learned: Hash) {
        self.learned.get_or_insert(learned);
    }

    /// Returns the genesis hash that the peers showed.
    pub(super) const fn learned(&self) -> Option<Hash> {
        self.learned
    }

    /// Returns the evidence for a reset, and what the peers show instead.
    pub(super) fn verdict(&self) -> (Evidence, Option<NetworkReset>) {
        let is_reset = match (&self.reset, self.is_shown) {
            (Some(_), _) => Evidence::Proven,
            (None, true) => Evidence::Disproven,
            (None, false) => Evidence::None,
        };
        (is_reset, self.reset)
    }

    /// Judges what the peers `shown` by each configured peer that answered recently; `peers` is the
    /// number of configured ones.
    fn judge(&mut self, pinned: Option<Hash>, shown: &[GenesisShown], peers: usize, now: Instant) {
        let first = shown.first().map(|first| first.hash);
        let unanimous = first.filter(|hash| {
            let mut all = shown.iter();
            all.all(|it| it.hash == *hash && it.polls >= MIN_OTHER_GENESIS_POLLS)
        });
        if pinned.is_some() {
            self.learned = None;
        }
        let Some(expected) = pinned.or(self.learned) else {
            self.learned = unanimous.filter(|_| shown.len() == peers);
            return;
        };
        self.is_shown = shown.iter().any(|it| it.hash == expected);
        let new = unanimous.filter(|hash| *hash != expected);
        let is_enough = shown.len() >= 2 || peers == 1;
        self.reset = new.filter(|_| is_enough).map(|hash| NetworkReset {
            expected,
            pinned: pinned.is_some(),
            shown: hash,
            peers: shown.len(),
            since: match self.reset {
                Some(reset) if reset.shown == hash => reset.since,
                _ => now,
            },
        });
        if let Some(reset) = self.reset
            && !reset.pinned
            && now.saturating_duration_since(reset.since) >= LEARN_AFTER
        {
            *self = Self {
                learned: Some(reset.shown),
                is_shown: true,
                reset: None,
            };
        }
    }
}

impl NetworkWatch {
    /// Judges whether the network was reset. Discovered peers have no say: strangers could hide a
    /// reset.
    pub(super) fn judge_genesis(&mut self, now: Instant) {
        let configured = || self.members.values().filter(|member| member.configured);
        let shown: Vec<GenesisShown> = configured()
            .filter_map(|member| member.genesis.filter(|shown| now < shown.until))
            .collect();
        let pinned = configured().find_map(|member| member.pinned_genesis);
        let peers = configured().count();
        self.genesis.judge(pinned, &shown, peers, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Genesis hashes that peers show, as in `a2 b1`: `a` in two polls in a row, `b` in one.
    fn shown(text: &str, now: Instant) -> Vec<GenesisShown> {
        let one = |word: &str| {
            let (hash, polls) = word.split_at(1);
            GenesisShown {
                hash: Hash::new([hash.as_bytes()[0]; 32]),
                polls: polls.parse().unwrap(),
                until: now,
            }
        };
        text.split_whitespace().map(one).collect()
    }

    fn hash(letter: char) -> Hash {
        Hash::new([u8::try_from(letter).unwrap(); 32])
    }

    #[test]
    fn a_reset_is_a_new_genesis_that_all_peers_show_twice() {
        use Evidence::{Disproven, None as Nothing, Proven};
        for (peers, showing, expected) in [
            (4, "", Nothing),
            (4, "a9 a9 a9 a9", Disproven),
            (4, "b2 b2 b2 b2", Proven),
            // One poll is not enough.
            (4, "b2 b2 b2 b1", Nothing),
            (4, "b1 b1 b1 b1", Nothing),
            // A peer that still shows the old one.
            (4, "b2 b2 b2 a9", Disproven),
            (4, "b2 b2 b2 a1", Disproven),
            // Peers that do not answer show nothing; one alone says nothing of the network.
            (4, "b2 b2", Proven),
            (4, "b9", Nothing),
            (1, "b2", Proven),
            (1, "b1", Nothing),
            (1, "a1", Disproven),
            // More than one new genesis is no network.
            (3, "b2 b2 c2", Nothing),
        ] {
            let now = Instant::now();
            for is_pinned in [true, false] {
                let mut watch = GenesisWatch::default();
                if !is_pinned {
                    watch.restore(hash('a'));
                }
                let pinned = is_pinned.then(|| hash('a'));
                watch.judge(pinned, &shown(showing, now), peers, now);
                let (is_reset, reset) = watch.verdict();
                assert_eq!(is_reset, expected, "{peers} peers show {showing:?}");
                let found = reset.map(|reset| (reset.expected, reset.shown, reset.pinned));
                let new = (hash('a'), hash('b'), is_pinned);
                assert_eq!(found, (expected == Proven).then_some(new));
            }
        }
    }

    #[test]
    fn a_genesis_is_learned_once_all_configured_peers_show_it_twice() {
        let now = Instant::now();
        let mut watch = GenesisWatch::default();
        for (showing, learned) in [
            ("a2 a2", None),
            ("a2 a2 b2", None),
            ("a2 a2 a1", None),
            ("a2 a2 a2", Some('a')),
            ("b2 b2 b2", Some('a')),
        ] {
            watch.judge(None, &shown(showing, now), 3, now);
            assert_eq!(watch.learned(), learned.map(hash), "{showing}");
        }
        assert_eq!(watch.verdict().0, Evidence::Proven);
    }

    #[test]
    fn a_network_without_a_pin_learns_its_new_genesis_after_an_hour() {
        let start = Instant::now();
        for (pinned, ends) in [(None, true), (Some(hash('a')), false)] {
            let mut watch = GenesisWatch::default();
            watch.restore(hash('a'));
            let mut is_reset = |seconds| {
                let now = start + Duration::from_secs(seconds);
                watch.judge(pinned, &shown("b2 b2", now), 2, now);
                watch.verdict().0
            };
            assert_eq!(is_reset(0), Evidence::Proven);
            assert_eq!(is_reset(3_599), Evidence::Proven);
            let expected = if ends {
                Evidence::Disproven
            } else {
                Evidence::Proven
            };
            assert_eq!(is_reset(3_600), expected);
        }
    }
}
