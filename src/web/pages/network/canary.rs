//! The canary: how long transactions through each own peer take, and what they cost.

use std::time::Duration;

use askama::Template;
use convex_client::chain::economics::cvm;
use convex_client::transaction::TransactionFailure;

use crate::fleet::{CanaryPeer, CanaryProblem, CanaryRecord, CanaryResult, Executed, Seen};
use crate::web::pages::format::{Timestamp, count, sanitize, short_duration};
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

#[derive(Template)]
#[template(path = "pages/canary.html")]
pub(super) struct CanarySection<'a> {
    prefix: &'a str,
    /// None if the network has no canary.
    canary: Option<CanaryView>,
}

struct CanaryView {
    account: u64,
    interval: String,
    rows: Vec<PeerRow>,
    /// Problem of the account or its coins.
    problems: Vec<&'static str>,
    has_unknown_control: bool,
    /// Why nothing was sent the last time, and when.
    skipped: Option<(&'static str, Timestamp)>,
    p90: Option<String>,
    objective: String,
    is_slow: bool,
    funds: Option<FundsView>,
}

struct FundsView {
    balance: String,
    lasts: Option<String>,
    spent: String,
    spent_today: String,
    budget: String,
}

struct PeerRow {
    peer: PeerLink,
    at: Option<Timestamp>,
    /// Until the result arrived; none if the last transaction was not executed.
    result: Option<String>,
    /// Where it was seen, and how long that took.
    seen: Option<(PeerLink, Option<String>)>,
    /// Why it was not executed, with what the peer said.
    failure: Option<(TransactionFailure, String)>,
    failed_rounds: u32,
    is_failing: bool,
    executed: String,
    failed: String,
}

impl<'a> CanarySection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let canary = view.network.canary.as_deref();
        Self {
            prefix: view.prefix,
            canary: canary.map(|canary| CanaryView::new(canary, view)),
        }
    }
}

impl CanaryView {
    fn new(canary: &CanaryRecord, view: &NetworkView<'_>) -> Self {
        let rows = canary.peers.iter();
        let coins = |copper: u64| format!("{} CVM", cvm(copper.cast_signed()));
        Self {
            account: canary.account,
            interval: short_duration(canary.interval),
            rows: rows
                .map(|(name, peer)| PeerRow::new(name, peer, view))
                .collect(),
            problems: canary
                .problems()
                .into_iter()
                .map(CanaryProblem::meaning)
                .collect(),
            has_unknown_control: canary.has_unknown_control(),
            skipped: canary
                .last_skip
                .map(|(skip, at)| (skip.meaning(), view.times.at(at))),
            p90: canary.result_p90(view.snapshot.now).map(seconds),
            objective: seconds(canary.objective),
            is_slow: canary.is_slow(view.snapshot.now),
            funds: canary.funds.map(|funds| FundsView {
                balance: coins(funds.balance_copper),
                lasts: canary.funds_last().map(short_duration),
                spent: coins(funds.spent_copper),
                spent_today: coins(funds.spent_today_copper),
                budget: coins(canary.daily_budget_copper),
            }),
        }
    }
}

impl PeerRow {
    fn new(name: &str, peer: &CanaryPeer, view: &NetworkView<'_>) -> Self {
        let last = peer.last.as_ref();
        let executed = last.and_then(|last| last.outcome.as_ref().ok());
        let seen = |seen: &Seen| {
            let link = PeerLink::named(&seen.peer, view.snapshot);
            (link, seen.after.map(seconds))
        };
        let failure = |last: &CanaryResult| {
            let (failure, text) = last.outcome.as_ref().err()?;
            Some((*failure, sanitize(text)))
        };
        Self {
            peer: PeerLink::named(name, view.snapshot),
            at: last.map(|last| view.times.at(last.wall)),
            result: executed.map(|Executed { result, .. }| seconds(*result)),
            seen: executed.and_then(|executed| executed.seen.as_ref().map(seen)),
            failure: last.and_then(failure),
            failed_rounds: peer.failed_rounds,
            is_failing: peer.is_failing(),
            executed: count(peer.executed),
            failed: count(peer.failures.values().sum()),
        }
    }
}

/// Formats how long a transaction takes.
fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
