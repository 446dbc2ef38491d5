//! What the canary of a network found, as part of `/api/v1/networks` and of its details.

use std::collections::BTreeMap;

use convex_client::seconds_since_epoch;
use convex_client::transaction::TransactionFailure;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{
    CanaryPeer, CanaryProblem, CanaryRecord, CanaryResult, CanarySkip, Executed, Seen, Snapshot,
};

/// Transactions that do nothing, sent to prove that transactions are executed. Unknown values are
/// absent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CanaryReport<'a> {
    /// The account that pays.
    account: u64,
    /// Time between two rounds, in seconds.
    interval_seconds: f64,
    /// Result at each own peer, by name.
    peers: BTreeMap<&'a str, CanaryPeerReport<'a>>,
    /// Time within which 90 % of the results of the last six hours arrived, in seconds; absent
    /// while there are fewer than ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_p90_seconds: Option<f64>,
    /// The objective for this time, in seconds.
    objective_seconds: f64,
    /// Problem of the account or its coins.
    problems: Vec<CanaryProblem>,
    /// What else the account controls; absent before that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    controls: Option<CanaryControlReport>,
    /// Absent if a transaction was sent when the last one was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_skip: Option<CanarySkipReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    funds: Option<CanaryFundsReport>,
}

/// What an account controls besides itself.
#[derive(Debug, Serialize, ToSchema)]
struct CanaryControlReport {
    /// Number of accounts; absent if the network has more than are searched, which is 20,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<u64>,
    /// Number of peers; absent if the network has more than are searched, which is 2,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<u64>,
}

/// Why no transaction was sent when one was due.
#[derive(Debug, Serialize, ToSchema)]
struct CanarySkipReport {
    reason: CanarySkip,
    /// When, in seconds since the epoch.
    at: f64,
}

/// The coins of the account, in copper.
#[derive(Debug, Serialize, ToSchema)]
struct CanaryFundsReport {
    balance_copper: ExactInteger,
    /// What all transactions cost, as differences of the balance on chain.
    spent_copper: ExactInteger,
    /// What those since midnight UTC cost.
    spent_today_copper: ExactInteger,
    daily_budget_copper: ExactInteger,
    /// For how long the balance lasts, in seconds; absent while no cost is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    lasts_seconds: Option<f64>,
}

/// Result at one peer.
#[derive(Debug, Serialize, ToSchema)]
struct CanaryPeerReport<'a> {
    /// Number of transactions that were executed.
    executed: u64,
    /// Number of those that were not, by the reason.
    failures: BTreeMap<&'static str, u64>,
    /// Consecutive rounds in which none was executed because of the peer or its network.
    failed_rounds: u32,
    /// When the first of them was, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<CanaryResultReport<'a>>,
}

/// What came of the last transaction.
#[derive(Debug, Serialize, ToSchema)]
struct CanaryResultReport<'a> {
    /// When that was known, in seconds since the epoch.
    at: f64,
    /// Time from sending until the result arrived, in seconds; absent if it was not executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<CanarySeenReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<CanaryFailureReport<'a>>,
}

/// The transaction as another peer showed it.
#[derive(Debug, Serialize, ToSchema)]
struct CanarySeenReport<'a> {
    /// Name of the other peer.
    peer: &'a str,
    /// Time from sending until that peer had executed it, in seconds; absent if it had not within
    /// 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_seconds: Option<f64>,
}

/// Why a transaction was not executed.
#[derive(Debug, Serialize, ToSchema)]
struct CanaryFailureReport<'a> {
    reason: TransactionFailure,
    /// What the peer said, or what went wrong.
    message: &'a str,
}

impl<'a> CanaryReport<'a> {
    pub(super) fn new(canary: &'a CanaryRecord, snapshot: &Snapshot) -> Self {
        let copper = |copper: u64| ExactInteger(copper.cast_signed());
        let peers = canary.peers.iter();
        Self {
            account: canary.account,
            interval_seconds: canary.interval.as_secs_f64(),
            peers: peers
                .map(|(name, peer)| (name.as_str(), CanaryPeerReport::new(peer)))
                .collect(),
            result_p90_seconds: canary.result_p90(snapshot.now).map(|p90| p90.as_secs_f64()),
            objective_seconds: canary.objective.as_secs_f64(),
            problems: canary.problems(),
            controls: canary.control.map(|control| CanaryControlReport {
                accounts: control.accounts,
                peers: control.peers,
            }),
            last_skip: canary.last_skip.map(|(reason, at)| CanarySkipReport {
                reason,
                at: seconds_since_epoch(at),
            }),
            funds: canary.funds.map(|funds| CanaryFundsReport {
                balance_copper: copper(funds.balance_copper),
                spent_copper: copper(funds.spent_copper),
                spent_today_copper: copper(funds.spent_today_copper),
                daily_budget_copper: copper(canary.daily_budget_copper),
                lasts_seconds: canary.funds_last().map(|time| time.as_secs_f64()),
            }),
        }
    }
}

impl<'a> CanaryPeerReport<'a> {
    fn new(peer: &'a CanaryPeer) -> Self {
        let failures = peer.failures.iter();
        Self {
            executed: peer.executed,
            failures: failures
                .map(|(failure, count)| (failure.as_str(), *count))
                .collect(),
            failed_rounds: peer.failed_rounds,
            failing_since: peer.failing_since.map(seconds_since_epoch),
            last: peer.last.as_ref().map(CanaryResultReport::new),
        }
    }
}

impl<'a> CanaryResultReport<'a> {
    fn new(result: &'a CanaryResult) -> Self {
        let executed = result.outcome.as_ref().ok();
        let failure = result.outcome.as_ref().err();
        let seen = executed.and_then(|executed| executed.seen.as_ref());
        Self {
            at: seconds_since_epoch(result.wall),
            result_seconds: executed.map(|Executed { result, .. }| result.as_secs_f64()),
            seen: seen.map(|Seen { peer, after }| CanarySeenReport {
                peer,
                after_seconds: after.map(|after| after.as_secs_f64()),
            }),
            failure: failure.map(|(reason, message)| CanaryFailureReport {
                reason: *reason,
                message,
            }),
        }
    }
}
