//! Definition of the command line: commands, options and their help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::agent::logging::{LogFormat, LogLevel};
use crate::config::Listen;
use crate::config::shard::Shard;

use super::agent_url::AgentUrl;
use super::operate::{
    AckArgs, ActionsArgs, IncidentArgs, MaintenanceArgs, SilenceArgs, StatusArgs,
};
use super::simulate;

/// Polls Convex peers over HTTP and the binary protocol, evaluates their health and exports
/// Prometheus metrics.
///
/// Without a command it runs the agent, as `run` does.
#[derive(Debug, Parser)]
#[command(
    name = "convex-peer-monitor",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  convex-peer-monitor                              # monitor Protonet's public peer
  convex-peer-monitor --config peers.yml           # monitor your own peers
  convex-peer-monitor probe tcp://10.0.0.5:18888   # poll a peer once

The web page is at http://127.0.0.1:18880/, metrics are at /metrics.
Run 'convex-peer-monitor help COMMAND' for details."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Monitor peers until SIGTERM or SIGINT (default command)
    ///
    /// SIGHUP reloads the configuration. An invalid file is rejected and logged; the running
    /// configuration stays active.
    ///
    /// Exit codes: 0 after a signal, 2 if the configuration is invalid (before a port is bound),
    /// 1 for any other error.
    Run(RunArgs),
    /// Validate configuration files and estimate their resource use
    ///
    /// Prints every error with file, line, column and what would be valid. For a valid file it
    /// prints polls per second, series and connections, and whether the limit of file descriptors
    /// is high enough.
    ///
    /// Exit codes: 0 if all files are valid, 2 if not.
    CheckConfig(CheckArgs),
    /// Poll peers once or repeatedly and print the results
    ///
    /// Prints a row per endpoint: values, duration of each step, identity of the peer, and
    /// problems. ORDER is the number of blocks known, proposed, agreed on and final, or one number
    /// if all are equal, and what the order does, if that can be told; STATE is the last executed
    /// block. Health is that of a single poll: nothing is averaged.
    ///
    /// The states of the peers of one network are compared at common blocks; peers with different
    /// ones are degraded. For lack of a common block, up to three peers are asked for their state
    /// up to 40 times within two seconds, and each other peer once.
    ///
    /// Exit codes: that of the worst peer, numbered as in Nagios: 0 ok, 1 degraded, 3 unknown,
    /// 2 down. 64 for an invalid command line; 2 with a message on standard error for an invalid
    /// configuration.
    Probe(ProbeArgs),
    /// Decode captured messages of the binary protocol and print them as Convex data
    ///
    /// Exit codes: 0, or 1 if an input could not be decoded; its line has the position and the
    /// problem.
    Decode(DecodeArgs),
    /// List and export the evidence of forks and of finality that went back
    ///
    /// The agent keeps it in `state_dir` when the trouble begins: the signed orders and blocks that
    /// prove it, to show to other operators. Their signatures are checked each time.
    Evidence(EvidenceArgs),
    /// Acknowledge an alert that fires at a running agent
    ///
    /// It is not repeated until it ends or gets worse, for at most 4 hours.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    Ack(AckArgs),
    /// Silence alerts of a running agent
    ///
    /// Nothing is sent about alerts with all of the given labels. Pages and metrics still show
    /// them.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    Silence(SilenceArgs),
    /// Begin or end maintenance of a peer or a network at a running agent
    ///
    /// It acts as the maintenance windows in the configuration do.
    Maintenance(MaintenanceArgs),
    /// List what operators did at a running agent, or end some of it
    ///
    /// Prints id, kind, labels, time and reason of each acknowledgement, silence and maintenance
    /// that has not ended, the oldest first.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    Actions(ActionsArgs),
    /// Write the status page of a running agent as files
    Status(StatusArgs),
    /// List the incidents of the status page, and set what it says about them
    Incident(IncidentArgs),
    /// Run a simulated network on loopback, optionally with faults
    ///
    /// Its peers speak both protocols, to try out the agent, its alerts and its dashboards. Ends
    /// on SIGTERM or SIGINT.
    Simulate(SimulateArgs),
    /// Send a test page through a receiver of notifications
    ///
    /// The page is marked as a test and ignores `min_severity`. Prints what the receiver answered.
    /// A page that would stay open is resolved at once.
    ///
    /// Exit codes: 0 if the receiver took the page, 1 if not, 2 if the configuration is invalid or
    /// has no such receiver.
    NotifyTest(NotifyTestArgs),
    /// Check whether a running agent is healthy
    ///
    /// Intended for the HEALTHCHECK of a container. Exit codes: 0 if the agent is healthy, 1 if
    /// not. Peer health does not affect the result.
    ///
    /// Over https any certificate is accepted, as nothing secret is sent. The agent's health route
    /// needs no password.
    Healthcheck(HealthcheckArgs),
    /// Print the reference of all metrics as Markdown
    MetricsReference,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
}

#[derive(Args, Debug, Default)]
#[command(after_help = "Examples:
  convex-peer-monitor run --config peers.yml
  convex-peer-monitor run --config peers.yml --shard 1/2 --log-format json")]
pub(super) struct RunArgs {
    /// Configuration file [default: ./convex-peer-monitor.yml, /etc/convex-peer-monitor/config.yml,
    /// else Protonet's public peer]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Where to listen, such as `127.0.0.1:18880` or `unix:/run/agent.sock` [default: as
    /// configured]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<Listen>,
    /// Poll only part I of the configured peers, split across N agents, such as 1/4
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,
    /// Format of the log on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Which messages to log
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: LogLevel,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor check-config /etc/convex-peer-monitor/config.yml
  convex-peer-monitor check-config --print peers.yml   # with every default
  convex-peer-monitor check-config --schema > convex-peer-monitor.schema.json")]
pub(super) struct CheckArgs {
    /// Configuration files
    #[arg(required_unless_present = "schema", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) files: Vec<PathBuf>,
    /// Print the effective configuration, without secrets
    #[arg(long)]
    pub(super) print: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print the JSON Schema of configurations, for editors, instead of checking files
    #[arg(long, conflicts_with_all = ["files", "print", "json", "shard"])]
    pub(super) schema: bool,
    /// Estimate the resource use of `run --shard` with this part of the configured peers
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<Shard>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor probe tcp://10.0.0.5:18888 https://peer.convex.live
  convex-peer-monitor probe --config peers.yml
  convex-peer-monitor probe --config peers.yml --watch=2s
  convex-peer-monitor probe --config peers.yml --json | jq -r '.[].health'
  convex-peer-monitor probe --config peers.yml --canary")]
pub(super) struct ProbeArgs {
    /// Names of configured peers, or endpoints such as `tcp://host:18888` or `https://host`, each
    /// polled as a separate peer [default: all configured peers]
    // Parsed later: an error about the argument would quote it, and parts of it can be secret.
    #[arg(value_name = "PEER|ENDPOINT", value_hint = ValueHint::Url)]
    pub(super) peers: Vec<String>,
    /// Configuration file [default: as for run]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Send one transaction of the canary through each own peer instead, and print its stages. The
    /// configuration needs a `canary`. The agent must not run on this host meanwhile. Exits with 0
    /// if all were executed, 2 if one was not, 3 if one was not sent
    #[arg(long, conflicts_with_all = ["peers", "json", "timeout", "watch"])]
    pub(super) canary: bool,
    /// Print JSON; with --watch, one document per line
    #[arg(long)]
    pub(super) json: bool,
    /// Deadline of a poll, such as 5s [default: as configured, else 5s]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub(super) timeout: Option<Duration>,
    /// Poll every 5s, or every INTERVAL (`--watch=2s`), until Ctrl-C, over the same connections. On
    /// a terminal the table is redrawn in place, else tables are appended. Exits with the code of
    /// the last complete round
    #[arg(
        long,
        value_name = "INTERVAL",
        value_parser = positive_duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s"
    )]
    pub(super) watch: Option<Duration>,
    /// When to use colour; auto: on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: ColorChoice,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor decode 300568656c6c6f   # \"hello\"
  convex-peer-monitor decode --frame --json < captured-frames.hex")]
pub(super) struct DecodeArgs {
    /// Content of a message in hexadecimal; `-` reads one per line from standard input
    #[arg(value_name = "HEX|-", default_value = "-")]
    pub(super) input: String,
    /// The input is a sequence of frames, each with its length in front
    #[arg(long)]
    pub(super) frame: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct EvidenceArgs {
    #[command(subcommand)]
    pub(super) command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum EvidenceCommand {
    /// List evidence and check its signatures
    ///
    /// Prints id, time, network, peer, condition and size of each file, the oldest first, and
    /// whether all signed orders and blocks in it are what it says.
    ///
    /// Exit codes: 0, or 1 if a file cannot be read or a signature is not valid.
    List(EvidenceListArgs),
    /// Print a file of evidence, or write it to another file
    ///
    /// Exit codes: 0, or 1 if there is no such evidence or it cannot be written.
    Export(EvidenceExportArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor notify-test ops
  convex-peer-monitor notify-test --config peers.yml heartbeat")]
pub(super) struct NotifyTestArgs {
    /// Name of the receiver under `notify`; `heartbeat` for the dead man's switch
    #[arg(value_name = "RECEIVER")]
    pub(super) receiver: String,
    /// Configuration file [default: as for run]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor evidence list
  convex-peer-monitor evidence list received.json   # what another operator has exported")]
pub(super) struct EvidenceListArgs {
    /// Exported files [default: the evidence in `state_dir`]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) files: Vec<PathBuf>,
    /// Configuration file, which names the `state_dir` [default: as for run]
    #[arg(long, value_name = "FILE", conflicts_with = "files", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor evidence export 20261129T190102Z-forked-1a2b3c4d --output fork.json")]
pub(super) struct EvidenceExportArgs {
    /// Id of the evidence, as listed
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// File to write; `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(super) output: PathBuf,
    /// Configuration file, which names the `state_dir` [default: as for run]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = simulate::examples(), after_long_help = simulate::kinds_and_examples())]
pub(super) struct SimulateArgs {
    /// Number of peers, up to 10000
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) peers: usize,
    /// Fault to inject: which kind, on which peers, and when, as KIND[=VALUE]:PEERS[:FROM[..TO]]
    /// with times since the start, such as fork:2:10s, lag=40:3:30s..90s, tarpit:50%, skew=-5s:6;
    /// may be repeated. `--help` lists the kinds
    #[arg(long = "fault", value_name = "SPEC")]
    pub(super) faults: Vec<String>,
    /// First port: peer i listens on PORT+2(i-1) for TCP and on the next port for HTTP; with more
    /// than 1000 peers each has its own address, from 127.1.0.1, with TCP on PORT and HTTP on
    /// PORT+1
    #[arg(long, value_name = "PORT", default_value_t = 28000)]
    pub(super) listen_base: u16,
    /// Write a configuration of the agent for this network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) write_config: Option<PathBuf>,
    /// Write only these peers to the configuration, such as 1-4 [default: all]
    #[arg(long, value_name = "PEERS", requires = "write_config")]
    pub(super) watch: Option<String>,
    /// Produce a block every PERIOD, e.g. 1s; random:1s does so at random intervals of 1s on
    /// average; 1s:2,5 lets only peers 2 and 5 do so [default: no blocks, an idle network]
    #[arg(long, value_name = "[random:]PERIOD[:PEERS]")]
    pub(super) traffic: Option<String>,
    /// Register N more peers, which nobody runs, each with an own stake of CVM [default stake: 0]
    #[arg(long, value_name = "N[:CVM]")]
    pub(super) registered: Option<String>,
    /// Create an account with the key in this file and so many CVM, which can make transactions;
    /// may be repeated [default balance: 1]
    #[arg(long = "account", value_name = "KEY_FILE[:CVM]")]
    pub(super) accounts: Vec<String>,
    /// Release whose protocol the peers speak: 0.8.0, 0.8.6 or 0.8.17 [default: 0.8.6, or 0.8.17
    /// with an upgrade]
    #[arg(long, value_name = "RELEASE")]
    pub(super) release: Option<String>,
    /// Seed of keys and genesis hash, which depend only on it and on the numbers of peers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor healthcheck
  convex-peer-monitor healthcheck --url https://127.0.0.1:18880/-/healthy")]
pub(super) struct HealthcheckArgs {
    /// URL of the agent's health route, or unix:PATH of its Unix socket
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18880/-/healthy", value_hint = ValueHint::Url)]
    pub(super) url: AgentUrl,
    /// Client certificate (PEM), if the agent requires one
    #[arg(long, value_name = "FILE", requires = "key_file", value_hint = ValueHint::FilePath)]
    pub(super) cert_file: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert_file", value_hint = ValueHint::FilePath)]
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Where shells look for completions:
  bash  /usr/local/share/bash-completion/completions/convex-peer-monitor
  zsh   /usr/local/share/zsh/site-functions/_convex-peer-monitor
  fish  /usr/local/share/fish/vendor_completions.d/convex-peer-monitor.fish

Examples:
  convex-peer-monitor completions fish | source   # for the current shell only")]
pub(super) struct CompletionsArgs {
    /// Shell to print the script for
    pub(super) shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor man | man -l -
  convex-peer-monitor man /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Directory for a page of the program and one of each command; without it, the page of the
    /// program is printed
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) dir: Option<PathBuf>,
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be longer than zero, such as 5s".to_owned()),
        Err(error) => Err(format!("{error}; expected a duration such as 5s or 500ms")),
    }
}
