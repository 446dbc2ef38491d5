//! Takes rounds of walks and gives the verdict on them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::belief::MAX_ORDERS;
use convex_client::chain::Registry;
use tokio::time::Instant;

use crate::fleet::SavedRegistrations;

use super::duplicates::DuplicateWatch;
use super::facts::{HeldFact, RoundFacts, WalkFacts};
use super::hearing::{HearingWatch, Known};
use super::histories::HistoryWatch;
use super::production::ProductionWatch;
use super::registered::RegisteredIn;
use super::round::Round;
use super::seen::SeenOrders;
use super::sightings::Sightings;
use super::stakes::Stakes;
use super::verdict::{ConsensusVerdict, WalkResult};
use super::votes::{levels, votes};

/// What orders and beliefs of a network's peers have shown so far.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct ConsensusWatch {
    stakes: Arc<Stakes>,
    walks: BTreeMap<String, Walked>,
    seen: SeenOrders,
    registered: RegisteredIn,
    histories: HistoryWatch,
    hearing: HearingWatch,
    production: ProductionWatch,
    duplicates: DuplicateWatch,
}

/// What came of the last walk of a peer, and until when that counts.
#[derive(Clone, Debug)]
struct Walked {
    result: WalkResult,
    until: Instant,
}

/// A watched peer, as its polls show it.
#[derive(Clone, Copy, Debug)]
pub(in crate::fleet) struct WalkedPeer {
    /// Its key, unless it only claims one that the configuration gives to another peer.
    pub(in crate::fleet) key: Option<Hash>,
    /// How far its clock is behind that of the agent.
    pub(in crate::fleet) behind: Duration,
    /// Whether the operator configured it.
    pub(in crate::fleet) is_configured: bool,
}

impl ConsensusWatch {
    /// Takes the registered stake, and the keys of the peers that the operator configured.
    pub(in crate::fleet) fn set_stakes(
        &mut self,
        registry: Option<&Registry>,
        configured: &BTreeSet<Hash>,
    ) {
        self.stakes = Arc::new(Stakes::new(registry, configured));
    }

    /// Takes what a round found of the watched peers `peers`, by their names.
    pub(in crate::fleet) fn take(&mut self, round: &Round, peers: &BTreeMap<&str, WalkedPeer>) {
        let mut facts = RoundFacts::new(round, self.stakes.judged());
        facts
            .walks
            .retain(|walk| peers.contains_key(walk.name.as_str()));
        // Who claims the key of another peer may hold it.
        let configured = facts.walks.iter().filter(|walk| {
            let peer = peers.get(walk.name.as_str());
            peer.is_some_and(|peer| peer.is_configured)
        });
        self.duplicates.take(configured, &round.comparisons);
        for walk in &mut facts.walks {
            let key = peers.get(walk.name.as_str()).and_then(|peer| peer.key);
            // What it shows is evidence about nobody if it is not known who it is.
            if walk.held.is_ok() && walk.key != key {
                walk.held =
                    Err("not judged: its status shows another key than its polls".to_owned());
            }
        }
        let behind = |name: &str| peers.get(name).map_or(Duration::ZERO, |peer| peer.behind);
        self.take_facts(&facts, behind);
        self.retain(|name| peers.contains_key(name));
    }

    /// Takes the facts of a round. `behind`: how far the clock of the peer of this name is behind.
    pub(super) fn take_facts(&mut self, round: &RoundFacts, behind: impl Fn(&str) -> Duration) {
        for walk in &round.walks {
            let peer = (walk.name.as_str(), walk.key);
            self.registered.take(peer, &walk.registered, walk.at);
            self.record_result(walk);
        }
        self.seen.take(round, self.stakes.judged());
        self.histories.take(round, &self.stakes);
        let sightings = Sightings::new(round, &self.stakes, &self.histories);
        let sightings = Arc::new(sightings);
        let known = Known {
            stakes: &self.stakes,
            registered: &self.registered,
            histories: &self.histories,
        };
        for walk in &round.walks {
            self.hearing
                .take(walk, &sightings, behind(&walk.name), known);
        }
        self.production.take(round);
    }

    fn record_result(&mut self, walk: &WalkFacts) {
        let before = self.walks.get(&walk.name);
        let (read, failure) = match &walk.held {
            Ok(_) => (Some((walk.at, walk.wall)), walk.problem.clone()),
            Err(failure) => (
                before.and_then(|walked| walked.result.read),
                Some(failure.clone()),
            ),
        };
        let walked = Walked {
            result: WalkResult { read, failure },
            until: walk.counts_until(),
        };
        self.walks.insert(walk.name.clone(), walked);
    }

    /// Forgets peers that are no longer watched.
    fn retain(&mut self, is_watched: impl Fn(&str) -> bool) {
        self.walks.retain(|name, _| is_watched(name));
        self.hearing.retain(&is_watched);
        self.duplicates.retain(&is_watched);
        let stakes = &self.stakes;
        // Until the registry is known it is not known whose keys these are.
        let is_registered = |key: &Hash| stakes.total().is_none() || stakes.judged().contains(key);
        self.registered.retain(&is_watched, is_registered);
    }

    /// Returns when something next becomes too old to count.
    pub(in crate::fleet) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let walks = self.walks.values().map(|walked| walked.until);
        let walks = walks.filter(|until| *until > now).min();
        let others = [
            self.seen.next_expiry(now),
            self.histories.next_expiry(now),
            self.hearing.next_expiry(now),
            self.production.next_expiry(now),
            self.duplicates.next_expiry(now),
        ];
        others.into_iter().chain([walks]).flatten().min()
    }

    /// Returns the verdict at `now`.
    pub(in crate::fleet) fn verdict(&self, now: Instant) -> ConsensusVerdict {
        let votes = votes(&self.seen, &self.stakes, now);
        let levels = levels(&votes, &self.histories, &self.stakes);
        let unread = self.stakes.effective_peers().saturating_sub(MAX_ORDERS);
        let current = self.walks.iter().filter(|(_, walked)| walked.until > now);
        ConsensusVerdict {
            walks: current
                .map(|(name, walked)| (name.clone(), walked.result.clone()))
                .collect(),
            unread: if votes.is_empty() { 0 } else { unread as u64 },
            levels: levels.map(|(_, levels)| levels),
            deciding: levels.map(|(deciding, _)| deciding),
            histories: self.histories.verdict(&self.stakes, now),
            hearing: self.hearing.verdict(&self.stakes, now),
            production: self.production.verdict(now),
            duplicate_keys: self.duplicates.verdict(now),
            votes,
        }
    }

    /// Returns the keys of the registered peers that signed another order than before within the
    /// time for which orders count: they are alive, watched or not.
    pub(in crate::fleet) fn changed_recently(&self, now: Instant) -> impl Iterator<Item = Hash> {
        let current = self.seen.current(now);
        current.filter_map(move |seen| {
            let counts_for = seen.until.saturating_duration_since(seen.read);
            let changed = seen.changed?;
            (now.saturating_duration_since(changed) < counts_for).then_some(seen.newest.key)
        })
    }

    /// Returns the stakes by which the histories are compared.
    pub(super) const fn stakes(&self) -> &Arc<Stakes> {
        &self.stakes
    }

    /// Returns the blocks that were read.
    pub(super) const fn production(&self) -> &ProductionWatch {
        &self.production
    }

    /// Returns the keys that the peer `name` has to be asked for. See
    /// [`HearingWatch::keys_to_confirm`].
    pub(super) fn keys_to_confirm(
        &self,
        peer: (&str, &Hash),
        held: impl Fn(&Hash) -> Option<HeldFact>,
        now: Instant,
    ) -> Vec<Hash> {
        let known = (&*self.stakes, &self.registered);
        self.hearing.keys_to_confirm(peer, held, known, now)
    }

    /// Returns which others each walked peer has had in its state for long enough.
    pub(in crate::fleet) fn saved_registrations(&self) -> Vec<SavedRegistrations> {
        let settled = self.registered.settled().into_iter();
        let saved = settled.map(|(keys, peers)| SavedRegistrations { peers, keys });
        saved.collect()
    }

    /// Adds what was known before the agent started.
    pub(in crate::fleet) fn restore_registrations(&mut self, saved: &[SavedRegistrations]) {
        for saved in saved {
            for name in &saved.peers {
                self.registered.restore(name, saved.keys.iter().copied());
            }
        }
    }
}
