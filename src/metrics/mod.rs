//! `/metrics`: facts about peers from one snapshot, happenings of the agent from the registry.

mod catalogue;
mod estimate;
mod family;
mod host;
mod networks;
mod peers;

use std::collections::BTreeMap;
use std::time::SystemTime;

use convex_client::seconds_since_epoch;
use prometheus::Registry;

use crate::config::{Detail, Mode, Role};
use crate::fleet::{NetworkSnapshot, Snapshot};

pub use catalogue::{ALL, Definition, Group, Kind, Lean, reference};
pub use estimate::series;
use family::Writer;
use peers::View;

/// What the agent knows of itself, besides its registry.
#[derive(Clone, Debug)]
pub struct AgentFacts {
    /// The agent's name.
    pub vantage: String,
    /// Where it stands to its peers.
    pub mode: Mode,
    /// This shard, from 1, and the number of shards.
    pub shard: (u32, u32),
    /// Whether the last attempt to load the configuration succeeded.
    pub reload_successful: bool,
    /// When the configuration in force was loaded.
    pub loaded: SystemTime,
}

/// Tells the whole exposition in the text format 0.0.4 to `out`, piece by piece; the number of its series.
pub fn exposition(
    snapshot: &Snapshot,
    facts: &AgentFacts,
    detail: Detail,
    registry: &Registry,
    out: &mut dyn FnMut(&str),
) -> u64 {
    let view = View {
        snapshot,
        full: detail == Detail::Full,
    };
    let mut writer = Writer::new(out);
    view.write(&mut writer);
    networks::write(snapshot, &mut writer);
    agent(&mut writer, snapshot, facts);
    for family in registry.gather() {
        writer.gathered(&family);
    }
    let series = writer.series() + 1;
    writer.family(&catalogue::SERIES, |family| family.count([], series));
    writer.finish()
}

fn agent(writer: &mut Writer<'_>, snapshot: &Snapshot, facts: &AgentFacts) {
    writer.family(&catalogue::BUILD_INFO, |family| {
        family.count([("version", env!("CARGO_PKG_VERSION"))], 1);
    });
    writer.family(&catalogue::MONITOR_INFO, |family| {
        family.count(
            [
                ("vantage", facts.vantage.as_str()),
                ("mode", facts.mode.as_str()),
            ],
            1,
        );
    });
    writer.family(&catalogue::SHARD, |family| {
        family.count([], facts.shard.0.into());
    });
    writer.family(&catalogue::SHARDS, |family| {
        family.count([], facts.shard.1.into());
    });
    writer.family(&catalogue::RELOAD_SUCCESSFUL, |family| {
        family.count([], facts.reload_successful.into());
    });
    writer.family(&catalogue::RELOAD_SUCCESS, |family| {
        family.sample([], seconds_since_epoch(facts.loaded));
    });
    writer.family(&catalogue::SELF_HEALTHY, |family| {
        for (check, healthy) in snapshot.checks.healthy() {
            family.count([("check", check.as_str())], healthy.into());
        }
    });
    let mut targets = BTreeMap::<_, u64>::new();
    for NetworkSnapshot { name: network, .. } in &snapshot.networks {
        for role in [Role::Own, Role::Reference] {
            targets.insert((network.as_str(), role.as_str()), 0);
        }
    }
    for record in &snapshot.peers {
        *targets
            .entry((&record.peer.network, record.peer.role.as_str()))
            .or_default() += 1;
    }
    writer.family(&catalogue::TARGETS, |family| {
        for ((network, role), peers) in targets {
            family.count([("network", network), ("role", role)], peers);
        }
    });
}
