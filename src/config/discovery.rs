//! Discovery: which of the peers registered on a network's chain are polled.

use std::time::Duration;

use super::keys::DISCOVERY;
use super::polling::INTERVAL;
use super::scalar::{boolean, count, duration, port};
use super::section::Section;
use super::source::Reported;

/// How the registered peers of a network are discovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Time between two reads of the registry.
    pub interval: Duration,
    /// Maximum number of peers polled in addition to the configured ones.
    pub max_peers: usize,
    /// Whether the agent connects to addresses that are not public. Anyone can put any address on
    /// the chain.
    pub allow_private: bool,
    /// Port at which discovered hosts are polled over HTTP too, as the chain has their TCP port
    /// only. `None`: they are polled over TCP only.
    pub http_port: Option<u16>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(600),
            max_peers: 500,
            allow_private: false,
            http_port: None,
        }
    }
}

/// Reads `discovery` of a network; `None` if disabled. Its keys are checked even then.
pub(super) fn discovery(network: &Section) -> Result<Option<Discovery>, Reported> {
    let Some(section) = network.section("discovery", &DISCOVERY)? else {
        return Ok(None);
    };
    let enabled = section.read("enabled", boolean);
    let interval = section.read("interval", |value| duration(value, INTERVAL));
    let max_peers = section.read("max_peers", |value| {
        count(value, 1..=100_000).map(|n| n as usize)
    });
    let allow_private = section.read("allow_private", boolean);
    let http_port = section.read("http_port", port);
    let default = Discovery::default();
    let discovery = Discovery {
        interval: interval?.unwrap_or(default.interval),
        max_peers: max_peers?.unwrap_or(default.max_peers),
        allow_private: allow_private?.unwrap_or(default.allow_private),
        http_port: http_port?,
    };
    Ok(enabled?.unwrap_or(false).then_some(discovery))
}
