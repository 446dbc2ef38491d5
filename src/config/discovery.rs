//! Whether and how the peers that a network's chain registers are found and watched.

use std::time::Duration;

use super::keys::DISCOVERY;
use super::rhythm::INTERVAL;
use super::scalar::{boolean, count, duration, port};
use super::section::{Refused, Section};

/// How a network's registered peers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// From one reading of the registry to the next.
    pub interval: Duration,
    /// The most peers watched besides the configured ones.
    pub max_peers: usize,
    /// Whether addresses that are not public are dialled: what stands on the chain was written by strangers.
    pub allow_private: bool,
    /// Where a discovered host is asked over HTTP too: the chain names its TCP port only. None: it is not.
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

/// The network's `discovery`; none when it is off, which does not keep it from being checked.
pub(super) fn discovery(network: &Section) -> Result<Option<Discovery>, Refused> {
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
