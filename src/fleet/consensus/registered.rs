//! Since when each walked peer has had which others in its own state. Pure.
//!
//! A peer drops the orders of those that its state does not have, so nobody can expect it to hold
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

/// How long another peer has to be registered in a peer's state before its orders are missed there.
const SETTLES_AFTER: Duration = Duration::from_secs(300);

/// Which others each walked peer has in its own state, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RegisteredIn(BTreeMap<String, BTreeMap<Hash, Since>>);

/// Since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Long enough, also before the agent started.
    Settled,
    /// The agent saw it first at this time.
    Seen(Instant),
}

impl RegisteredIn {
    /// Takes what the peer `name` with the key `own` answered at `at`.
    pub(super) fn take(
        &mut self,
        (name, own): (&str, Option<Hash>),
        answers: &BTreeMap<Hash, bool>,
        at: Instant,
    ) {
        if answers.is_empty() && !self.0.contains_key(name) {
            return;
        }
        let known = self.0.entry(name.to_owned()).or_default();
        for (key, is_registered) in answers {
            if *is_registered {
                known.entry(*key).or_insert(Since::Seen(at));
            } else {
                known.remove(key);
            }
        }
        // Nobody asks for it, but with it peers that have all others have the same, which is saved
        // once.
        known.extend(own.map(|own| (own, Since::Settled)));
        for since in known.values_mut() {
            if matches!(since, Since::Seen(seen) if at.saturating_duration_since(*seen) >= SETTLES_AFTER)
            {
                *since = Since::Settled;
            }
        }
    }

    /// Keeps what concerns these peers and these keys.
    pub(super) fn retain(
        &mut self,
        is_watched: impl Fn(&str) -> bool,
        is_registered: impl Fn(&Hash) -> bool,
    ) {
        self.0.retain(|name, known| {
            known.retain(|key, _| is_registered(key));
            is_watched(name) && !known.is_empty()
        });
    }

    /// Whether the peer `name` is known to have `key`, however recently.
    pub(super) fn has(&self, name: &str, key: &Hash) -> bool {
        let known = self.0.get(name);
        known.is_some_and(|known| known.contains_key(key))
    }

    /// Whether the peer `name` has had `key` for so long at `at` that its orders can be missed.
    pub(super) fn is_settled(&self, name: &str, key: &Hash, at: Instant) -> bool {
        match self.0.get(name).and_then(|known| known.get(key)) {
            None => false,
            Some(Since::Settled) => true,
            Some(Since::Seen(seen)) => at.saturating_duration_since(*seen) >= SETTLES_AFTER,
        }
    }

    /// Returns the keys that peers have had for long enough, with the names of the peers: those
    /// with equal keys together.
    pub(super) fn settled(&self) -> BTreeMap<BTreeSet<Hash>, BTreeSet<String>> {
        let mut found: BTreeMap<BTreeSet<Hash>, BTreeSet<String>> = BTreeMap::new();
        for (name, known) in &self.0 {
            let settled = known.iter().filter(|(_, since)| **since == Since::Settled);
            let keys: BTreeSet<Hash> = settled.map(|(key, _)| *key).collect();
            if !keys.is_empty() {
                found.entry(keys).or_default().insert(name.clone());
            }
        }
        found
    }

    /// Adds what was known before the agent started.
    pub(super) fn restore(&mut self, name: &str, keys: impl Iterator<Item = Hash>) {
        let known = self.0.entry(name.to_owned()).or_default();
        known.extend(keys.map(|key| (key, Since::Settled)));
    }
}
