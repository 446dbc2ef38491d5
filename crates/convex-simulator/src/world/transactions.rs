//! Transactions of clients: those that wait for a block, and what those in blocks did to the
//! accounts.

use std::time::Duration;

use cad3::{Cell, Hash};
use convex_client::transaction::SignedTransaction;

use super::{World, to_i64, to_ms};
use crate::state::{JUICE_PRICE, record_field, reward_pool_with, with_account};

/// Juice of the command of a transaction: that of `*nop*`, whatever the command is.
pub(crate) const COMMAND_JUICE: i64 = 10;

/// A transaction that a peer has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Executed {
    /// Index of the block.
    pub(crate) block: i64,
    pub(crate) hash: Hash,
    /// The error code and its message, if it failed.
    pub(crate) error: Option<(&'static str, String)>,
    /// What it cost, in copper.
    pub(crate) fees: i64,
}

#[derive(Debug)]
pub(super) struct Transactions {
    /// The accounts of the genesis, then those after each block that changed them, with its index.
    accounts: Vec<(i64, Cell)>,
    /// Transactions that wait until their peer can make a block.
    waiting: Vec<Waiting>,
    /// By ticket; none for one that waits.
    executed: Vec<Option<Executed>>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    peer: usize,
    transaction: SignedTransaction,
}

impl Transactions {
    pub(super) fn new(accounts: Cell) -> Self {
        Self {
            accounts: vec![(-1, accounts)],
            waiting: Vec::new(),
            executed: Vec::new(),
        }
    }

    /// Returns the accounts after a block.
    pub(super) fn accounts_after(&self, block: i64) -> Cell {
        let changed = self.accounts.partition_point(|(at, _)| *at <= block);
        self.accounts[changed.saturating_sub(1)].1.clone()
    }

    /// Executes a transaction alone in the next block.
    fn execute(&mut self, transaction: &SignedTransaction, block: i64) -> Executed {
        let accounts = self.accounts_after(block);
        let (fees, changed, error) = charge(&accounts, transaction);
        if let Some(changed) = changed {
            self.accounts.push((block, changed));
        }
        Executed {
            block,
            hash: transaction.hash(),
            error,
            fees,
        }
    }
}

/// Returns what a transaction costs, the accounts after it if it changes them, and its error.
fn charge(
    accounts: &Cell,
    transaction: &SignedTransaction,
) -> (i64, Option<Cell>, Option<(&'static str, String)>) {
    let failed = |code, message: String| (0, None, Some((code, message)));
    let origin = transaction.origin();
    let record = usize::try_from(origin).ok().and_then(|number| {
        let elements = accounts.as_elements()?;
        elements.get(number)
    });
    let Some(record) = record else {
        let message = format!("Transaction for non-existent Account: #{origin}");
        return failed("NOBODY", message);
    };
    let number = |name| record_field(record, name).and_then(|it| it.as_i64());
    let (sequence, balance) = (number("sequence"), number("balance"));
    let (sequence, balance) = (sequence.unwrap_or(0), balance.unwrap_or(0));
    let (given, expected) = (transaction.sequence(), sequence + 1);
    if given != expected {
        let message = format!("Sequence = {given} but expected {expected}");
        return failed("SEQUENCE", message);
    }
    if balance < JUICE_PRICE {
        return failed("JUICE", "Out of juice!".to_owned());
    }
    let price = JUICE_PRICE.unsigned_abs();
    let full = transaction.invoke().fees_of_nothing(price);
    let full = i64::try_from(full).unwrap_or(i64::MAX);
    let fees = full.min(balance);
    let error = (fees < full).then(|| {
        let message = format!("Insuffienct balance to cover juice fees of {full}");
        ("JUICE", message)
    });
    let changed = with_account(accounts, origin, expected, balance - fees);
    (fees, Some(reward_pool_with(&changed, fees)), error)
}

impl World {
    /// Lets `peer` accept a transaction at `now`. It is executed at once, or when the peer can make
    /// a block.
    pub(crate) fn submit(
        &mut self,
        peer: usize,
        transaction: SignedTransaction,
        now: Duration,
    ) -> Ticket {
        let ticket = Ticket(self.transactions.executed.len());
        self.transactions.executed.push(None);
        self.transactions.waiting.push(Waiting {
            ticket,
            peer,
            transaction,
        });
        self.advance(now);
        ticket
    }

    /// Returns what became of a transaction, once `peer` has executed its block.
    pub(crate) fn executed(
        &mut self,
        ticket: Ticket,
        peer: usize,
        now: Duration,
    ) -> Option<Executed> {
        self.advance(now);
        let executed = self.transactions.executed[ticket.0].clone()?;
        let faults = self.script.active_faults(peer, now);
        let reached = self.position(peer, &faults, now).block;
        (reached >= executed.block).then_some(executed)
    }

    /// Makes a block of each transaction whose peer can make one at `now`.
    pub(super) fn execute_waiting(&mut self, now: Duration) {
        let mut waiting = std::mem::take(&mut self.transactions.waiting);
        waiting.retain(|waiting| !self.is_executed(waiting, now));
        self.transactions.waiting = waiting;
    }

    /// Executes a transaction, if its peer can make a block.
    fn is_executed(&mut self, waiting: &Waiting, now: Duration) -> bool {
        let Waiting {
            ticket,
            peer,
            transaction,
        } = waiting;
        let makes_blocks = self.script.makes_blocks(*peer, now) && !self.is_frozen(*peer, now);
        let block = to_i64(self.blocks.len());
        let cell = transaction.cell().clone();
        if !makes_blocks || !self.add_block(*peer, to_ms(now), Some(cell)) {
            return false;
        }
        let executed = self.transactions.execute(transaction, block);
        self.transactions.executed[ticket.0] = Some(executed);
        true
    }
}
