//! What a configuration costs: series, polls, connections and file descriptors, and whether this process may have as many.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::{Cadence, Config, Discovery};

/// What else the agent holds open: its listener with the most connections that it takes, files, standard streams.
const OWN_DESCRIPTORS: u64 = 640;

/// What a configuration asks of the machine and of Prometheus, with all peers that discovery may add.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The most peers that discovery may add to the configured ones.
    pub discovered_peers: u64,
    /// Time series on `/metrics`.
    pub series: u64,
    /// Polls a second, all peers together.
    pub polls_per_second: f64,
    /// Connections kept open: one an endpoint.
    pub connections: u64,
    /// File descriptors: the connections and the agent's own.
    pub descriptors: u64,
}

impl Cost {
    /// What `config` costs at most, given its number of series.
    #[must_use]
    pub fn of(config: &Config, series: u64) -> Self {
        let peers = config.peers.iter().chain(&config.sample);
        let configured: u64 = peers.clone().map(|peer| peer.endpoints.len() as u64).sum();
        let discovery = config
            .networks
            .iter()
            .filter_map(|it| it.discovery.as_ref());
        let per_second = |cadence: &Cadence| cadence.interval.as_secs_f64().recip();
        let of_discovered = discovery.clone().map(|it| {
            let peers = u32::try_from(it.max_peers).unwrap_or(u32::MAX);
            f64::from(peers) * per_second(&config.references)
        });
        let of_one = |it: &Discovery| 1 + u64::from(it.http_port.is_some());
        let to_discovered = discovery.clone().map(|it| it.max_peers as u64 * of_one(it));
        let connections = configured + to_discovered.sum::<u64>();
        let discovered_peers = discovery.map(|it| it.max_peers as u64).sum();
        Self {
            discovered_peers,
            series,
            polls_per_second: peers
                .map(|peer| per_second(&peer.cadence))
                .chain(of_discovered)
                .sum(),
            connections,
            descriptors: connections + OWN_DESCRIPTORS,
        }
    }
}

/// How many file descriptors a process may have (`RLIMIT_NOFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DescriptorLimit {
    /// In force.
    pub soft: u64,
    /// How far the process may raise it itself.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Returns the limits of this process; one that is infinite is [`u64::MAX`].
    #[must_use]
    pub fn current() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self {
            soft: current.unwrap_or(u64::MAX),
            hard: maximum.unwrap_or(u64::MAX),
        }
    }

    /// Returns the soft limit as both limits, for a process that has raised it as far as it could.
    #[must_use]
    pub fn in_force() -> Self {
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

    /// Whether a process that raises its limit as far as it can has `descriptors`.
    #[must_use]
    pub const fn carries(self, descriptors: u64) -> bool {
        descriptors <= self.hard
    }

    /// The same in words, with what to change when it has not.
    #[must_use]
    pub fn verdict(self, descriptors: u64) -> String {
        let Self { soft, hard } = self;
        let needs = format!("needs {descriptors} file descriptors");
        if descriptors <= soft {
            format!("{needs}; the limit of {soft} carries them")
        } else if self.carries(descriptors) {
            format!(
                "{needs}; the limit of {soft} is raised at the start to {hard}, which carries them"
            )
        } else {
            format!(
                "{needs}, which the limit of {hard} does not carry; set `LimitNOFILE={descriptors}` in the systemd unit, \
                 or `ulimit -n {descriptors}` as root"
            )
        }
    }

    /// The same of an agent, whose peers others can watch.
    #[must_use]
    pub fn verdict_on(self, cost: &Cost) -> String {
        let verdict = self.verdict(cost.descriptors);
        if self.carries(cost.descriptors) {
            return verdict;
        }
        let left = self.hard.saturating_sub(OWN_DESCRIPTORS);
        format!(
            "{verdict}, or split the peers over several agents with `run --shard`; as it is, {left} of {} connections are \
             open at once, and a poll that finds none free says nothing of its peer",
            cost.connections
        )
    }
}
