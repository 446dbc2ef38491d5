//! What the canary of a network found: only in alerts about that.

use std::time::SystemTime;

use convex_client::chain::economics::cvm;
use tokio::time::Instant;

use crate::fleet::{CanaryPeer, CanaryRecord, NetworkSnapshot, PeerRecord};

use super::{elapsed, utc};

/// The alert about transactions that are not executed.
const WRITES_FAILING: &str = "ConvexWritesFailing";

/// Returns when transactions through a peer began to fail, for the alert about that.
pub(super) fn peer_trouble_began(
    record: &PeerRecord,
    network: Option<&NetworkSnapshot>,
    name: &str,
) -> Option<SystemTime> {
    let canary = network?
        .canary
        .as_ref()
        .filter(|_| name == WRITES_FAILING)?;
    canary.peers.get(&record.peer.name)?.failing_since
}

/// Returns when transactions through peers of a network began to fail, for the alert about that.
pub(super) fn trouble_began(network: &NetworkSnapshot, name: &str) -> Option<SystemTime> {
    let canary = network.canary.as_ref().filter(|_| name == WRITES_FAILING)?;
    let peers = canary.peers.values();
    peers.filter_map(|peer| peer.failing_since).min()
}

/// Returns sentences about transactions through one peer, for the alert about them.
pub(super) fn peer_facts(
    record: &PeerRecord,
    network: Option<&NetworkSnapshot>,
    name: &str,
) -> Vec<String> {
    let canary = network.and_then(|network| network.canary.as_ref());
    let found = canary.and_then(|canary| canary.peers.get(&record.peer.name));
    found
        .filter(|_| name == WRITES_FAILING)
        .map(|peer| {
            let (rounds, why) = (peer.failed_rounds, last_failure(peer));
            format!(
                "Transactions through this peer are not executed: {rounds} rounds of the canary in a \
                 row failed{why}."
            )
        })
        .into_iter()
        .collect()
}

/// Returns sentences about the canary of a network, for alerts about it.
pub(super) fn facts(network: &NetworkSnapshot, name: &str, now: Instant) -> Vec<String> {
    let Some(canary) = &network.canary else {
        return Vec::new();
    };
    match name {
        WRITES_FAILING => {
            let failing = canary.failing_peers();
            let peers: Vec<String> = failing
                .filter_map(|peer| Some((peer, canary.peers.get(peer)?)))
                .map(|(name, peer)| format!("{name}{}", last_failure(peer)))
                .collect();
            let peers = peers.join("; ");
            vec![format!("Transactions are not executed through {peers}.")]
        }
        "ConvexCanaryFunds" => account(canary),
        "ConvexCanarySlow" => slowness(canary, now).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Says why the last transaction failed, in parentheses.
fn last_failure(peer: &CanaryPeer) -> String {
    let last = peer.last.as_ref();
    match last.map(|last| (last.wall, &last.outcome)) {
        Some((at, Err((failure, text)))) => format!(" (last {failure} at {}: {text})", utc(at)),
        _ => String::new(),
    }
}

fn account(canary: &CanaryRecord) -> Vec<String> {
    let account = canary.account;
    let problems = canary.problems().into_iter();
    let mut sentences: Vec<String> = problems
        .map(|problem| format!("Account #{account}: {}", problem.meaning()))
        .collect();
    if let Some(funds) = canary.funds {
        let [balance, spent, budget] = [
            funds.balance_copper,
            funds.spent_today_copper,
            canary.daily_budget_copper,
        ]
        .map(|copper| cvm(copper.cast_signed()));
        let lasts = canary.funds_last().map(elapsed);
        let lasts = lasts.map_or_else(String::new, |time| format!(", which last for {time}"));
        sentences.push(format!(
            "It has {balance} CVM{lasts}; {spent} CVM of the daily budget of {budget} CVM are spent."
        ));
    }
    sentences
}

fn slowness(canary: &CanaryRecord, now: Instant) -> Option<String> {
    let p90 = canary.result_p90(now)?.as_secs_f64();
    let objective = canary.objective.as_secs_f64();
    Some(format!(
        "One of ten transactions of the last six hours took {p90:.1} s or longer; the objective is \
         {objective:.1} s."
    ))
}
