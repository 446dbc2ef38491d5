//! Metrics of the agent itself that no registry holds: its build, configuration, self-checks and
//! targets.

use std::collections::BTreeMap;
use std::time::SystemTime;

use convex_client::seconds_since_epoch;

use crate::config::{Mode, Role};
use crate::fleet::Snapshot;

use super::catalogue;
use super::text_format::Writer;

/// State of the agent that neither a snapshot nor its registry holds.
#[derive(Clone, Debug)]
pub struct AgentFacts {
    /// The agent's name.
    pub vantage: String,
    /// Whether it runs beside its peers or apart from them.
    pub mode: Mode,
    /// `external_url`, if it is set.
    pub url: Option<String>,
    /// This shard, from 1, and the number of shards.
    pub shard: (u32, u32),
    /// Whether the last attempt to load the configuration succeeded.
    pub reload_successful: bool,
    /// When the active configuration was loaded.
    pub loaded: SystemTime,
}

pub(super) fn write(snapshot: &Snapshot, facts: &AgentFacts, writer: &mut Writer<'_>) {
    writer.family(&catalogue::BUILD_INFO, |family| {
        family.integer([("version", env!("CARGO_PKG_VERSION"))], 1);
    });
    writer.family(&catalogue::MONITOR_INFO, |family| {
        let url = facts.url.as_deref().unwrap_or_default();
        family.integer(
            [
                ("vantage", facts.vantage.as_str()),
                ("mode", facts.mode.as_str()),
                ("url", url.trim_end_matches('/')),
            ],
            1,
        );
    });
    writer.family(&catalogue::SHARD, |family| {
        family.integer([], facts.shard.0.into());
    });
    writer.family(&catalogue::SHARDS, |family| {
        family.integer([], facts.shard.1.into());
    });
    writer.family(&catalogue::RELOAD_SUCCESSFUL, |family| {
        family.integer([], facts.reload_successful.into());
    });
    writer.family(&catalogue::RELOAD_SUCCESS, |family| {
        family.sample([], seconds_since_epoch(facts.loaded));
    });
    writer.family(&catalogue::SELF_HEALTHY, |family| {
        for (check, healthy) in snapshot.checks.healthy() {
            family.integer([("check", check.as_str())], healthy.into());
        }
    });
    writer.family(&catalogue::CLOCK_DISPUTE, |family| {
        if let Some(dispute) = &snapshot.clock_dispute {
            let verdict = if dispute.is_own_wrong {
                "agent_wrong"
            } else {
                "disputed"
            };
            family.sample([("verdict", verdict)], dispute.offset);
        }
    });
    writer.family(&catalogue::ALERT_ACKNOWLEDGED, |family| {
        for alert in snapshot.acknowledged.iter() {
            let labels = [
                ("alertname", alert.alertname.as_str()),
                ("severity", alert.severity.as_str()),
                ("peer", alert.peer.as_deref().unwrap_or_default()),
                ("network", alert.network.as_deref().unwrap_or_default()),
            ];
            family.integer(labels, 1);
        }
    });
    write_targets(snapshot, writer);
}

/// Writes the number of polled peers by network and role; each pair is a series from the start.
fn write_targets(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    let mut targets = BTreeMap::<_, u64>::new();
    for network in &snapshot.networks {
        for role in [Role::Own, Role::Reference] {
            targets.insert((network.name.as_str(), role.as_str()), 0);
        }
    }
    for record in &snapshot.peers {
        *targets
            .entry((&record.peer.network, record.peer.role.as_str()))
            .or_default() += 1;
    }
    writer.family(&catalogue::TARGETS, |family| {
        for ((network, role), peers) in targets {
            family.integer([("network", network), ("role", role)], peers);
        }
    });
}
