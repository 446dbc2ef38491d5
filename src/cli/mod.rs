//! The command line: what can be asked of the program, and what each answer exits with.

mod healthcheck;
mod probe;
mod run;
mod simulate;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::agent::Happenings;
use crate::config::Config;
use crate::peer::Endpoint;
use crate::shard::Shard;
use crate::telemetry::{LogFormat, LogLevel};
use crate::{check, decode, metrics};

/// A bad configuration, before a port is bound.
const BAD_CONFIG: u8 = 2;

/// A command line that `probe` does not understand (sysexits.h); its other codes are verdicts.
const USAGE: u8 = 64;

/// Health-monitoring agent for Convex peers.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Monitor until SIGTERM or SIGINT; SIGHUP reloads the configuration (the default command)
    Run(RunArgs),
    /// Say everything that is wrong with configuration files, and what they will cost
    CheckConfig(CheckArgs),
    /// Poll once and say what was seen: exits 0 ok, 1 degraded, 2 down, 3 unknown
    Probe(ProbeArgs),
    /// Show messages of the binary protocol as Convex data
    Decode(DecodeArgs),
    /// Run a simulated network on loopback, with faults if wanted, until SIGTERM or SIGINT
    Simulate(SimulateArgs),
    /// Ask a running agent whether it is alive: exits 0 or 1
    Healthcheck(HealthcheckArgs),
    /// Print the metric reference as Markdown
    MetricsReference,
}

#[derive(Args, Debug, Default)]
struct RunArgs {
    /// Configuration file [default: ./convex-peer-monitor.yml, /etc/convex-peer-monitor/config.yml, else Protonet's public peer]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, instead of what the configuration says
    #[arg(long, value_name = "ADDR")]
    listen: Option<std::net::SocketAddr>,
    /// Poll only this part of the configured peers, such as 1/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// How to log [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// How much to log
    #[arg(long, value_enum, value_name = "L", default_value = "info")]
    log_level: LogLevel,
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// Configuration files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the effective configuration, secrets hidden
    #[arg(long)]
    print: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ProbeArgs {
    /// Endpoints, as `tcp://host:18888` or `https://host`; none: the configured peers
    #[arg(value_name = "ENDPOINT", value_parser = Endpoint::parse)]
    endpoints: Vec<Endpoint>,
    /// Configuration file, as for run
    #[arg(long, value_name = "FILE", conflicts_with = "endpoints")]
    config: Option<PathBuf>,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    /// Deadline of the poll, such as 5s [default: as configured, else 5s]
    #[arg(long, value_name = "D", value_parser = positive_duration)]
    timeout: Option<Duration>,
}

#[derive(Args, Debug)]
struct DecodeArgs {
    /// Content in hexadecimal; `-` reads one a line from standard input
    #[arg(value_name = "HEX|-", default_value = "-")]
    input: String,
    /// The input is whole frames, each with its length in front
    #[arg(long)]
    frame: bool,
    /// Answer as JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = simulate::kinds_help())]
struct SimulateArgs {
    /// How many peers, up to 10000
    #[arg(long, value_name = "N", default_value_t = 4)]
    peers: usize,
    /// What is wrong with whom, and when since the start: KIND[=VALUE]:PEERS[:FROM[..TO]], such as
    /// fork:2:10s, lag=40:3:30s..90s, tarpit:50%, skew=-5s:6; may be repeated
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<String>,
    /// The first port: peer i has TCP on PORT+2(i-1) and HTTP on the next one; with more than 1000 peers it has an address of
    /// its own from 127.1.0.1 on, TCP on PORT and HTTP on PORT+1
    #[arg(long, value_name = "PORT", default_value_t = 28000)]
    listen_base: u16,
    /// Write the agent's configuration for this network
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    /// Make a block each so often, such as 1s, or 1s:2,5 by these peers only [default: none, an idle network]
    #[arg(long, value_name = "PERIOD[:PEERS]")]
    traffic: Option<String>,
    /// Keys and genesis depend on it and on the number of peers alone
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args, Debug)]
struct HealthcheckArgs {
    /// The agent's health route
    #[arg(long, default_value = "http://127.0.0.1:18880/-/healthy")]
    url: url::Url,
}

/// Reads the command line, does what it says, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let done = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::CheckConfig(args)) => check_config(&args),
        Some(Command::Probe(args)) => probe::probe(args),
        Some(Command::Decode(args)) => decode(&args),
        Some(Command::Simulate(args)) => simulate::simulate(&args),
        Some(Command::Healthcheck(args)) => healthcheck::healthcheck(&args),
        Some(Command::MetricsReference) => print(&metrics::reference()),
    };
    done.unwrap_or_else(|error| {
        // The whole chain of causes on one line.
        drop(writeln!(io::stderr(), "convex-peer-monitor: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The definition of the command line, for what is made from it.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Help and version go to standard output and are no error. `probe` must not answer a typing mistake with a verdict.
fn usage(error: &clap::Error) -> ExitCode {
    // Where even this cannot be written there is nobody to tell.
    drop(error.print());
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if std::env::args_os()
            .nth(1)
            .is_some_and(|first| first == "probe") =>
        {
            ExitCode::from(USAGE)
        }
        _ => ExitCode::from(BAD_CONFIG),
    }
}

fn check_config(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let options = check::Options {
        print: args.print,
        json: args.json,
    };
    let happenings = Happenings::new()?;
    let series = |config: &Config| {
        happenings.counts.only(config.notify.receivers());
        metrics::series(config, &happenings.registry)
    };
    let valid = check::run(
        &args.files,
        options,
        &series,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    )?;
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_CONFIG)
    })
}

fn decode(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let options = decode::Options {
        frame: args.frame,
        json: args.json,
    };
    let input = (args.input != "-").then_some(args.input.as_str());
    let all = decode::run(input, io::stdin().lock(), io::stdout().lock(), options)?;
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints a text. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be longer than nothing, such as 5s".to_owned()),
        Err(error) => Err(format!("{error}; expected a duration such as 5s or 500ms")),
    }
}

/// The runtime of a command that talks to the network.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn run_is_the_default_command() {
        let cli =
            Cli::try_parse_from(["convex-peer-monitor", "--config", "x.yml", "--shard", "2/3"])
                .unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.shard.map(Shard::numbers), Some((2, 3)));
    }
}
