//! Resources that a configuration needs: series, polls, connections and file descriptors; and
//! whether the descriptor limit of this process is enough.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::{Config, Discovery, Polling};

/// Descriptors besides those for peers: listener, its maximum of connections, files and standard
/// streams.
pub const OWN_DESCRIPTORS: u64 = 640;

/// File descriptors of an agent that also serves a status page: those of its visitors.
pub const STATUS_DESCRIPTORS: u64 = 128;

/// Resources that a configuration needs, including those for all peers that discovery may add.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Maximum number of peers that discovery may add to the configured ones.
    pub discovered_peers: u64,
    /// Time series on `/metrics`.
    pub series: u64,
    /// Polls per second, all peers together.
    pub polls_per_second: f64,
    /// Connections kept open: one per endpoint.
    pub connections: u64,
    /// File descriptors: the connections and the agent's own.
    pub descriptors: u64,
}

impl Cost {
    /// Computes the maximum cost of `config`, which exports `series` time series.
    #[must_use]
    pub fn of(config: &Config, series: u64) -> Self {
        let peers = config.peers.iter().chain(&config.sample);
        let configured: u64 = peers.clone().map(|peer| peer.endpoints.len() as u64).sum();
        let discovery = config
            .networks
            .iter()
            .filter_map(|network| network.discovery.as_ref());
        let polls_per_second = |polling: &Polling| polling.interval.as_secs_f64().recip();
        let discovered_polls = discovery.clone().map(|discovery| {
            let peers = u32::try_from(discovery.max_peers).unwrap_or(u32::MAX);
            f64::from(peers) * polls_per_second(&config.references)
        });
        let endpoints = |discovery: &Discovery| 1 + u64::from(discovery.http_port.is_some());
        let discovered_connections = discovery
            .clone()
            .map(|discovery| discovery.max_peers as u64 * endpoints(discovery));
        let connections = configured + discovered_connections.sum::<u64>();
        let serves_status = config.status.as_ref().is_some_and(|it| it.listen.is_some());
        let status = if serves_status { STATUS_DESCRIPTORS } else { 0 };
        let discovered_peers = discovery.map(|discovery| discovery.max_peers as u64).sum();
        Self {
            discovered_peers,
            series,
            polls_per_second: peers
                .map(|peer| polls_per_second(&peer.polling))
                .chain(discovered_polls)
                .sum(),
            connections,
            descriptors: connections + OWN_DESCRIPTORS + status,
        }
    }
}

/// Limit of open file descriptors of a process (`RLIMIT_NOFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DescriptorLimit {
    /// The limit that applies.
    pub soft: u64,
    /// The limit up to which the process may raise `soft`.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Returns the limits of this process. An infinite limit is [`u64::MAX`].
    #[must_use]
    pub fn current() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self {
            soft: current.unwrap_or(u64::MAX),
            hard: maximum.unwrap_or(u64::MAX),
        }
    }

    /// Returns the limit of this process, which has already raised it as far as possible.
    #[must_use]
    pub fn after_raise() -> Self {
        let Self { soft, .. } = Self::current();
        Self { soft, hard: soft }
    }

    /// Raises the soft limit of this process to its hard limit, and returns that.
    ///
    /// # Errors
    /// The system refuses the new limit.
    pub fn raise() -> io::Result<u64> {
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            let current = limit.maximum;
            setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
        }
        Ok(limit.maximum.unwrap_or(u64::MAX))
    }

    /// Whether a process that raises its limit as far as possible can open `descriptors`.
    #[must_use]
    pub const fn allows(self, descriptors: u64) -> bool {
        descriptors <= self.hard
    }

    /// Describes whether the limit is enough for `descriptors`, and what to change if not.
    #[must_use]
    pub fn describe(self, descriptors: u64) -> String {
        let Self { soft, hard } = self;
        let needs = format!("needs {descriptors} file descriptors");
        if descriptors <= soft {
            format!("{needs}; the limit of {soft} is enough")
        } else if self.allows(descriptors) {
            format!("{needs}; the limit of {soft} is raised at startup to {hard}, which is enough")
        } else {
            format!(
                "{needs}, but the limit is {hard}; set `LimitNOFILE={descriptors}` in the systemd \
                 unit, or run `ulimit -n {descriptors}` as root"
            )
        }
    }

    /// As [`Self::describe`] for an agent, which can also share its peers with other agents.
    #[must_use]
    pub fn describe_cost(self, cost: &Cost) -> String {
        let description = self.describe(cost.descriptors);
        if self.allows(cost.descriptors) {
            return description;
        }
        let own = cost.descriptors.saturating_sub(cost.connections);
        let left = self.hard.saturating_sub(own);
        format!(
            "{description}, or split the peers across several agents with `run --shard`; as it is, \
             only {left} of {} connections can be open at once, and polls without a free \
             descriptor report the peer as unknown",
            cost.connections
        )
    }
}
