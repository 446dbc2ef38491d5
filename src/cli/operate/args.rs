//! Definition of the commands that act on a running agent.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueHint};

use crate::cli::agent_url::AgentUrl;
use crate::cli::args::positive_duration;

/// Which agent to ask, and as whom.
#[derive(Args, Debug)]
pub(in crate::cli) struct AgentArgs {
    #[command(flatten)]
    pub(in crate::cli) connection: ConnectionArgs,
    /// Who you are, for others to see [default: the user of this session]
    #[arg(long = "by", value_name = "NAME")]
    pub(in crate::cli) created_by: Option<String>,
}

/// Which agent to ask.
#[derive(Args, Debug)]
pub(in crate::cli) struct ConnectionArgs {
    /// Base URL of the agent, or unix:PATH of its Unix socket
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:18880/", value_hint = ValueHint::Url)]
    pub(in crate::cli) url: AgentUrl,
    /// User name, if the agent requires a password
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(in crate::cli) user: Option<String>,
    /// File with the password of the user
    #[arg(long, value_name = "FILE", requires = "user", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// CA certificates (PEM) to trust over https [default: those of the system]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) ca_file: Option<PathBuf>,
}

/// Which alerts are meant, by their labels.
#[derive(Args, Debug)]
pub(in crate::cli) struct LabelArgs {
    /// Only with this severity
    #[arg(long, value_name = "SEVERITY")]
    pub(in crate::cli) severity: Option<String>,
    /// Only about this peer
    #[arg(long, value_name = "PEER")]
    pub(in crate::cli) peer: Option<String>,
    /// Only about this network, or peers of it
    #[arg(long, value_name = "NETWORK")]
    pub(in crate::cli) network: Option<String>,
    /// Only about this service of the network
    #[arg(long, value_name = "SERVICE")]
    pub(in crate::cli) service: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor ack ConvexPeerDown --peer paris-1 --comment 'disk full, clearing it'
  convex-peer-monitor ack ConvexConsensusStalled --network protonet --comment 'calling operators' --for 1h")]
pub(in crate::cli) struct AckArgs {
    /// Name of the alert
    pub(in crate::cli) alertname: String,
    #[command(flatten)]
    pub(in crate::cli) labels: LabelArgs,
    /// Why: what you do about it
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) comment: String,
    /// How long it lasts, at most 4h [default: 4h]
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub(in crate::cli) length: Option<Duration>,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor silence --peer paris-1 --for 4h --comment 'moving it to another host'
  convex-peer-monitor silence --alertname ConvexClockSkew --for 7d --comment 'known, fixed in 0.9'")]
pub(in crate::cli) struct SilenceArgs {
    /// Name of the alerts
    #[arg(long, value_name = "ALERT", required_unless_present_any = ["severity", "peer", "network", "service"])]
    pub(in crate::cli) alertname: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) labels: LabelArgs,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) comment: String,
    /// How long it lasts, at most 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub(in crate::cli) length: Duration,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct MaintenanceArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: MaintenanceCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MaintenanceCommand {
    /// Begin maintenance of a peer, or of all peers of a network
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    Start(MaintenanceStartArgs),
    /// End maintenance that was begun with `start`
    ///
    /// Exit codes: 0, or 1 if there is none, or the agent refused or did not answer.
    End(MaintenanceEndArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor maintenance start paris-1 --for 1h --comment 'new kernel'
  convex-peer-monitor maintenance start network:testnet --for 2h --at 2026-12-01T22:00:00Z --comment 'reset'")]
pub(in crate::cli) struct MaintenanceStartArgs {
    /// Name of a peer or a network; peer:NAME or network:NAME if there are both
    #[arg(value_name = "PEER|NETWORK")]
    pub(in crate::cli) target: String,
    /// How long it lasts, at most 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub(in crate::cli) length: Duration,
    /// When it begins, such as 2026-12-01T22:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) at: Option<SystemTime>,
    /// What is done
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) comment: String,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct MaintenanceEndArgs {
    /// Name of a peer or a network; peer:NAME or network:NAME if there are both
    #[arg(value_name = "PEER|NETWORK")]
    pub(in crate::cli) target: String,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ActionsArgs {
    /// End the action with this id
    #[arg(long, value_name = "ID", conflicts_with = "json")]
    pub(in crate::cli) end: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct IncidentArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: IncidentCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum IncidentCommand {
    /// List the incidents of the status page, the newest first
    ///
    /// Prints id, public name, state, time and cause of each, and its note.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    List(IncidentListArgs),
    /// Set or remove the text that the status page shows about an incident
    ///
    /// Everybody can read it. It takes the place of the text before.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer.
    Note(IncidentNoteArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct IncidentListArgs {
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) connection: ConnectionArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor incident note 1796022000123 'A disk was full. It is replaced.'
  convex-peer-monitor incident note 1796022000123 --remove")]
pub(in crate::cli) struct IncidentNoteArgs {
    /// Id of the incident, as listed
    pub(in crate::cli) id: u64,
    /// What everybody may read about it: one line of at most 1000 characters
    #[arg(required_unless_present = "remove")]
    pub(in crate::cli) text: Option<String>,
    /// Remove the text
    #[arg(long, conflicts_with = "text")]
    pub(in crate::cli) remove: bool,
    #[command(flatten)]
    pub(in crate::cli) agent: AgentArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct StatusArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: StatusCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StatusCommand {
    /// Write the status page as files for a web server
    ///
    /// Each file is replaced at once, so a web server never serves half of one. If the agent does
    /// not answer, the page that is there already says from then on that no state is known.
    ///
    /// Exit codes: 0, or 1 if the agent refused or did not answer, or a file cannot be written.
    Export(StatusExportArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  convex-peer-monitor status export /var/www/status
  convex-peer-monitor status export --url https://mon.example/ --user cron --password-file pw ./site")]
pub(in crate::cli) struct StatusExportArgs {
    /// Directory to write to; made if it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) dir: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) connection: ConnectionArgs,
}

/// Parses a time in RFC 3339.
fn time(text: &str) -> Result<SystemTime, String> {
    let parsed = humantime::parse_rfc3339(text);
    parsed.map_err(|_| format!("{text:?} is not a time; expected such as 2026-12-01T22:00:00Z"))
}
