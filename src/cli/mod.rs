//! The command line: what can be asked of the program, and what each answer exits with.

pub mod check_config;
pub mod decode;
mod healthcheck;
mod probe;
mod run;
mod shell;
mod simulate;
mod terminal;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use convex_client::Endpoint;

use crate::agent::AgentMetrics;
use crate::agent::logging::{LogFormat, LogLevel};
use crate::config::Config;
use crate::config::shard::Shard;
use crate::metrics;

/// A bad configuration, before a port is bound.
const BAD_CONFIG: u8 = 2;

/// A command line that `probe` does not understand (sysexits.h); its other codes are verdicts.
const USAGE: u8 = 64;

/// Health-monitoring agent for Convex peers: polls them over HTTP and the binary protocol, judges them, and tells Prometheus.
///
/// Without a command it monitors, as `run` does.
#[derive(Debug, Parser)]
#[command(
    name = "convex-peer-monitor",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  convex-peer-monitor                              # watch Protonet's public peer
  convex-peer-monitor --config peers.yml           # watch your own
  convex-peer-monitor probe tcp://10.0.0.5:18888   # look at one, once

The page is at http://127.0.0.1:18880/, the metrics are at /metrics.
'convex-peer-monitor help COMMAND' tells more of a command."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Monitor peers until SIGTERM or SIGINT (the default command)
    ///
    /// SIGHUP reads the configuration again; one that is wrong changes nothing and is told in the log.
    ///
    /// Exits 0 after a signal, 2 when the configuration is wrong (before a port is bound), 1 for anything else.
    Run(RunArgs),
    /// Say everything that is wrong with configuration files, and what they will cost
    ///
    /// Each error is told with file, line, column, and what would be right. Of a file that is right it is told how many polls a
    /// second, series and connections it means, and whether the limit of file descriptors carries them.
    ///
    /// Exits 0 when all files are right, else 2.
    CheckConfig(CheckArgs),
    /// Poll peers once, or again and again, and show what was seen
    ///
    /// A row is an endpoint: what it told, how long each step took, who answered, and what is wrong. ORDER counts the blocks
    /// known, proposed, agreed on and final, and says what the order does; STATE is the last executed block. One poll is the
    /// verdict: nothing is averaged, and peers are not compared.
    ///
    /// Exits with the worst of: 0 ok, 1 degraded, 3 unknown, 2 down (as Nagios numbers them); 64 for a wrong command line. A
    /// configuration that is wrong also exits with 2, and says so on standard error.
    Probe(ProbeArgs),
    /// Show captured messages of the binary protocol as Convex data
    ///
    /// Exits 0, or 1 when any input could not be decoded; where and why is told in its line.
    Decode(DecodeArgs),
    /// Run a simulated network on loopback, with faults if wanted
    ///
    /// It speaks both real protocols, to try the agent, its alerts and dashboards against. Ends with SIGTERM or SIGINT.
    Simulate(SimulateArgs),
    /// Ask a running agent whether it is alive
    ///
    /// For a container's HEALTHCHECK. Exits 0 when it is, else 1. How the peers are makes no difference.
    ///
    /// Over https any certificate is taken, as nothing secret is sent. No password is needed for the agent's health route.
    Healthcheck(HealthcheckArgs),
    /// Print the reference of all metrics as Markdown
    MetricsReference,
    /// Print a script that completes the command line in a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
}

#[derive(Args, Debug, Default)]
#[command(after_help = "Examples:
  convex-peer-monitor run --config peers.yml
  convex-peer-monitor run --config peers.yml --shard 1/2 --log-format json")]
struct RunArgs {
    /// Configuration file [default: ./convex-peer-monitor.yml, /etc/convex-peer-monitor/config.yml, else Protonet's public peer]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Where to listen, such as 127.0.0.1:18880 [default: as configured]
    #[arg(long, value_name = "ADDR")]
    listen: Option<std::net::SocketAddr>,
    /// Poll only this part of the configured peers: of N agents this is number I, counted from 1, such as 1/4
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// How to log, on standard error [default: text on a terminal, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// How much to log
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor check-config /etc/convex-peer-monitor/config.yml
  convex-peer-monitor check-config --print peers.yml   # every default in it")]
struct CheckArgs {
    /// Configuration files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Print the effective configuration, secrets hidden
    #[arg(long)]
    print: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    /// Tell what this part of the configured peers costs, as `run --shard` polls it
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor probe tcp://10.0.0.5:18888 https://peer.convex.live
  convex-peer-monitor probe --config peers.yml
  convex-peer-monitor probe --config peers.yml --watch=2s
  convex-peer-monitor probe --config peers.yml --json | jq -r '.[].health'")]
struct ProbeArgs {
    /// Endpoints, as `tcp://host:18888` or `https://host`, each a peer of its own; none: the configured peers
    #[arg(value_name = "ENDPOINT", value_parser = Endpoint::parse, value_hint = ValueHint::Url)]
    endpoints: Vec<Endpoint>,
    /// Configuration file [default: as for run]
    #[arg(long, value_name = "FILE", conflicts_with = "endpoints", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Answer as JSON; with --watch one document a line
    #[arg(long)]
    json: bool,
    /// Deadline of a poll, such as 5s [default: as configured, else 5s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    timeout: Option<Duration>,
    /// Poll again and again until Ctrl-C, each 5s or as often as `--watch=2s` says; connections are kept. The table is
    /// redrawn in place on a terminal, else one follows the other. Exits with the verdict of the last whole round
    #[arg(
        long,
        value_name = "INTERVAL",
        value_parser = positive_duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s"
    )]
    watch: Option<Duration>,
    /// Whether the table has colour; auto: on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor decode 300568656c6c6f   # \"hello\"
  convex-peer-monitor decode --frame --json < captured-frames.hex")]
struct DecodeArgs {
    /// Content of a message in hexadecimal; `-` reads one a line from standard input
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
#[command(after_help = simulate::examples(), after_long_help = simulate::kinds_and_examples())]
struct SimulateArgs {
    /// How many peers, up to 10000
    #[arg(long, value_name = "N", default_value_t = 4)]
    peers: usize,
    /// What is wrong with whom, and when since the start: KIND[=VALUE]:PEERS[:FROM[..TO]], such as
    /// fork:2:10s, lag=40:3:30s..90s, tarpit:50%, skew=-5s:6; may be repeated. `--help` lists the kinds
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<String>,
    /// The first port: peer i has TCP on PORT+2(i-1) and HTTP on the next one; with more than 1000 peers it has an address of
    /// its own from 127.1.0.1 on, TCP on PORT and HTTP on PORT+1
    #[arg(long, value_name = "PORT", default_value_t = 28000)]
    listen_base: u16,
    /// Write the agent's configuration for this network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    write_config: Option<PathBuf>,
    /// Make a block each so often, such as 1s, or 1s:2,5 by these peers only [default: none, an idle network]
    #[arg(long, value_name = "PERIOD[:PEERS]")]
    traffic: Option<String>,
    /// Keys and genesis depend on this number and on that of the peers alone
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor healthcheck
  convex-peer-monitor healthcheck --url https://127.0.0.1:18880/-/healthy")]
struct HealthcheckArgs {
    /// The agent's health route
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18880/-/healthy", value_hint = ValueHint::Url)]
    url: url::Url,
    /// The certificate to show, in PEM, where the agent asks every client for one
    #[arg(long, value_name = "FILE", requires = "key_file", value_hint = ValueHint::FilePath)]
    cert_file: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert_file", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Where shells look for it:
  bash  /usr/local/share/bash-completion/completions/convex-peer-monitor
  zsh   /usr/local/share/zsh/site-functions/_convex-peer-monitor
  fish  /usr/local/share/fish/vendor_completions.d/convex-peer-monitor.fish

Examples:
  convex-peer-monitor completions fish | source   # for this shell alone")]
struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor man | man -l -
  convex-peer-monitor man /usr/local/share/man/man1")]
struct ManArgs {
    /// Where a page for the program and one for each command is written; without it the program's goes to standard output
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
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
        Some(Command::Completions(args)) => shell::completions(args.shell),
        Some(Command::Man(args)) => shell::man(args.dir.as_deref()),
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
    let options = check_config::Options {
        print: args.print,
        json: args.json,
        shard: args.shard.unwrap_or_default(),
    };
    let happenings = AgentMetrics::new()?;
    let series = |config: &Config| {
        happenings.counts.only(config.notify.receivers());
        metrics::series(config, &happenings.registry)
    };
    let valid = check_config::run(
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
