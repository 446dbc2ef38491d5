//! Metrics of the canary, from one snapshot.

use std::time::Duration;

use convex_client::chain::economics::cvm;
use convex_client::seconds_since_epoch;
use convex_client::transaction::TransactionFailure;

use crate::fleet::{
    CanaryFunds, CanaryPeer, CanaryRecord, CanarySkip, CanaryStage, Executed, Seen, Snapshot,
};

use super::catalogue::{self, Definition};
use super::text_format::{Family, Writer};

/// Writes all families of canaries.
pub(super) fn write(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    write_peers(snapshot, writer);
    write_networks(snapshot, writer);
    writer.family(&catalogue::CANARY_SKIPPED, |family| {
        for (network, record) in records(snapshot) {
            family.counting_since(record.counting_since);
            for skip in CanarySkip::ALL {
                let labels = [("network", network), ("reason", skip.as_str())];
                family.integer(labels, record.skipped.get(skip).copied().unwrap_or(0));
            }
        }
    });
    writer.family(&catalogue::CANARY_PROBLEM, |family| {
        for (network, record) in records(snapshot) {
            for problem in record.problems() {
                family.integer([("network", network), ("problem", problem.as_str())], 1);
            }
        }
    });
}

fn records(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &CanaryRecord)> {
    let networks = snapshot.networks.iter();
    networks.filter_map(|network| Some((network.name.as_str(), network.canary.as_deref()?)))
}

fn write_peers(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::CANARY_DURATION, |family| {
        for (network, record) in records(snapshot) {
            for name in record.peers.keys() {
                let result = record.fresh_result(name, snapshot.now);
                if let Some(Ok(executed)) = result.map(|result| &result.outcome) {
                    write_durations(family, name, network, executed);
                }
            }
        }
    });
    let mut each = |definition: &'static Definition, value: &dyn Fn(&CanaryPeer) -> Option<f64>| {
        writer.family(definition, |family| {
            for (network, record) in records(snapshot) {
                family.counting_since(record.counting_since);
                for (name, peer) in &record.peers {
                    if let Some(value) = value(peer) {
                        family.sample([("peer", name.as_str()), ("network", network)], value);
                    }
                }
            }
        });
    };
    each(&catalogue::CANARY_EXECUTED, &|peer| {
        Some(count(peer.executed))
    });
    each(&catalogue::CANARY_FAILED_ROUNDS, &|peer| {
        Some(peer.failed_rounds.into())
    });
    each(&catalogue::CANARY_FAILING_SINCE, &|peer| {
        peer.failing_since.map(seconds_since_epoch)
    });
    writer.family(&catalogue::CANARY_FAILURES, |family| {
        for (network, record) in records(snapshot) {
            family.counting_since(record.counting_since);
            for (name, peer) in &record.peers {
                for reason in TransactionFailure::ALL {
                    let labels = [
                        ("peer", name.as_str()),
                        ("network", network),
                        ("reason", reason.as_str()),
                    ];
                    family.integer(labels, peer.failed(*reason));
                }
            }
        }
    });
}

fn write_durations(family: &mut Family<'_, '_>, peer: &str, network: &str, executed: &Executed) {
    let seen = executed.seen.as_ref();
    for stage in CanaryStage::ALL {
        let duration = match stage {
            CanaryStage::Result => Some(executed.result),
            CanaryStage::Seen => seen.and_then(|Seen { after, .. }| *after),
        };
        if let Some(duration) = duration {
            let labels = [
                ("peer", peer),
                ("network", network),
                ("stage", stage.as_str()),
            ];
            family.sample(labels, duration.as_secs_f64());
        }
    }
}

fn write_networks(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let mut each = |definition: &'static Definition,
                    value: &dyn Fn(&CanaryRecord) -> Option<f64>| {
        writer.family(definition, |family| {
            for (network, record) in records(snapshot) {
                if let Some(value) = value(record) {
                    family.sample([("network", network)], value);
                }
            }
        });
    };
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    each(&catalogue::CANARY_RESULT_P90, &|record| {
        seconds(record.result_p90(snapshot.now))
    });
    each(&catalogue::CANARY_OBJECTIVE, &|record| {
        seconds(Some(record.objective))
    });
    let mut coins = |definition: &'static Definition, value: &dyn Fn(&CanaryFunds) -> u64| {
        each(definition, &|record| {
            let funds = record.funds.as_ref()?;
            Some(cvm(value(funds).cast_signed()))
        });
    };
    coins(&catalogue::CANARY_SPENT, &|funds| funds.spent_copper);
    coins(&catalogue::CANARY_SPENT_TODAY, &|funds| {
        funds.spent_today_copper
    });
    coins(&catalogue::CANARY_BALANCE, &|funds| funds.balance_copper);
    each(&catalogue::CANARY_BUDGET, &|record| {
        Some(cvm(record.daily_budget_copper.cast_signed()))
    });
    each(&catalogue::CANARY_FUNDS_LAST, &|record| {
        seconds(record.funds_last())
    });
}

#[expect(clippy::cast_precision_loss, reason = "transactions are few")]
fn count(transactions: u64) -> f64 {
    transactions as f64
}
