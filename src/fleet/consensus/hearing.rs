//! Which peer holds whose orders, and who is cut off. Pure.
//!
//! A peer rightly drops orders of keys that its own state does not have, orders that are shorter
//! than its consensus point, of another history, or dated ahead of its clock. What it need not hold
//! it does not miss.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use super::facts::{HeldFact, OrderFacts, WalkFacts};
use super::histories::HistoryWatch;
use super::registered::RegisteredIn;
use super::sightings::{SPREADS_WITHIN, Sighting, Sightings};
use super::stakes::{Stakes, exceeds, ratio};
use super::verdict::{Heard, Hearing, HearingCell};

/// Two walks that find the same have to be at least this far apart: a peer that has just started
/// has to be given time to hear the others.
const CONFIRMED_AFTER: Duration = Duration::from_secs(30);

/// Maximum number of rounds of which is remembered what a peer should hold later: more than pass
/// until that is due.
const MAX_EXPECTATIONS: usize = 16;

/// What a peer that was walked can be judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) stakes: &'a Stakes,
    pub(super) registered: &'a RegisteredIn,
    pub(super) histories: &'a HistoryWatch,
}

/// What each walked peer hears, by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct HearingWatch(BTreeMap<String, Row>);

/// What one peer hears.
#[derive(Clone, Debug)]
struct Row {
    key: Hash,
    read: Instant,
    until: Instant,
    /// Whether the last walk succeeded.
    answers: bool,
    cells: BTreeMap<Hash, HearingCell>,
    heard_stake: Option<f64>,
    /// Walks in which it missed too much.
    missing: Option<Streak>,
    /// Walks in which it missed what another peer itself held, by the key of that peer.
    missing_own: BTreeMap<Hash, Streak>,
    /// What rounds found that it should hold later, the oldest first.
    expectations: Vec<Expectation>,
}

/// What the others' orders were when a peer was walked.
#[derive(Clone, Debug)]
struct Expectation {
    sightings: Arc<Sightings>,
    /// When the peer was walked, and its consensus point then.
    walked: Instant,
    consensus: i64,
}

/// Where an order was seen that others should hold.
#[derive(Clone, Copy, Debug)]
enum Reference {
    /// At another walked peer than the one that signed it.
    Elsewhere,
    /// At the peer that signed it.
    Own,
}

/// Walks in a row that found the same.
#[derive(Clone, Copy, Debug)]
struct Streak {
    first: Instant,
    last: Instant,
}

impl Streak {
    fn extended(streak: Option<Self>, at: Instant) -> Self {
        Self {
            first: streak.map_or(at, |streak| streak.first),
            last: at,
        }
    }

    fn is_confirmed(self) -> bool {
        self.last.saturating_duration_since(self.first) >= CONFIRMED_AFTER
    }
}

impl HearingWatch {
    /// Takes what a walk found. `sightings`: what its round found of the others. `behind`: how far
    /// the peer's clock is behind.
    pub(super) fn take(
        &mut self,
        walk: &WalkFacts,
        sightings: &Arc<Sightings>,
        behind: Duration,
        known: Known<'_>,
    ) {
        let (Some(key), Ok(held)) = (walk.key, &walk.held) else {
            if let Some(row) = self.0.get_mut(&walk.name) {
                row.answers = false;
            }
            return;
        };
        let before = self.0.remove(&walk.name).filter(|row| row.key == key);
        let expected_at = walk.at.checked_sub(behind).unwrap_or(walk.at);
        let mut expectations = before
            .as_ref()
            .map_or_else(Vec::new, |row| row.expectations.clone());
        let judge = Judge {
            walk,
            key,
            expectations: &expectations,
            expected_at,
            known,
        };
        let others = known.stakes.judged().iter().filter(|other| **other != key);
        let (mut cells, mut missing_own) = (BTreeMap::new(), BTreeMap::new());
        let (mut missed, mut is_any_judged) = (0, false);
        for other in others.filter(|other| known.stakes.is_effective(other)) {
            let held = held.get(other);
            let (heard, is_judged) = judge.hears(other, held);
            cells.insert(*other, HearingCell { heard, is_judged });
            is_any_judged |= is_judged;
            if is_judged && heard != Heard::Current {
                missed += known.stakes.of(other);
            }
            if judge.misses_own(other, held) {
                let streak = before.as_ref().and_then(|row| row.missing_own.get(other));
                missing_own.insert(*other, Streak::extended(streak.copied(), walk.at));
            }
        }
        let others = known.stakes.of_others(&key).filter(|_| is_any_judged);
        let misses_a_third = others.is_some_and(|others| exceeds(missed, others, (1, 3)));
        let missing =
            misses_a_third.then(|| Streak::extended(before.and_then(|row| row.missing), walk.at));
        expect(&mut expectations, walk, sightings, expected_at);
        let row = Row {
            key,
            read: walk.at,
            until: walk.counts_until(),
            answers: true,
            cells,
            heard_stake: others.map(|others| ratio(others.saturating_sub(missed), others)),
            missing,
            missing_own,
            expectations,
        };
        self.0.insert(walk.name.clone(), row);
    }

    /// Forgets peers that are no longer watched.
    pub(super) fn retain(&mut self, is_watched: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_watched(name));
    }

    fn current(&self, now: Instant) -> impl Iterator<Item = (&String, &Row)> {
        self.0.iter().filter(move |(_, row)| row.until > now)
    }

    /// Whether others with more than two thirds of the others' stake lack the own order of the peer
    /// with `key`. Of several peers that claim one key all have to lack it.
    fn is_unheard(&self, key: &Hash, stakes: &Stakes, now: Instant) -> bool {
        let (mut lacking, mut hearing) = (BTreeSet::new(), BTreeSet::new());
        for (_, row) in self.current(now).filter(|(_, row)| row.key != *key) {
            let streak = row.missing_own.get(key);
            if streak.is_some_and(|streak| streak.is_confirmed()) {
                lacking.insert(row.key);
            } else {
                hearing.insert(row.key);
            }
        }
        let lacking = stakes.sum(lacking.difference(&hearing));
        let others = stakes.of_others(key);
        others.is_some_and(|others| exceeds(lacking, others, (2, 3)))
    }

    /// Returns when something next becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.current(now).map(|(_, row)| row.until).min()
    }

    /// Returns what each peer hears that was walked recently.
    pub(super) fn verdict(&self, stakes: &Stakes, now: Instant) -> Vec<Hearing> {
        let hearing = self.current(now).map(|(name, row)| Hearing {
            key: row.key,
            name: name.clone(),
            read: row.read,
            cells: row.cells.clone(),
            heard_stake: row.heard_stake,
            is_isolated: row.missing.is_some_and(Streak::is_confirmed),
            is_unheard: row.answers && self.is_unheard(&row.key, stakes, now),
        });
        hearing.collect()
    }
}

/// Adds what a peer should hold later, and forgets what is not needed any more.
fn expect(
    expectations: &mut Vec<Expectation>,
    walk: &WalkFacts,
    sightings: &Arc<Sightings>,
    expected_at: Instant,
) {
    // The newest that is due now is the oldest that the next walk needs, or the one before where an
    // order was seen later than the peer was walked.
    let is_due = |it: &Expectation| it.walked + SPREADS_WITHIN <= expected_at;
    let last_due = expectations.iter().rposition(is_due);
    expectations.drain(..last_due.unwrap_or_default().saturating_sub(1));
    let excess = (expectations.len() + 1).saturating_sub(MAX_EXPECTATIONS);
    expectations.drain(..excess);
    if let Some(own) = walk.own_order() {
        expectations.push(Expectation {
            sightings: Arc::clone(sightings),
            walked: walk.at,
            consensus: own.points.consensus,
        });
    }
}

/// Returns what a peer should hold of `other` at `at`, and whether it was long enough to be
/// accepted.
fn expected<'a>(
    expectations: &'a [Expectation],
    other: &Hash,
    reference: Reference,
    at: Instant,
) -> Option<(&'a Sighting, bool)> {
    expectations.iter().rev().find_map(|expectation| {
        let sightings = match reference {
            Reference::Elsewhere => &expectation.sightings.elsewhere,
            Reference::Own => &expectation.sightings.own,
        };
        let sighting = sightings.get(other).filter(|it| it.is_due(at))?;
        let fits = sighting.is_long_enough(expectation.consensus, expectation.walked);
        Some((sighting, fits))
    })
}

/// Judges what one peer holds.
struct Judge<'a> {
    walk: &'a WalkFacts,
    /// The key of the peer.
    key: Hash,
    expectations: &'a [Expectation],
    /// What is due at this time can be expected.
    expected_at: Instant,
    known: Known<'a>,
}

impl Judge<'_> {
    /// Returns what the peer holds of `other`, and whether it should hold the newest that others
    /// held.
    fn hears(&self, other: &Hash, held: Option<&HeldFact>) -> (Heard, bool) {
        let mut reference = self.expected(other, Reference::Elsewhere);
        if self.known.stakes.effective_peers() == 2 {
            // Nobody else can hold it.
            reference = self.expected(other, Reference::Own).or(reference);
        }
        let heard = match held {
            Some(HeldFact::Unread) => return (Heard::Unread, false),
            Some(HeldFact::Invalid) => return (Heard::Invalid, false),
            Some(HeldFact::Order(order)) => match reference {
                Some((reference, _)) if reference.order.is_newer_than(order) => Heard::Older,
                _ => Heard::Current,
            },
            None => Heard::Nothing,
        };
        let is_missed = heard != Heard::Current;
        let is_judged = reference
            .is_some_and(|(reference, fits)| fits && self.should_hold(&reference.order, is_missed));
        (heard, is_judged)
    }

    /// Whether the peer should hold the order that `other` itself held, and does not.
    fn misses_own(&self, other: &Hash, held: Option<&HeldFact>) -> bool {
        let Some((own, true)) = self.expected(other, Reference::Own) else {
            return false;
        };
        let is_missed = match held {
            Some(HeldFact::Unread | HeldFact::Invalid) => false,
            Some(HeldFact::Order(order)) => own.order.is_newer_than(order),
            None => true,
        };
        is_missed && self.should_hold(&own.order, true)
    }

    fn expected(&self, other: &Hash, reference: Reference) -> Option<(&Sighting, bool)> {
        expected(self.expectations, other, reference, self.expected_at)
    }

    /// Whether the peer has to accept this order. That it has its signer in its state now is known
    /// only if it was asked, as it is when it lacks an order.
    fn should_hold(&self, order: &OrderFacts, is_missed: bool) -> bool {
        let (registered, histories) = (self.known.registered, self.known.histories);
        let own = self.walk.own_order();
        self.known.stakes.judged().contains(&self.key)
            && registered.is_settled(&self.walk.name, &order.key, self.walk.at)
            && (!is_missed || self.walk.registered.get(&order.key) == Some(&true))
            && own.is_some_and(|own| histories.is_same(own, order))
    }
}

impl HearingWatch {
    /// Returns the keys that a peer has to be asked for, whether they are registered in its own
    /// state: those of which that is not known, and those whose orders it lacks. `held` is what its
    /// belief has.
    pub(super) fn keys_to_confirm(
        &self,
        (name, key): (&str, &Hash),
        held: impl Fn(&Hash) -> Option<HeldFact>,
        (stakes, registered): (&Stakes, &RegisteredIn),
        now: Instant,
    ) -> Vec<Hash> {
        let row = self.0.get(name).filter(|row| row.key == *key);
        let expectations = row.map_or(&[][..], |row| &row.expectations);
        let lacks = |other: &Hash| {
            let references = [Reference::Elsewhere, Reference::Own].into_iter();
            let mut due = references.filter_map(|it| expected(expectations, other, it, now));
            match held(other) {
                Some(HeldFact::Order(order)) => due.any(|(it, _)| it.order.is_newer_than(&order)),
                Some(HeldFact::Invalid | HeldFact::Unread) => false,
                None => due.next().is_some(),
            }
        };
        let others = stakes.heaviest().iter().filter(|other| *other != key);
        others
            .filter(|other| !registered.has(name, other) || lacks(other))
            .copied()
            .collect()
    }
}
