//! `check-config`: says everything that is wrong with configuration files, and what a valid one will cost.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::shard::Shard;
use crate::config::{self, Config, Cost, DescriptorLimit, Errors};

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
/// When the answer cannot be written.
pub fn run(
    files: &[PathBuf],
    options: Options,
    series: &dyn Fn(&Config) -> u64,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let limit = DescriptorLimit::current();
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
