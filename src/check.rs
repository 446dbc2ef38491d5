//! `check-config`: says everything that is wrong with configuration files, and what a valid one will cost.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{self, Cadence, Config, Discovery, Errors};
use crate::shard::Shard;

/// What else the agent holds open: its listener with the most connections that it takes, files, standard streams.
const OWN_DESCRIPTORS: u64 = 640;

/// How to answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Show the effective configuration, secrets hidden.
    pub print: bool,
    /// Answer as one JSON array, one object a file.
    pub json: bool,
    /// The part of the fleet whose cost is told.
    pub shard: Shard,
}

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
    /// This process' limit.
    ///
    /// # Errors
    /// What the system says.
    pub fn current() -> io::Result<Self> {
        let (soft, hard) = rlimit::Resource::NOFILE.get()?;
        Ok(Self { soft, hard })
    }

    /// The limit in force, when this process has raised it as far as it could.
    ///
    /// # Errors
    /// What the system says.
    pub fn in_force() -> io::Result<Self> {
        let Self { soft, .. } = Self::current()?;
        Ok(Self { soft, hard: soft })
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

#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    ok: bool,
    errors: Vec<Wrong<'a>>,
    /// What is right but unwise.
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor_limit: Option<DescriptorLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

#[derive(Serialize)]
struct Wrong<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    path: &'a str,
    message: &'a str,
}

/// Checks `files`: errors to `err`, costs and effective configurations to `out`, with JSON everything to `out`.
/// `series` tells how many time series a configuration makes. True when every file is valid; a descriptor limit that is too
/// low is told and is no error, the agent may run elsewhere or with another limit.
///
/// # Errors
/// When the answer cannot be written or the limit cannot be read.
pub fn run(
    files: &[PathBuf],
    options: Options,
    series: &dyn Fn(&Config) -> u64,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let limit = DescriptorLimit::current()?;
    let environment = |name: &str| env::var(name).ok();
    let loaded: Vec<_> = files
        .iter()
        .map(|file| {
            let mut loaded = config::load(file, &environment);
            if let Ok(config) = &mut loaded {
                options.shard.keep(config);
            }
            (file, loaded)
        })
        .collect();
    if options.json {
        let answers: Vec<_> = loaded
            .iter()
            .map(|(file, loaded)| answer(file, loaded, options, series, limit))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &answers)?;
        writeln!(out)?;
    } else {
        for (file, loaded) in &loaded {
            match loaded {
                Ok(config) => tell(
                    file,
                    config,
                    Cost::of(config, series(config)),
                    limit,
                    options,
                    out,
                )?,
                Err(errors) => writeln!(err, "{errors}")?,
            }
        }
    }
    Ok(loaded.iter().all(|(_, loaded)| loaded.is_ok()))
}

fn tell(
    file: &Path,
    config: &Config,
    cost: Cost,
    limit: DescriptorLimit,
    options: Options,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Cost {
        discovered_peers,
        series,
        polls_per_second,
        connections,
        ..
    } = cost;
    // Before an effective configuration the rest is comment: the whole stays YAML.
    let mark = if options.print { "# " } else { "" };
    let (peers, networks) = (config.peers.len(), config.networks.len());
    writeln!(out, "{mark}{}: ok", file.display())?;
    let others = match config.sample.len() {
        0 => String::new(),
        sampled => format!(" and {sampled} of other shards"),
    };
    let (discovered, up_to) = match discovered_peers {
        0 => (String::new(), ""),
        most => (format!(" and up to {most} discovered"), "up to "),
    };
    writeln!(
        out,
        "{mark}  peers: {peers}{others}{discovered}, networks: {networks}, series: {up_to}{series}, \
         polls a second: {up_to}{polls_per_second:.2}, connections: {up_to}{connections}"
    )?;
    writeln!(out, "{mark}  {}", limit.verdict_on(&cost))?;
    for warning in warnings(config) {
        writeln!(out, "{mark}  warning: {warning}")?;
    }
    if options.print {
        write!(out, "---\n{}", config::render(config))?;
    }
    Ok(())
}

fn warnings(config: &Config) -> Vec<String> {
    let unwise = config.warnings.iter().map(ToString::to_string);
    unwise.chain(config.web.exposure(config.listen)).collect()
}

fn answer<'a>(
    file: &'a Path,
    loaded: &'a Result<Config, Errors>,
    options: Options,
    series: &dyn Fn(&Config) -> u64,
    limit: DescriptorLimit,
) -> Answer<'a> {
    let config = loaded.as_ref().ok();
    let problems = loaded.as_ref().err().map_or(&[][..], Errors::problems);
    let wrong = problems.iter().map(|problem| Wrong {
        file: &problem.file,
        line: problem.position.map(|at| at.line),
        column: problem.position.map(|at| at.column),
        path: &problem.path,
        message: &problem.message,
    });
    Answer {
        file,
        ok: config.is_some(),
        errors: wrong.collect(),
        warnings: config.map(warnings).unwrap_or_default(),
        cost: config.map(|config| Cost::of(config, series(config))),
        descriptor_limit: config.map(|_| limit),
        config: config.filter(|_| options.print).map(config::render),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_what_to_change() {
        let limit = DescriptorLimit {
            soft: 1024,
            hard: 4096,
        };
        assert_eq!(
            limit.verdict(130),
            "needs 130 file descriptors; the limit of 1024 carries them"
        );
        assert_eq!(
            limit.verdict(2000),
            "needs 2000 file descriptors; the limit of 1024 is raised at the start to 4096, which carries them"
        );
        assert_eq!(
            limit.verdict(20128),
            "needs 20128 file descriptors, which the limit of 4096 does not carry; set `LimitNOFILE=20128` in the systemd \
             unit, or `ulimit -n 20128` as root"
        );
    }

    #[test]
    fn an_agent_whose_limit_is_too_low_is_told_what_it_carries() {
        let mut cost = Cost::of(&config::embedded(), 100);
        let limit = DescriptorLimit {
            soft: 641,
            hard: 641,
        };
        assert_eq!(
            limit.verdict_on(&cost),
            "needs 642 file descriptors, which the limit of 641 does not carry; set `LimitNOFILE=642` in the systemd unit, \
             or `ulimit -n 642` as root, or split the peers over several agents with `run --shard`; as it is, 1 of 2 \
             connections are open at once, and a poll that finds none free says nothing of its peer"
        );
        cost.descriptors = 641;
        assert_eq!(
            limit.verdict_on(&cost),
            "needs 641 file descriptors; the limit of 641 carries them"
        );
    }

    #[test]
    fn the_embedded_configuration_costs_a_poll_a_minute_over_two_connections() {
        let cost = Cost::of(&config::embedded(), 100);
        assert_eq!((cost.series, cost.connections), (100, 2));
        assert!((cost.polls_per_second - 1.0 / 60.0).abs() < 1e-9);
    }
}
