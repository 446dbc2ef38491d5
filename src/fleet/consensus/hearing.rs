//! Which peer holds whose orders, and who is cut off. Pure.
//!
//! A peer rightly drops orders of keys that its own state does not have, orders that are shorter than
//! its consensus point, of another history, or dated ahead of its clock. What it need not hold it does
//! not miss.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cad3::Hash;
use tokio::time::Instant;

use super::facts::{HeldFact, OrderFacts, WalkFacts};
use super::histories::HistoryWatch;
use super::registered::RegisteredIn;
use super::seen::{Reference, SeenOrders};
use super::stakes::{Stakes, ratio};
use super::verdict::{Heard, Hearing, HearingCell};

/// Two walks that find the same have to be at least this far apart: a peer that has just started has
/// to be given time to hear the others.
const CONFIRMED_AFTER: Duration = Duration::from_secs(30);

/// What a peer that was walked can be judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) stakes: &'a Stakes,
    pub(super) seen: &'a SeenOrders,
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
    /// Takes what a walk found. `behind`: how far the peer's clock is behind.
    pub(super) fn take(&mut self, walk: &WalkFacts, behind: Duration, known: Known<'_>) {
        let (Some(key), Ok(held)) = (walk.key, &walk.held) else {
            if let Some(row) = self.0.get_mut(&walk.name) {
                row.answers = false;
            }
            return;
        };
        let before = self.0.remove(&walk.name).filter(|row| row.key == key);
        let judge = Judge {
            walk,
            key,
            expected_at: walk.at.checked_sub(behind).unwrap_or(walk.at),
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
        let misses_a_third = others.is_some_and(|others| missed * 3 > others);
        let missing =
            misses_a_third.then(|| Streak::extended(before.and_then(|row| row.missing), walk.at));
        let row = Row {
            key,
            read: walk.at,
            until: walk.counts_until(),
            answers: true,
            cells,
            heard_stake: others.map(|others| ratio(others.saturating_sub(missed), others)),
            missing,
            missing_own,
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
        others.is_some_and(|others| lacking * 3 > others * 2)
    }

    /// Returns when something next becomes too old to count.
    pub(super) fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.current(now).map(|(_, row)| row.until).min()
    }

    /// Returns what each peer hears that was walked lately.
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

/// Judges what one peer holds.
struct Judge<'a> {
    walk: &'a WalkFacts,
    /// The key of the peer.
    key: Hash,
    /// Orders that have been known for long enough at this time can be expected.
    expected_at: Instant,
    known: Known<'a>,
}

impl Judge<'_> {
    /// Returns what the peer holds of `other`, and whether it should hold the newest that others
    /// hold.
    fn hears(&self, other: &Hash, held: Option<&HeldFact>) -> (Heard, bool) {
        let reference = self.reference(other, Reference::Elsewhere);
        let reference = match self.known.stakes.effective_peers() {
            // Nobody else can hold it.
            2 => newer(reference, self.reference(other, Reference::Own)),
            _ => reference,
        };
        let heard = match held {
            Some(HeldFact::Unread) => return (Heard::Unread, false),
            Some(HeldFact::Invalid) => return (Heard::Invalid, false),
            Some(HeldFact::Order(order)) => match reference {
                Some(reference) if reference.is_newer_than(order) => Heard::Older,
                _ => Heard::Current,
            },
            None => Heard::Nothing,
        };
        let is_missed = heard != Heard::Current;
        let is_judged =
            reference.is_some_and(|reference| self.should_hold(other, reference, is_missed));
        (heard, is_judged)
    }

    /// Whether the peer should hold the order that `other` itself holds, and does not.
    fn misses_own(&self, other: &Hash, held: Option<&HeldFact>) -> bool {
        let Some(own) = self.reference(other, Reference::Own) else {
            return false;
        };
        let is_missed = match held {
            Some(HeldFact::Unread | HeldFact::Invalid) => false,
            Some(HeldFact::Order(order)) => own.is_newer_than(order),
            None => true,
        };
        is_missed && self.should_hold(other, own, true)
    }

    fn reference(&self, other: &Hash, reference: Reference) -> Option<&OrderFacts> {
        self.known.seen.expected(other, reference, self.expected_at)
    }

    /// Whether the peer has to accept this order of `other`. That it has `other` in its state now is
    /// known only if it was asked, as it is when it misses the order.
    fn should_hold(&self, other: &Hash, order: &OrderFacts, is_missed: bool) -> bool {
        let Some(own) = self.walk.own_order() else {
            return false;
        };
        let (registered, histories) = (self.known.registered, self.known.histories);
        registered.is_settled(&self.walk.name, other, self.walk.at)
            && (!is_missed || self.walk.registered.get(other) == Some(&true))
            && order.points.block >= own.points.consensus
            && histories.is_same(&self.key, other) == Some(true)
    }
}

fn newer<'a>(one: Option<&'a OrderFacts>, other: Option<&'a OrderFacts>) -> Option<&'a OrderFacts> {
    match (one, other) {
        (Some(one), Some(other)) if other.is_newer_than(one) => Some(other),
        (one, other) => one.or(other),
    }
}

impl Known<'_> {
    /// Returns the keys that a peer has to be asked for, whether they are registered in its own state:
    /// those of which that is not known, and those whose orders it lacks. `held` is what its belief
    /// has.
    pub(super) fn keys_to_confirm(
        &self,
        (name, key): (&str, &Hash),
        held: impl Fn(&Hash) -> Option<HeldFact>,
        now: Instant,
    ) -> Vec<Hash> {
        let lacks = |other: &Hash| {
            let references = [Reference::Elsewhere, Reference::Own];
            let mut expected = references
                .into_iter()
                .filter_map(|reference| self.seen.expected(other, reference, now));
            match held(other) {
                Some(HeldFact::Order(order)) => expected.any(|it| it.is_newer_than(&order)),
                Some(HeldFact::Invalid | HeldFact::Unread) => false,
                None => expected.next().is_some(),
            }
        };
        let heaviest = self.stakes.heaviest();
        let others = heaviest.into_iter().filter(|other| other != key);
        others
            .filter(|other| !self.registered.has(name, other) || lacks(other))
            .collect()
    }
}
