//! One turn of the canary: one transaction through one peer, unless something speaks against it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use convex_client::transaction::{
    AccountControl, AccountState, Invoke, MAX_SEARCHED_ACCOUNTS, MAX_SEARCHED_PEERS,
    SignedTransaction, SubmitError, TransactionFailure, TransactionResult,
};
use sha3::{Digest, Sha3_256};
use tokio::time::{Instant, sleep};

use crate::fleet::{CanaryProblem, CanaryResult, CanarySkip, Executed, PeerRecord, Seen};
use crate::history::unix_millis;

use super::CanarySurvey;
use super::account::{Confirmed, read_confirmed, read_one, read_what_it_controls};
use super::facts::facts;
use super::gate::{AccountFacts, FoundAccount, Gate, gate};
use super::ledger::{Ledger, Reading, Standing};
use super::peers::CanaryPeers;

/// Longest wait for the result of a transaction, and for another peer to show it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two questions whether another peer has executed it.
const SEEN_INTERVAL: Duration = Duration::from_millis(250);

/// Most that is added to the start of a round and to the pause between two transactions, so that
/// agents do not keep step.
const MAX_JITTER: Duration = Duration::from_secs(15);

/// How often it is read what the account controls: a peer searches all accounts for that.
const CONTROL_INTERVAL: Duration = Duration::from_secs(3600);

/// After a peer was overloaded, so many intervals are skipped at most.
const MAX_BACKOFF_INTERVALS: u32 = 16;

/// What the chain and the ledger say about the account.
pub(super) struct AccountRead {
    facts: AccountFacts,
    /// The state and the ledger, if the account was found.
    found: Option<(AccountState, Ledger)>,
}

impl<P: CanaryPeers> CanarySurvey<P> {
    /// Sends a transaction through the peer `name`, or records why none is sent.
    pub(super) async fn turn(&mut self, name: &str) {
        loop {
            let snapshot = self.fleet.snapshot();
            let network = self.network_of(&snapshot);
            let mut peers = snapshot.peers.iter();
            let record = peers.find(|it| it.peer.name == name && it.peer.network == self.network);
            let (Some(network), Some(record)) = (network, record) else {
                // Removed by a reload, which ends this task too.
                return;
            };
            let now = self.peers.wall_clock();
            let mut facts = facts(&snapshot, network, record, &self.canary, now);
            let account = self.read_account().await;
            let found = account.as_ref().and_then(|read| read.found.clone());
            facts.overloaded_until = self.overloaded_until;
            facts.last_sent = found.as_ref().and_then(|(_, ledger)| last_sent(ledger));
            facts.account = account.map(|read| read.facts);
            match (gate(now, &facts), found) {
                (Gate::Send, Some((state, ledger))) => {
                    return self.send(record, state, ledger).await;
                }
                (Gate::Wait(left), Some((_, ledger))) => {
                    sleep(left + self.jitter(ledger.sent_ms.unwrap_or_default())).await;
                }
                (Gate::ShortOfCoins, Some((state, _))) => {
                    let balance = state.balance;
                    let text =
                        format!("the account has {balance} copper, too few for a transaction");
                    return self.record_failure(name, TransactionFailure::Funds, text);
                }
                (Gate::Refuse(problem), _) => return self.record_refusal(problem),
                (Gate::Skip(skip), found) => {
                    if let Some((_, ledger)) = found {
                        self.record_open(name, skip, &ledger);
                    }
                    return self.record_skip(skip);
                }
                (Gate::Send | Gate::Wait(_) | Gate::ShortOfCoins, None) => {
                    return self.record_skip(CanarySkip::Unknown);
                }
            }
        }
    }

    /// Reads the account and brings the ledger up to date. None if the account could not be read.
    pub(super) async fn read_account(&mut self) -> Option<AccountRead> {
        let peers = self.fleet.majority_peers(&self.network);
        let genesis = peers.first()?.identity.genesis?.to_string();
        let account = self.canary.account;
        let no_ledger = AccountRead {
            facts: AccountFacts::NoLedger,
            found: None,
        };
        let Some(mut ledger) = self.ledger.read(account, &genesis).await else {
            return Some(no_ledger);
        };
        self.restore_failed_rounds(&ledger);
        let state = match read_confirmed(&*self.peers, &peers, account).await {
            Confirmed::Account(state) => state,
            Confirmed::Unknown => return None,
            Confirmed::Missing => {
                return Some(AccountRead {
                    facts: AccountFacts::Missing,
                    found: None,
                });
            }
        };
        let control = self.read_control(&peers).await?;
        let now_ms = unix_millis(self.peers.wall_clock());
        let reading = Reading {
            sequence: state.sequence,
            balance_copper: state.balance,
        };
        let standing = ledger.observe(reading, now_ms);
        self.keep_failed_rounds(&mut ledger);
        if !self.ledger.write(ledger.clone()).await {
            return Some(no_ledger);
        }
        let expected = Invoke::nothing(account, state.next_sequence());
        let expected = expected.fees_of_nothing(state.juice_price);
        if standing != Standing::Stale {
            let funds = ledger.funds(expected, now_ms);
            self.fleet
                .update_canary(&self.network, |record| record.funds = Some(funds));
        }
        let facts = AccountFacts::Found(FoundAccount {
            key: state.key,
            expected_key: self.canary.key.public_key(),
            has_key_of_peer: state.has_key_of_peer,
            control,
            standing,
            balance_copper: state.balance,
            daily_budget_copper: self.canary.daily_budget_copper,
            spent_today_copper: ledger.spent_today_copper(now_ms),
            next_cost_copper: ledger.next_cost_copper(expected),
        });
        Some(AccountRead {
            facts,
            found: Some((state, ledger)),
        })
    }

    async fn read_control(&mut self, peers: &[Arc<PeerRecord>]) -> Option<AccountControl> {
        let known = self.control;
        let is_recent = |at: Instant| at.elapsed() < CONTROL_INTERVAL;
        if let Some((_, control)) = known.filter(|(at, _)| is_recent(*at)) {
            return Some(control);
        }
        let read = read_what_it_controls(&*self.peers, peers, self.canary.account).await;
        if let Some(control) = read {
            let was_known = self.control.is_none_or(|(_, before)| before.is_complete());
            self.control = Some((Instant::now(), control));
            self.fleet
                .update_canary(&self.network, |record| record.control = Some(control));
            if was_known && !control.is_complete() {
                tracing::info!(
                    network = %self.network, account = self.canary.account,
                    "the network has more than {MAX_SEARCHED_ACCOUNTS} accounts or \
                     {MAX_SEARCHED_PEERS} peers: it is unknown whether the canary's account controls \
                     others; it is used anyway"
                );
            }
        }
        self.control.map(|(_, control)| control)
    }

    /// Sends the open transaction again, or signs the next one and sends it.
    async fn send(&mut self, record: &PeerRecord, state: AccountState, mut ledger: Ledger) {
        let (peer, name) = (Arc::clone(&record.peer), record.peer.name.as_str());
        let key = self.canary.key.get();
        let open = ledger
            .open
            .as_ref()
            .and_then(|open| open.transaction().ok());
        // One that another key signed is never executed.
        let open = open.filter(|open| open.signer() == key.public_key());
        let is_new = open.is_none();
        let next = ledger
            .next_sequence()
            .unwrap_or_else(|| state.next_sequence());
        let transaction =
            open.unwrap_or_else(|| Invoke::nothing(self.canary.account, next).sign(key));
        let before = ledger.clone();
        ledger.send(&transaction, name, unix_millis(self.peers.wall_clock()));
        // What is sent must be on disk before: after a crash the same bytes are sent again.
        if !self.ledger.write(ledger.clone()).await {
            return self.record_refusal(CanaryProblem::Ledger);
        }
        let deadline = Instant::now() + DEADLINE;
        let outcome = self.peers.submit(&peer, &transaction, deadline).await;
        match outcome {
            Ok(result) => self.record_executed(name, &transaction, &result).await,
            Err(error) if !error.was_sent() => {
                self.record_skip(CanarySkip::PeerDown);
                // Nobody has these bytes. If that is not written, they are sent later.
                self.ledger.write(before).await;
            }
            Err(error) => {
                self.record_error(name, &transaction, &error, is_new, ledger)
                    .await;
            }
        }
        // For the balance; what cannot be read now is read in the next turn.
        self.read_account().await;
    }

    async fn record_executed(
        &mut self,
        name: &str,
        transaction: &SignedTransaction,
        result: &TransactionResult,
    ) {
        (self.overloads, self.overloaded_until) = (0, None);
        let answered = Instant::now();
        let sent = answered.checked_sub(result.took).unwrap_or(answered);
        let seen = self.watch_other(name, transaction, sent).await;
        self.record_outcome(
            name,
            Ok(Executed {
                result: result.took,
                seen,
            }),
        );
    }

    /// Waits until another peer has executed a transaction that was sent at `sent`; none without
    /// another peer.
    async fn watch_other(
        &self,
        name: &str,
        transaction: &SignedTransaction,
        sent: Instant,
    ) -> Option<Seen> {
        let peers = self.fleet.majority_peers(&self.network);
        let other = peers.iter().find(|record| record.peer.name != name)?;
        let peer = other.peer.name.clone();
        loop {
            let state = read_one(&*self.peers, &peer, self.canary.account).await;
            let elapsed = sent.elapsed();
            let is_there = |state: AccountState| state.has_executed(transaction);
            if state.account().is_some_and(is_there) {
                let after = Some(elapsed);
                return Some(Seen { peer, after });
            }
            if elapsed >= DEADLINE {
                return Some(Seen { peer, after: None });
            }
            sleep(SEEN_INTERVAL).await;
        }
    }

    /// Records why a transaction was not executed. `is_new`: its bytes were never sent before.
    async fn record_error(
        &mut self,
        name: &str,
        transaction: &SignedTransaction,
        error: &SubmitError,
        is_new: bool,
        mut ledger: Ledger,
    ) {
        let Some(failure) = error.reason() else {
            return self.record_skip(CanarySkip::PeerDown);
        };
        if failure == TransactionFailure::Overloaded {
            self.back_off();
        }
        if failure == TransactionFailure::Sequence {
            let peers = self.fleet.majority_peers(&self.network);
            let state = read_confirmed(&*self.peers, &peers, self.canary.account).await;
            let is_used = state
                .account()
                .is_some_and(|state| state.has_executed(transaction));
            match (is_used, is_new) {
                // It was executed after it was sent for the first time.
                (true, false) => return self.record_skip(CanarySkip::Unknown),
                // Nobody had these bytes: another transaction has the sequence number.
                (true, true) => {
                    ledger.conflict();
                    self.record_failure(name, failure, error.to_string());
                    self.record_refusal(CanaryProblem::OtherAgent);
                    if !self.ledger.write(ledger).await {
                        self.record_refusal(CanaryProblem::Ledger);
                    }
                    return;
                }
                (false, _) => {}
            }
        }
        self.record_failure(name, failure, error.to_string());
    }

    /// Sends nothing for an interval, and twice as long each further time in a row.
    fn back_off(&mut self) {
        let intervals = 1_u32.checked_shl(self.overloads).unwrap_or(u32::MAX);
        let pause = self.canary.interval * intervals.min(MAX_BACKOFF_INTERVALS);
        self.overloads += 1;
        self.overloaded_until = self.peers.wall_clock().checked_add(pause);
    }

    /// Records a failure of a peer that has not executed its transaction since an earlier round,
    /// although nothing new may be sent.
    fn record_open(&self, name: &str, skip: CanarySkip, ledger: &Ledger) {
        let open = ledger.open.as_ref();
        let was_sent = open.is_some_and(|open| open.peers.iter().any(|peer| peer == name));
        if was_sent && matches!(skip, CanarySkip::Stalled | CanarySkip::Idle) {
            let text = "the transaction of an earlier round is still not executed".to_owned();
            self.record_failure(name, TransactionFailure::Timeout, text);
        }
    }

    fn record_failure(&self, name: &str, failure: TransactionFailure, text: String) {
        tracing::warn!(
            peer.name = %name, peer.network = %self.network, reason = failure.as_str(), error = %text,
            "a transaction of the canary was not executed"
        );
        self.record_outcome(name, Err((failure, text)));
    }

    fn record_outcome(&self, name: &str, outcome: Result<Executed, (TransactionFailure, String)>) {
        let (at, wall) = (Instant::now(), self.peers.wall_clock());
        let result = CanaryResult { at, wall, outcome };
        self.fleet
            .update_canary(&self.network, |record| record.record_result(name, result));
    }

    fn record_refusal(&self, problem: CanaryProblem) {
        tracing::warn!(
            network = %self.network, problem = problem.as_str(), meaning = problem.meaning(),
            "the canary sends no transactions"
        );
        self.note_skip(CanarySkip::Refused, Some(problem));
    }

    fn record_skip(&self, skip: CanarySkip) {
        tracing::debug!(network = %self.network, skip = skip.as_str(), "the canary sends nothing now");
        self.note_skip(skip, None);
    }

    fn note_skip(&self, skip: CanarySkip, refusal: Option<CanaryProblem>) {
        let at = self.peers.wall_clock();
        self.fleet.update_canary(&self.network, |record| {
            record.record_skip(skip, refusal, at);
        });
    }

    /// Returns what is added to the start of a round, or to the pause after the last transaction:
    /// from the account and a time in milliseconds, so that no two agents keep step.
    pub(super) fn jitter(&self, time_ms: u64) -> Duration {
        let mut hasher = Sha3_256::new();
        hasher.update(self.canary.key.public_key().as_bytes());
        hasher.update(time_ms.to_be_bytes());
        let digest = hasher.finalize();
        MAX_JITTER.mul_f64(f64::from(digest[0]) / 255.0)
    }
}

fn last_sent(ledger: &Ledger) -> Option<SystemTime> {
    let since_epoch = Duration::from_millis(ledger.sent_ms?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}
