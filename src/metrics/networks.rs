//! Facts about networks as series, from one snapshot.

use crate::config::Role;
use crate::fleet::{Health, NetworkSnapshot, OrderState, Snapshot};
use crate::peer::{Figures, Transport, seconds_of_ms, seconds_since_epoch};

use super::catalogue::{self, Definition};
use super::family::Writer;
use super::peers::{float, possible};

/// Copper in one CVM.
const COPPER_PER_CVM: f64 = 1e9;

/// Writes every family that is about networks.
pub(super) fn write(snapshot: &Snapshot, writer: &mut Writer) {
    probes(snapshot, writer);
    peers(snapshot, writer);
    writer.family(&catalogue::NETWORK_ORDER_STATE, |family| {
        for network in &snapshot.networks {
            for state in OrderState::ALL {
                let labels = [
                    ("network", network.name.as_str()),
                    ("state", state.as_str()),
                ];
                family.count(labels, (state == network.verdict.order).into());
            }
        }
    });
    let each = |writer: &mut Writer,
                definition: &Definition,
                value: &dyn Fn(&NetworkSnapshot) -> Option<f64>| {
        writer.family(definition, |family| {
            for network in &snapshot.networks {
                if let Some(value) = value(network) {
                    family.sample([("network", network.name.as_str())], value);
                }
            }
        });
    };
    each(writer, &catalogue::NETWORK_FINALITY_ADVANCE, &|network| {
        network.verdict.finality_advanced.map(seconds_since_epoch)
    });
    each(writer, &catalogue::NETWORK_HEAD_BLOCK, &|network| {
        network.verdict.head.map(float)
    });
    each(writer, &catalogue::NETWORK_GROUPS, &|network| {
        u32::try_from(network.verdict.groups).ok().map(f64::from)
    });
    each(writer, &catalogue::NETWORK_SPLIT, &|network| {
        Some(u8::from(network.verdict.split).into())
    });
    each(writer, &catalogue::NETWORK_REGISTERED, &|network| {
        network.verdict.registered.map(float)
    });
    let figure =
        |writer: &mut Writer, definition: &Definition, value: &dyn Fn(&Figures) -> Option<f64>| {
            each(writer, definition, &|network| {
                network.figures.as_ref().and_then(value)
            });
        };
    let cvm = |copper: i64| float(copper) / COPPER_PER_CVM;
    figure(writer, &catalogue::NETWORK_HEAD_TIMESTAMP, &|figures| {
        figures.timestamp_ms.map(seconds_of_ms)
    });
    figure(writer, &catalogue::NETWORK_ACCOUNTS, &|figures| {
        figures.accounts.map(float)
    });
    figure(writer, &catalogue::NETWORK_COIN_SUPPLY, &|figures| {
        figures.coin_supply_copper.map(cvm)
    });
    figure(writer, &catalogue::NETWORK_FEES_POOL, &|figures| {
        figures.fees_copper.map(cvm)
    });
    figure(writer, &catalogue::NETWORK_JUICE_PRICE, &|figures| {
        figures.juice_price_copper.map(float)
    });
    figure(writer, &catalogue::NETWORK_MEMORY_POOL, &|figures| {
        figures.memory_pool_bytes.map(float)
    });
    figure(writer, &catalogue::NETWORK_MEMORY_PRICE, &|figures| {
        figures.memory_price_copper
    });
}

fn probes(snapshot: &Snapshot, writer: &mut Writer) {
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

/// Watched peers by health and role; each pair from the start.
fn peers(snapshot: &Snapshot, writer: &mut Writer) {
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
