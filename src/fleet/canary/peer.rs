//! What the canary found at one peer.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use convex_client::transaction::TransactionFailure;
use tokio::time::Instant;

use super::FAILED_ROUNDS;

/// What came of the transactions through one peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanaryPeer {
    /// Number of transactions that were executed.
    pub executed: u64,
    /// Number of failed ones, by the reason; reasons that never occurred are absent.
    pub failures: BTreeMap<TransactionFailure, u64>,
    /// Consecutive rounds in which the peer or its network did not execute one.
    pub failed_rounds: u32,
    /// When the first of them was; none if the last transaction was executed.
    pub failing_since: Option<SystemTime>,
    /// What came of the last one; none before the first.
    pub last: Option<CanaryResult>,
}

/// What came of one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryResult {
    /// When that was known.
    pub at: Instant,
    /// The same time by the agent's clock.
    pub wall: SystemTime,
    /// The durations, or why it was not executed, in words too.
    pub outcome: Result<Executed, (TransactionFailure, String)>,
}

/// How long the stages of an executed transaction took, from when it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Until the peer answered with the result.
    pub result: Duration,
    /// Until another peer had executed it too; none without another peer.
    pub seen: Option<Seen>,
}

/// A transaction as another peer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name of the other peer.
    pub peer: String,
    /// When it had executed the transaction; none if it had not within the deadline.
    pub after: Option<Duration>,
}

impl CanaryPeer {
    pub(super) fn record(&mut self, result: CanaryResult) {
        match &result.outcome {
            Ok(_) => {
                self.executed += 1;
                self.failed_rounds = 0;
                self.failing_since = None;
            }
            Err((failure, _)) => {
                *self.failures.entry(*failure).or_default() += 1;
                if is_of_peer(*failure) {
                    self.failed_rounds = self.failed_rounds.saturating_add(1);
                    self.failing_since.get_or_insert(result.wall);
                }
            }
        }
        self.last = Some(result);
    }

    /// Whether the last rounds all failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failed_rounds >= FAILED_ROUNDS
    }

    /// Returns the number of transactions that failed for this reason.
    #[must_use]
    pub fn failed(&self, failure: TransactionFailure) -> u64 {
        self.failures.get(&failure).copied().unwrap_or(0)
    }
}

/// Whether a failure is one of the peer or its network. The others are of the account.
const fn is_of_peer(failure: TransactionFailure) -> bool {
    match failure {
        TransactionFailure::Unregistered
        | TransactionFailure::Understaked
        | TransactionFailure::Timeout
        | TransactionFailure::Rejected
        | TransactionFailure::Overloaded => true,
        TransactionFailure::Sequence | TransactionFailure::Funds => false,
    }
}
