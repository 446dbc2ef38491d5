//! What the canary signed and spent, and what follows from a reading of the account. Pure.

use std::collections::BTreeMap;

use convex_client::transaction::{InvalidTransaction, SignedTransaction};
use serde::{Deserialize, Serialize};

use crate::fleet::CanaryFunds;

const DAY_MS: u64 = 86_400_000;

/// What survives a restart: the transaction that may still be executed, and the money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The account that pays.
    pub(super) account: u64,
    /// Genesis hash of the network that has the account.
    pub(super) genesis: String,
    /// The highest sequence number that is used; none before the account was read.
    pub(super) used: Option<i64>,
    /// The transaction that was signed last, until its sequence number is used.
    pub(super) open: Option<OpenTransaction>,
    /// A sequence number that somebody else has used.
    pub(super) foreign: Option<i64>,
    /// When a transaction was last sent, in milliseconds since the epoch.
    pub(super) sent_ms: Option<u64>,
    /// The balance when it was last read, in copper.
    balance_copper: u64,
    /// What all transactions cost, in copper.
    spent_copper: u64,
    /// The day of [`Self::spent_on_day_copper`], counted from the epoch.
    day: u64,
    spent_on_day_copper: u64,
    cost_copper: Option<u64>,
    /// The peers at which the last rounds failed, by name. Absent in older files.
    #[serde(default)]
    pub(super) failing: BTreeMap<String, FailedRounds>,
}

/// The rounds in a row that failed at one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FailedRounds {
    pub(super) rounds: u32,
    /// When the first of them was, in milliseconds since the epoch.
    pub(super) since_ms: u64,
}

/// A signed transaction whose sequence number is not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenTransaction {
    /// Its sequence number.
    pub(super) sequence: i64,
    /// The signed bytes: the same are sent again.
    #[serde(with = "hex::serde")]
    bytes: Vec<u8>,
    /// The balance before it, in copper.
    balance_copper: u64,
    /// Names of the peers that it was sent to, or was about to be sent to.
    pub(super) peers: Vec<String>,
}

/// The account as peers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) sequence: i64,
    pub(super) balance_copper: u64,
}

/// What a reading means for the next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The last sequence number is used: a new transaction can be signed.
    Free,
    /// The last transaction may still be executed: only its bytes can be sent.
    Open,
    /// The reading is older than what is known.
    Stale,
    /// Somebody else makes transactions with the account.
    Foreign,
}

impl OpenTransaction {
    /// Decodes the bytes.
    pub(super) fn transaction(&self) -> Result<SignedTransaction, InvalidTransaction> {
        SignedTransaction::decode(&self.bytes)
    }
}

impl Ledger {
    pub(super) fn new(account: u64, genesis: String) -> Self {
        Self {
            account,
            genesis,
            ..Self::default()
        }
    }

    /// Takes a reading that two peers confirm, where there are two.
    pub(super) fn observe(&mut self, reading: Reading, now_ms: u64) -> Standing {
        if self.foreign.is_some() {
            return Standing::Foreign;
        }
        let used = *self.used.get_or_insert(reading.sequence);
        if reading.sequence < used {
            return Standing::Stale;
        }
        self.balance_copper = reading.balance_copper;
        match &mut self.open {
            Some(open) if reading.sequence < open.sequence => {
                // Coins may have arrived since it was signed.
                open.balance_copper = reading.balance_copper;
                Standing::Open
            }
            Some(open) if reading.sequence == open.sequence => {
                let cost = open.balance_copper.saturating_sub(reading.balance_copper);
                self.open = None;
                self.used = Some(reading.sequence);
                self.spend(cost, now_ms);
                Standing::Free
            }
            None if reading.sequence == used => Standing::Free,
            _ => {
                self.foreign = Some(reading.sequence);
                Standing::Foreign
            }
        }
    }

    fn spend(&mut self, cost: u64, now_ms: u64) {
        self.spent_on_day_copper = self.spent_today_copper(now_ms).saturating_add(cost);
        self.day = self.day.max(now_ms / DAY_MS);
        self.spent_copper = self.spent_copper.saturating_add(cost);
        self.cost_copper = Some(cost);
    }

    /// Returns the next sequence number; none before the account was read.
    pub(super) fn next_sequence(&self) -> Option<i64> {
        self.used?.checked_add(1)
    }

    /// Notes that these bytes are about to be sent to `peer`. They are kept until their sequence
    /// number is used. Others with the same sequence number are replaced: only one of them can be
    /// executed.
    pub(super) fn send(&mut self, transaction: &SignedTransaction, peer: &str, now_ms: u64) {
        let is_same = |open: &OpenTransaction| open.bytes == transaction.encoded();
        let mut open = self
            .open
            .take()
            .filter(is_same)
            .unwrap_or_else(|| OpenTransaction {
                sequence: transaction.sequence(),
                bytes: transaction.encoded().to_vec(),
                balance_copper: self.balance_copper,
                peers: Vec::new(),
            });
        if !open.peers.iter().any(|name| name == peer) {
            open.peers.push(peer.to_owned());
        }
        self.open = Some(open);
        self.sent_ms = Some(now_ms);
    }

    /// Notes that the open transaction was refused because its sequence number was used before it
    /// was ever sent.
    pub(super) fn conflict(&mut self) {
        self.foreign = self.open.as_ref().map(|open| open.sequence);
    }

    /// Returns what transactions have cost on the day of `now_ms`, in copper. If the clock went
    /// back, the later day goes on.
    pub(super) const fn spent_today_copper(&self, now_ms: u64) -> u64 {
        if now_ms / DAY_MS <= self.day {
            self.spent_on_day_copper
        } else {
            0
        }
    }

    /// Returns the funds; `expected` is what the next transaction will cost, where none was made.
    pub(super) fn funds(&self, expected: u64, now_ms: u64) -> CanaryFunds {
        CanaryFunds {
            balance_copper: self.balance_copper,
            spent_copper: self.spent_copper,
            spent_today_copper: self.spent_today_copper(now_ms),
            cost_copper: self.cost_copper.or(Some(expected)),
        }
    }

    /// Returns the most that the next transaction is likely to cost, in copper.
    pub(super) fn next_cost_copper(&self, expected: u64) -> u64 {
        self.cost_copper.unwrap_or_default().max(expected)
    }
}

#[cfg(test)]
mod tests {
    use convex_client::transaction::{AccountKey, Invoke};

    use super::*;

    fn transaction(sequence: i64) -> SignedTransaction {
        Invoke::nothing(7, sequence).sign(&AccountKey::from_seed(&[1; 32]))
    }

    const fn reading(sequence: i64, balance_copper: u64) -> Reading {
        Reading {
            sequence,
            balance_copper,
        }
    }

    /// A ledger after the account was read with sequence number 4 and 1,000 copper, and number 5
    /// was sent.
    fn sent() -> Ledger {
        let mut ledger = Ledger::new(7, "genesis".to_owned());
        assert_eq!(ledger.observe(reading(4, 1_000), 0), Standing::Free);
        assert_eq!(ledger.next_sequence(), Some(5));
        ledger.send(&transaction(5), "a", 10);
        ledger
    }

    #[test]
    fn a_reading_says_whether_the_last_sequence_number_is_used() {
        use Standing::{Foreign, Free, Open, Stale};
        for (sequence, expected, spent) in
            [(3, Stale, 0), (4, Open, 0), (5, Free, 100), (6, Foreign, 0)]
        {
            let mut ledger = sent();
            let standing = ledger.observe(reading(sequence, 900), 20);
            assert_eq!(standing, expected, "{sequence}");
            assert_eq!(ledger.spent_today_copper(20), spent, "{sequence}");
            assert_eq!(ledger.open.is_none(), standing == Free, "{sequence}");
        }
    }

    #[test]
    fn a_sequence_number_that_was_not_signed_for_is_foreign_for_ever() {
        let mut ledger = Ledger::new(7, String::new());
        assert_eq!(ledger.observe(reading(4, 1_000), 0), Standing::Free);
        assert_eq!(ledger.observe(reading(5, 900), 0), Standing::Foreign);
        assert_eq!(ledger.observe(reading(4, 1_000), 0), Standing::Foreign);
        let mut ledger = sent();
        ledger.conflict();
        assert_eq!(ledger.observe(reading(5, 900), 0), Standing::Foreign);
    }

    #[test]
    fn a_transaction_costs_the_difference_of_the_balance_and_deposits_do_not_count() {
        let mut ledger = sent();
        assert_eq!(ledger.observe(reading(4, 5_000), 20), Standing::Open);
        assert_eq!(ledger.observe(reading(5, 4_930), 30), Standing::Free);
        let funds = CanaryFunds {
            balance_copper: 4_930,
            spent_copper: 70,
            spent_today_copper: 70,
            cost_copper: Some(70),
        };
        assert_eq!(ledger.funds(1, 30), funds);
        assert_eq!(ledger.observe(reading(5, 9_000), 40), Standing::Free);
        assert_eq!(ledger.funds(1, 40).spent_copper, 70);
    }

    #[test]
    fn the_budget_begins_again_each_day_and_a_clock_that_goes_back_gains_nothing() {
        let mut ledger = sent();
        ledger.observe(reading(5, 900), 3 * DAY_MS);
        for (now_ms, expected) in [
            (3 * DAY_MS, 100),
            (4 * DAY_MS - 1, 100),
            (4 * DAY_MS, 0),
            (2 * DAY_MS, 100),
        ] {
            assert_eq!(ledger.spent_today_copper(now_ms), expected, "{now_ms}");
        }
        ledger.send(&transaction(6), "a", 2 * DAY_MS);
        ledger.observe(reading(6, 850), 2 * DAY_MS);
        assert_eq!(ledger.spent_today_copper(3 * DAY_MS), 150);
        assert_eq!(ledger.funds(1, 0).spent_copper, 150);
    }

    #[test]
    fn the_same_bytes_are_kept_with_each_peer_that_they_were_sent_to() {
        let mut ledger = sent();
        for peer in ["a", "b", "b"] {
            ledger.send(&transaction(5), peer, 20);
        }
        let open = ledger.open.clone().unwrap();
        assert_eq!(
            (open.sequence, open.peers),
            (5, vec!["a".to_owned(), "b".to_owned()])
        );
        let saved = serde_json::to_string(&ledger).unwrap();
        let restored: Ledger = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, ledger);
        let kept = restored.open.unwrap().transaction().unwrap();
        assert_eq!(kept.encoded(), transaction(5).encoded());
    }
}
