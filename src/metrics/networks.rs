//! Facts about networks as series, from one snapshot.

use std::collections::BTreeMap;

use convex_client::chain::economics::cvm;
use convex_client::{PollAnswer, Transport, seconds_of_ms, seconds_since_epoch};

use crate::config::Role;
use crate::fleet::{
    Health, NetworkSnapshot, NetworkVerdict, OrderState, QueryRecord, Snapshot, StakeClass,
};

use super::catalogue::{self, Definition};
use super::family::Writer;
use super::peers::{float, possible};

/// Writes every family that is about networks.
pub(super) fn write(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    probes(snapshot, writer);
    peers(snapshot, writer);
    verdicts(snapshot, writer);
    stake(snapshot, writer);
    controllers(snapshot, writer);
    figures(snapshot, writer);
    queries(snapshot, writer);
}

/// Writes a family with at most one sample a network.
fn each(
    snapshot: &Snapshot,
    writer: &mut Writer<'_>,
    definition: &'static Definition,
    value: impl Fn(&NetworkSnapshot) -> Option<f64>,
) {
    writer.family(definition, |family| {
        for network in &snapshot.networks {
            if let Some(value) = value(network) {
                family.sample([("network", network.name.as_str())], value);
            }
        }
    });
}

fn number(flag: bool) -> f64 {
    u8::from(flag).into()
}

/// A number of things that are held in memory.
fn size(size: usize) -> Option<f64> {
    u32::try_from(size).ok().map(f64::from)
}

fn verdicts(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::NETWORK_ORDER_STATE, |family| {
        for network in &snapshot.networks {
            for &state in OrderState::ALL {
                let labels = [
                    ("network", network.name.as_str()),
                    ("state", state.as_str()),
                ];
                family.count(labels, (state == network.verdict.order).into());
            }
        }
    });
    let mut verdict = |definition: &'static Definition,
                       value: &dyn Fn(&NetworkVerdict) -> Option<f64>| {
        each(snapshot, writer, definition, |network| {
            value(&network.verdict)
        });
    };
    verdict(&catalogue::NETWORK_FINALITY_ADVANCE, &|verdict| {
        verdict.finality_advanced.map(seconds_since_epoch)
    });
    verdict(&catalogue::NETWORK_HEAD_BLOCK, &|verdict| {
        verdict.head.map(float)
    });
    verdict(&catalogue::NETWORK_GROUPS, &|verdict| size(verdict.groups));
    verdict(&catalogue::NETWORK_SPLIT, &|verdict| {
        Some(number(verdict.split))
    });
    verdict(&catalogue::NETWORK_REGISTERED, &|verdict| {
        verdict.registered.map(float)
    });
}

fn stake(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::NETWORK_STAKE_RATIO, |family| {
        for network in &snapshot.networks {
            let Some(quorum) = &network.verdict.quorum else {
                continue;
            };
            for (standing, ratio) in StakeClass::ALL.iter().zip(quorum.ratios) {
                let labels = [
                    ("network", network.name.as_str()),
                    ("standing", standing.as_str()),
                ];
                family.sample(labels, ratio);
            }
        }
    });
    let mut verdict = |definition: &'static Definition,
                       value: &dyn Fn(&NetworkVerdict) -> Option<f64>| {
        each(snapshot, writer, definition, |network| {
            value(&network.verdict)
        });
    };
    verdict(&catalogue::NETWORK_QUORUM_MARGIN, &|verdict| {
        Some(verdict.quorum.as_ref()?.margin)
    });
    verdict(&catalogue::NETWORK_LOSABLE, &|verdict| {
        size(verdict.quorum.as_ref()?.losable)
    });
    verdict(&catalogue::NETWORK_STAKE, &|verdict| {
        verdict.stake_copper.map(cvm)
    });
    verdict(&catalogue::NETWORK_STAKE_TIMESTAMP, &|verdict| {
        verdict.stake_told.map(seconds_since_epoch)
    });
    verdict(&catalogue::NETWORK_QUERY_ERROR, &|verdict| {
        verdict.query_error.map(number)
    });
}

fn figures(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let mut figure = |definition: &'static Definition,
                      value: &dyn Fn(&PollAnswer) -> Option<f64>| {
        each(snapshot, writer, definition, |network| {
            network.figures.as_ref().and_then(value)
        });
    };
    figure(&catalogue::NETWORK_HEAD_TIMESTAMP, &|figures| {
        figures.timestamp_ms.map(seconds_of_ms)
    });
    figure(&catalogue::NETWORK_ACCOUNTS, &|figures| {
        figures.accounts.map(float)
    });
    figure(&catalogue::NETWORK_COIN_SUPPLY, &|figures| {
        figures.coin_supply_copper.map(cvm)
    });
    figure(&catalogue::NETWORK_FEES_POOL, &|figures| {
        figures.fees_copper.map(cvm)
    });
    figure(&catalogue::NETWORK_JUICE_PRICE, &|figures| {
        figures.juice_price_copper.map(float)
    });
    figure(&catalogue::NETWORK_MEMORY_POOL, &|figures| {
        figures.memory_pool_bytes.map(float)
    });
    figure(&catalogue::NETWORK_MEMORY_PRICE, &|figures| {
        figures.memory_price_copper
    });
}

fn probes(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let tallies = || {
        snapshot.networks.iter().flat_map(|network| {
            let named = move |(transport, tally)| (network.name.as_str(), transport, tally);
            Transport::ALL.into_iter().zip(&network.tallies).map(named)
        })
    };
    writer.family(&catalogue::NETWORK_DURATION, |family| {
        for (network, transport, tally) in tallies() {
            let labels = [("network", network), ("transport", transport.as_str())];
            family.histogram(labels, &tally.latencies, true);
        }
    });
    writer.family(&catalogue::NETWORK_FAILURES, |family| {
        for (network, transport, tally) in tallies() {
            for reason in possible(transport) {
                let labels = [
                    ("network", network),
                    ("transport", transport.as_str()),
                    ("reason", reason.as_str()),
                ];
                family.count(labels, tally.failed(reason));
            }
        }
    });
}

/// Accounts that control watched peers, each once.
fn controllers(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let balances: BTreeMap<(&str, u64), i64> = snapshot
        .peers
        .iter()
        .filter_map(|record| {
            let stake = record.stake.as_ref()?;
            Some((
                (record.peer.network.as_str(), stake.registered.controller?),
                stake.controller_balance?,
            ))
        })
        .collect();
    writer.family(&catalogue::CONTROLLER_BALANCE, |family| {
        for ((network, controller), balance) in balances {
            let controller = format!("#{controller}");
            family.sample(
                [("network", network), ("controller", controller.as_str())],
                cvm(balance),
            );
        }
    });
}

/// The operator's own queries. A value is shown as long as it keeps being answered.
fn queries(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let each = |writer: &mut Writer<'_>,
                definition: &'static Definition,
                value: &dyn Fn(&QueryRecord) -> Option<f64>| {
        writer.family(definition, |family| {
            for network in &snapshot.networks {
                for (name, query) in &network.queries {
                    if let Some(value) = value(query) {
                        family.sample(
                            [("network", network.name.as_str()), ("query", name.as_str())],
                            value,
                        );
                    }
                }
            }
        });
    };
    each(writer, &catalogue::QUERY_VALUE, &|query| {
        query
            .value
            .filter(|_| query.success)
            .map(|(value, _)| value)
    });
    each(writer, &catalogue::QUERY_SUCCESS, &|query| {
        Some(number(query.success))
    });
    each(writer, &catalogue::QUERY_LAST_SUCCESS, &|query| {
        query.last_success.map(seconds_since_epoch)
    });
}

/// Watched peers by health and role; each pair from the start.
fn peers(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::NETWORK_PEERS, |family| {
        for network in &snapshot.networks {
            for state in Health::ALL {
                for role in [Role::Own, Role::Reference] {
                    let counted = snapshot.peers.iter().filter(|record| {
                        record.peer.network == network.name
                            && record.health == state
                            && record.peer.role == role
                    });
                    let labels = [
                        ("network", network.name.as_str()),
                        ("state", state.as_str()),
                        ("role", role.as_str()),
                    ];
                    family.count(labels, counted.count() as u64);
                }
            }
        }
    });
}
