//! `/metrics`: peers and networks from one snapshot, the agent's counters from its registry.

mod agent;
mod canary;
mod catalogue;
mod consensus;
mod endpoints;
mod estimate;
mod networks;
mod peers;
#[cfg(target_os = "linux")]
mod process;
mod reference;
mod services;
mod sidecar;
mod text_format;

use prometheus::Registry;

use crate::config::Detail;
use crate::fleet::Snapshot;

pub use agent::AgentFacts;
pub use catalogue::{ALL, Definition, Group, Kind, Lean};
pub use estimate::estimate_series;
use peers::View;
pub use reference::reference;
pub use text_format::Format;
use text_format::Writer;

/// Writes the whole exposition in `format` to `out`, chunk by chunk, and returns the number of its
/// series. Blocks: on Linux it reads /proc.
pub fn write_exposition(
    format: Format,
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
    let mut writer = Writer::new(format, out);
    view.write(&mut writer);
    networks::write(snapshot, &mut writer);
    consensus::write_networks(snapshot, &mut writer);
    canary::write(snapshot, &mut writer);
    services::write(snapshot, &mut writer);
    agent::write(snapshot, facts, &mut writer);
    #[cfg(target_os = "linux")]
    let started = process::start_time();
    #[cfg(not(target_os = "linux"))]
    let started = None;
    for family in registry.gather() {
        writer.gathered_family(&family, started);
    }
    #[cfg(target_os = "linux")]
    process::write(&mut writer);
    let series = writer.series() + 1;
    writer.family(&catalogue::SERIES, |family| family.integer([], series));
    writer.finish()
}
