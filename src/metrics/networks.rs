//! Metrics of networks, from one snapshot.

use std::collections::BTreeMap;

use convex_client::chain::economics::cvm;
use convex_client::{PollAnswer, Transport, seconds_from_ms, seconds_since_epoch};

use crate::config::Role;
use crate::fleet::{
    Health, Losable, NetworkSnapshot, NetworkVerdict, OrderState, PendingUpgrade, QueryRecord,
    Readiness, Snapshot, StakeClass, reached_stake_ratio,
};

use super::catalogue::{self, Definition};
use super::endpoints::possible_reasons;
use super::peers::float;
use super::text_format::Writer;

/// Writes all families of networks.
pub(super) fn write(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    write_probes(snapshot, writer);
    write_peers(snapshot, writer);
    write_verdicts(snapshot, writer);
    write_stake(snapshot, writer);
    write_controllers(snapshot, writer);
    write_protocol(snapshot, writer);
    write_chain_state(snapshot, writer);
    write_queries(snapshot, writer);
}

/// Writes a family with at most one sample per network.
pub(super) fn each_network(
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

/// A yes or no as a sample value.
fn flag(value: bool) -> f64 {
    u8::from(value).into()
}

/// A number of things held in memory as a sample value.
pub(super) fn size(count: usize) -> Option<f64> {
    u32::try_from(count).ok().map(f64::from)
}

fn write_verdicts(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::NETWORK_ORDER_STATE, |family| {
        for network in &snapshot.networks {
            for &state in OrderState::ALL {
                let labels = [
                    ("network", network.name.as_str()),
                    ("state", state.as_str()),
                ];
                family.integer(labels, (state == network.verdict.order).into());
            }
        }
    });
    let mut verdict = |definition: &'static Definition,
                       value: &dyn Fn(&NetworkVerdict) -> Option<f64>| {
        each_network(snapshot, writer, definition, |network| {
            value(&network.verdict)
        });
    };
    verdict(&catalogue::NETWORK_FINALITY_ADVANCE, &|verdict| {
        verdict.finality_advanced.map(seconds_since_epoch)
    });
    verdict(&catalogue::NETWORK_HEAD_BLOCK, &|verdict| {
        verdict.head.map(float)
    });
    verdict(&catalogue::NETWORK_GROUPS, &|verdict| {
        size(verdict.state_groups()?)
    });
    verdict(&catalogue::NETWORK_COMPARED_STAKE, &|verdict| {
        verdict.compared.stake
    });
    verdict(&catalogue::NETWORK_COMPARED_PEERS, &|verdict| {
        size(verdict.compared.peers)
    });
    verdict(&catalogue::NETWORK_NOTHING_COMPARED, &|verdict| {
        Some(flag(verdict.nothing_compared))
    });
    verdict(&catalogue::NETWORK_SPLIT, &|verdict| {
        verdict.split.to_bool().map(flag)
    });
    verdict(&catalogue::NETWORK_RESET, &|verdict| {
        verdict.is_reset.to_bool().map(flag)
    });
    verdict(&catalogue::NETWORK_REGISTERED, &|verdict| {
        verdict.registered.map(float)
    });
    each_network(
        snapshot,
        writer,
        &catalogue::NETWORK_REACHED_STAKE,
        |network| reached_stake_ratio(network, snapshot),
    );
}

fn write_stake(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    each_network(
        snapshot,
        writer,
        &catalogue::NETWORK_MAINTENANCE_STAKE,
        |network| {
            network.verdict.quorum.as_ref()?;
            Some(snapshot.weight_down_in_maintenance(&network.name))
        },
    );
    writer.family(&catalogue::NETWORK_LOSABLE, |family| {
        for network in &snapshot.networks {
            let Some(quorum) = &network.verdict.quorum else {
                continue;
            };
            let Losable { worst, best } = quorum.losable;
            for (case, peers) in [("worst", worst), ("best", best)] {
                let labels = [("network", network.name.as_str()), ("case", case)];
                if let Some(peers) = size(peers) {
                    family.sample(labels, peers);
                }
            }
        }
    });
    writer.family(&catalogue::NETWORK_STAKE_RATIO, |family| {
        for network in &snapshot.networks {
            let Some(quorum) = &network.verdict.quorum else {
                continue;
            };
            for (class, ratio) in StakeClass::ALL.iter().zip(quorum.ratios) {
                let labels = [
                    ("network", network.name.as_str()),
                    ("standing", class.as_str()),
                ];
                family.sample(labels, ratio);
            }
        }
    });
    let mut verdict = |definition: &'static Definition,
                       value: &dyn Fn(&NetworkVerdict) -> Option<f64>| {
        each_network(snapshot, writer, definition, |network| {
            value(&network.verdict)
        });
    };
    verdict(&catalogue::NETWORK_QUORUM_MARGIN, &|verdict| {
        Some(verdict.quorum.as_ref()?.margin)
    });
    verdict(&catalogue::NETWORK_STAKE, &|verdict| {
        verdict.stake_copper.map(cvm)
    });
    verdict(&catalogue::NETWORK_STAKE_TIMESTAMP, &|verdict| {
        verdict.registry_read.map(seconds_since_epoch)
    });
    verdict(&catalogue::NETWORK_QUERY_ERROR, &|verdict| {
        verdict.query_error.to_bool().map(flag)
    });
}

/// Writes the version of the protocol and its scheduled upgrades.
fn write_protocol(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    each_network(snapshot, writer, &catalogue::NETWORK_PROTOCOL, |network| {
        Some(float(network.verdict.protocol.as_ref()?.version))
    });
    writer.family(&catalogue::NETWORK_UPGRADE_ACTIVATION, |family| {
        for network in &snapshot.networks {
            for (version, upgrade) in pending(network) {
                let labels = [("network", network.name.as_str()), ("version", &version)];
                family.sample(labels, seconds_from_ms(upgrade.takes_effect_ms));
            }
        }
    });
    writer.family(&catalogue::NETWORK_UPGRADE_STAKE, |family| {
        for network in &snapshot.networks {
            for (version, upgrade) in pending(network) {
                for (readiness, ratio) in Readiness::ALL
                    .iter()
                    .zip(upgrade.readiness.iter().flatten())
                {
                    let labels = [
                        ("network", network.name.as_str()),
                        ("version", &version),
                        ("readiness", readiness.as_str()),
                    ];
                    family.sample(labels, *ratio);
                }
            }
        }
    });
    each_network(
        snapshot,
        writer,
        &catalogue::NETWORK_UPGRADE_FAILED,
        |network| Some(flag(network.verdict.protocol.as_ref()?.failed)),
    );
}

/// Returns the scheduled upgrades of a network with the label value of each.
fn pending(network: &NetworkSnapshot) -> impl Iterator<Item = (String, &PendingUpgrade)> {
    let protocol = network.verdict.protocol.iter();
    let pending = protocol.flat_map(|protocol| &protocol.pending);
    pending.map(|upgrade| (upgrade.version.to_string(), upgrade))
}

/// Writes the network-wide values of the newest state of the majority.
fn write_chain_state(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let mut each_answer = |definition: &'static Definition,
                           value: &dyn Fn(&PollAnswer) -> Option<f64>| {
        each_network(snapshot, writer, definition, |network| {
            network.poll_answer.as_ref().and_then(value)
        });
    };
    each_answer(&catalogue::NETWORK_HEAD_TIMESTAMP, &|answer| {
        answer.timestamp_ms.map(seconds_from_ms)
    });
    each_answer(&catalogue::NETWORK_ACCOUNTS, &|answer| {
        answer.accounts.map(float)
    });
    each_answer(&catalogue::NETWORK_COIN_SUPPLY, &|answer| {
        answer.coin_supply_copper.map(cvm)
    });
    each_answer(&catalogue::NETWORK_FEES_POOL, &|answer| {
        answer.fees_copper.map(cvm)
    });
    each_answer(&catalogue::NETWORK_JUICE_PRICE, &|answer| {
        answer.juice_price_copper.map(float)
    });
    each_answer(&catalogue::NETWORK_MEMORY_POOL, &|answer| {
        answer.memory_pool_bytes.map(float)
    });
    each_answer(&catalogue::NETWORK_MEMORY_PRICE, &|answer| {
        answer.memory_price_copper
    });
}

fn write_probes(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let tallies = || {
        snapshot.networks.iter().flat_map(|network| {
            let with_name = move |(transport, tally)| (network.name.as_str(), transport, tally);
            Transport::ALL
                .into_iter()
                .zip(&network.tallies)
                .map(with_name)
        })
    };
    writer.family(&catalogue::NETWORK_DURATION, |family| {
        for (network, transport, tally) in tallies() {
            let labels = [("network", network), ("transport", transport.as_str())];
            family.counting_since(tally.since);
            family.latencies(labels, &tally.latencies, true);
        }
    });
    writer.family(&catalogue::NETWORK_FAILURES, |family| {
        for (network, transport, tally) in tallies() {
            family.counting_since(tally.since);
            for reason in possible_reasons(transport) {
                let labels = [
                    ("network", network),
                    ("transport", transport.as_str()),
                    ("reason", reason.as_str()),
                ];
                family.integer(labels, tally.failed(reason));
            }
        }
    });
}

/// Writes the balances of the accounts that control watched peers, each once.
fn write_controllers(snapshot: &Snapshot, writer: &mut Writer<'_>) {
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

/// Writes the results of custom queries. A value is shown only while its query succeeds.
fn write_queries(snapshot: &Snapshot, writer: &mut Writer<'_>) {
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
        Some(flag(query.success))
    });
    each(writer, &catalogue::QUERY_LAST_SUCCESS, &|query| {
        query.last_success.map(seconds_since_epoch)
    });
}

/// Writes the number of watched peers by health and role; each pair is a series from the start.
fn write_peers(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    writer.family(&catalogue::NETWORK_PEERS, |family| {
        for network in &snapshot.networks {
            for state in Health::ALL {
                for role in [Role::Own, Role::Reference] {
                    let matching = snapshot.peers.iter().filter(|record| {
                        record.peer.network == network.name
                            && record.health == state
                            && record.peer.role == role
                    });
                    let labels = [
                        ("network", network.name.as_str()),
                        ("state", state.as_str()),
                        ("role", role.as_str()),
                    ];
                    family.integer(labels, matching.count() as u64);
                }
            }
        }
    });
}
