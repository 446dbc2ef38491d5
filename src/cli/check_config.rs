//! `check-config`: reports every problem in configuration files, and the cost of valid ones.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus::Registry;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::alerting::OperatorActions;
use crate::config::active::ActiveConfig;
use crate::config::shard::Shard;
use crate::config::{self, Capacity, Config, Cost, DescriptorLimit, Errors};
use crate::fleet::Fleet;
use crate::history::History;
use crate::poller::PeerCommands;
use crate::supervisor::liveness::Liveness;
use crate::web::{AppState, Server};

/// Options of the command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Print the effective configuration, without secrets.
    pub print: bool,
    /// Print one JSON array, with an object per file.
    pub json: bool,
    /// The part of the fleet whose cost is printed.
    pub shard: Shard,
}

/// Result for one file, as JSON.
#[derive(Serialize)]
struct FileResult<'a> {
    file: &'a Path,
    ok: bool,
    errors: Vec<JsonProblem<'a>>,
    /// Number of errors that `errors` lacks.
    #[serde(skip_serializing_if = "is_zero")]
    more_errors: usize,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor_limit: Option<DescriptorLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    path: &'a str,
    message: &'a str,
}

/// Checks `files`. Errors are written to `err`, costs and effective configurations to `out`; as
/// JSON, everything is written to `out`. `series` returns the number of time series of a
/// configuration.
///
/// Returns whether all files are valid. A descriptor limit that is too low is reported but is no
/// error: the agent may run on another host or with another limit.
///
/// # Errors
/// The output cannot be written, or the descriptor limit cannot be read.
pub fn run(
    files: &[PathBuf],
    options: Options,
    series: &dyn Fn(&Config) -> u64,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<bool> {
    let limit = DescriptorLimit::current();
    let environment = |name: &str| env::var(name).ok();
    let mut loaded = Vec::new();
    for file in files {
        let mut config = config::load(file, &environment);
        if let Ok(config) = &mut config {
            build_server(config)?;
            options.shard.retain_peers(config);
        }
        loaded.push((file, config));
    }
    if options.json {
        let results: Vec<_> = loaded
            .iter()
            .map(|(file, loaded)| file_result(file, loaded, options, series, limit))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &results)?;
        writeln!(out)?;
    } else {
        for (file, loaded) in &loaded {
            match loaded {
                Ok(config) => {
                    let cost = Cost::of(config, series(config));
                    print_valid(file, config, cost, limit, options, out)?;
                }
                Err(errors) => writeln!(err, "{errors}")?,
            }
        }
    }
    Ok(loaded.iter().all(|(_, loaded)| loaded.is_ok()))
}

/// Builds the server as `run` does, so that a configuration with which that fails is not called
/// valid.
fn build_server(config: &Config) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let history = runtime.block_on(History::start(None, config.history.max_bytes));
    let (reloads, _) = mpsc::channel(1);
    let state = AppState {
        fleet: Arc::new(Fleet::default()),
        history,
        commands: Arc::new(PeerCommands::default()),
        actions: OperatorActions::new(Arc::default(), Arc::default(), None, Arc::new(|_| ())),
        liveness: Liveness::default(),
        active_config: Arc::new(ActiveConfig::new(config.clone())),
        registry: Registry::new(),
        shard: Shard::default(),
        reloads,
        stop: CancellationToken::new(),
        prefix: config.path_prefix().into(),
        config_file: None,
    };
    drop(Server::new(state, config.listen.is_local()));
    Ok(())
}

fn print_valid(
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
    // With the effective configuration the other lines are comments, so that the output is YAML.
    let prefix = if options.print { "# " } else { "" };
    let (peers, networks) = (config.peers.len(), config.networks.len());
    writeln!(out, "{prefix}{}: ok", file.display())?;
    let sampled = match config.sample.len() {
        0 => String::new(),
        sampled => format!(" and {sampled} of other shards"),
    };
    let (discovered, up_to) = match discovered_peers {
        0 => (String::new(), ""),
        max => (format!(" and up to {max} discovered"), "up to "),
    };
    writeln!(
        out,
        "{prefix}  peers: {peers}{sampled}{discovered}, networks: {networks}, \
         series: {up_to}{series}, polls per second: {up_to}{polls_per_second:.2}, \
         connections: {up_to}{connections}"
    )?;
    writeln!(out, "{prefix}  {}", limit.describe_cost(&cost))?;
    if let Some(line) = status_page(config) {
        writeln!(out, "{prefix}  {line}")?;
    }
    for warning in warnings(config) {
        writeln!(out, "{prefix}  warning: {warning}")?;
    }
    if options.print {
        write!(out, "---\n{}", config::render(config))?;
    }
    Ok(())
}

/// What everybody can read of `config`, if it has a status page.
fn status_page(config: &Config) -> Option<String> {
    let status = config.status.as_ref()?;
    let published = status.networks.iter().chain(&status.peers);
    let names: Vec<String> = published.map(|it| format!("{:?}", it.name)).collect();
    let place = match &status.listen {
        Some(address) => format!("served to everybody at {address}"),
        None => "served only by what `status export` writes".to_owned(),
    };
    Some(format!("status page: shows {}; {place}", names.join(", ")))
}

/// Returns warnings about valid but unwise settings of `config`.
fn warnings(config: &Config) -> Vec<String> {
    let warnings = config.warnings.lines();
    warnings
        .chain(Capacity::of_config(config).warnings())
        .chain(config.web.exposure_warning(&config.listen))
        .chain(config.status_warning())
        .collect()
}

fn file_result<'a>(
    file: &'a Path,
    loaded: &'a Result<Config, Errors>,
    options: Options,
    series: &dyn Fn(&Config) -> u64,
    limit: DescriptorLimit,
) -> FileResult<'a> {
    let config = loaded.as_ref().ok();
    let problems = loaded.as_ref().err().map_or(&[][..], Errors::problems);
    let errors = problems.iter().map(|problem| JsonProblem {
        file: &problem.file,
        line: problem.position.map(|position| position.line),
        column: problem.position.map(|position| position.column),
        path: &problem.path,
        message: &problem.message,
    });
    FileResult {
        file,
        ok: config.is_some(),
        errors: errors.collect(),
        more_errors: loaded.as_ref().err().map_or(0, Errors::omitted),
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
    fn a_descriptor_limit_that_is_too_low_is_reported_with_what_to_change() {
        let limit = DescriptorLimit {
            soft: 1024,
            hard: 4096,
        };
        assert_eq!(
            limit.describe(130),
            "needs 130 file descriptors; the limit of 1024 is enough"
        );
        assert_eq!(
            limit.describe(2000),
            "needs 2000 file descriptors; \
             the limit of 1024 is raised at startup to 4096, which is enough"
        );
        assert_eq!(
            limit.describe(20128),
            "needs 20128 file descriptors, but the limit is 4096; set `LimitNOFILE=20128` in the \
             systemd unit, or run `ulimit -n 20128` as root"
        );
    }

    #[test]
    fn a_descriptor_limit_that_is_too_low_is_reported_with_what_works_anyway() {
        let mut cost = Cost::of(&config::embedded(), 100);
        let limit = DescriptorLimit {
            soft: 641,
            hard: 641,
        };
        assert_eq!(
            limit.describe_cost(&cost),
            "needs 642 file descriptors, but the limit is 641; set `LimitNOFILE=642` in the \
             systemd unit, or run `ulimit -n 642` as root, or split the peers across several \
             agents with `run --shard`; as it is, only 1 of 2 connections can be open at once, \
             and polls without a free descriptor report the peer as unknown"
        );
        cost.descriptors = 641;
        assert_eq!(
            limit.describe_cost(&cost),
            "needs 641 file descriptors; the limit of 641 is enough"
        );
    }

    #[test]
    fn the_embedded_configuration_costs_a_poll_per_minute_over_two_connections() {
        let cost = Cost::of(&config::embedded(), 100);
        assert_eq!((cost.series, cost.connections), (100, 2));
        assert!((cost.polls_per_second - 1.0 / 60.0).abs() < 1e-9);
    }
}
