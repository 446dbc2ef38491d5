//! `simulate`: runs a simulated network until a signal, and writes the agent's configuration for
//! it.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use convex_client::transaction::AccountKey;
use convex_simulator::{
    FAULT_KINDS, Network, NewAccount, Options, PeerSet, Registered, Release, Script, StartError,
    Traffic, required_descriptors,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::logging::{self, LogFormat, LogLevel};
use crate::config::DescriptorLimit;

use super::args::SimulateArgs;
use super::run::raise_descriptor_limit;
use super::{BAD_CONFIG, print, runtime, write_file};

pub(super) fn simulate(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, LogLevel::Info);
    let (options, watched) = match options(args) {
        Ok(read) => read,
        Err(error) => {
            writeln!(io::stderr(), "convex-peer-monitor simulate: {error:#}")?;
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    raise_descriptor_limit();
    let needed = required_descriptors(args.peers);
    let limit = DescriptorLimit::current();
    if needed > limit.soft {
        writeln!(
            io::stderr(),
            "a network of {} peers {}",
            args.peers,
            limit.describe(needed)
        )?;
    }
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let network = match Network::start(options).await {
            Err(error @ StartError::InUse { .. }) => anyhow::bail!("{error} with --listen-base"),
            started => started?,
        };
        if let Some(file) = &args.write_config {
            write_file(file, network.config_of(&watched).as_bytes())
                .with_context(|| format!("cannot write the configuration to {}", file.display()))?;
        }
        print(&summary(&network, args))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(network);
        Ok(ExitCode::SUCCESS)
    })
}

/// Reads the options of the network, and the peers to write to the configuration.
fn options(args: &SimulateArgs) -> anyhow::Result<(Options, PeerSet)> {
    let peers = args.peers;
    anyhow::ensure!(peers > 0, "a network needs at least 1 peer");
    let script = Script::parse(args.faults.iter().map(String::as_str), peers)?;
    let traffic = args.traffic.as_deref();
    let traffic = traffic
        .map(|text| Traffic::parse(text, peers))
        .transpose()?;
    let release = args.release.as_deref().map(Release::parse);
    let registered = args.registered.as_deref().map(Registered::parse);
    let watched = args.watch.as_deref().unwrap_or("all");
    let watched = PeerSet::parse(watched, peers).context("--watch")?;
    let accounts = args.accounts.iter().map(|text| account(text));
    let options = Options {
        peers,
        seed: args.seed,
        accounts: accounts.collect::<anyhow::Result<_>>()?,
        registered: registered.transpose()?.unwrap_or_default(),
        release: release.transpose()?,
        script,
        traffic,
        first_port: Some(args.listen_base),
    };
    Ok((options, watched))
}

/// Reads `KEY_FILE[:CVM]`.
fn account(text: &str) -> anyhow::Result<NewAccount> {
    let (file, cvm) = match text.rsplit_once(':') {
        Some((file, cvm)) if cvm.parse::<f64>().is_ok() => (file, Some(cvm)),
        _ => (text, None),
    };
    let key = AccountKey::from_file(Path::new(file));
    let key = key.map_err(|error| anyhow::anyhow!("--account: the key file {file} {error}"))?;
    let account = NewAccount::new(key.public_key());
    let account = cvm.map_or(Ok(account), |cvm| account.with_cvm(cvm));
    account.context("--account")
}

/// Describes the running network: its genesis, the addresses of its first and last peer.
fn summary(network: &Network, args: &SimulateArgs) -> String {
    let last = network.len();
    let (genesis, peers) = (network.genesis(), if last == 1 { "peer" } else { "peers" });
    let mut lines = vec![format!(
        "simulated network of {last} {peers}, genesis {genesis}"
    )];
    for i in if last > 1 { vec![1, last] } else { vec![1] } {
        let (tcp, http) = (network.tcp(i), network.http(i));
        lines.push(format!("  sim-{i}: tcp://{tcp} http://{http}"));
    }
    for (i, account) in args.accounts.iter().enumerate() {
        let number = network.account(i);
        lines.push(format!("  account #{number} for {account}"));
    }
    if let Some(file) = &args.write_config {
        let file = file.display();
        lines.push(format!(
            "to monitor it: convex-peer-monitor run --config {file}"
        ));
    }
    lines.join("\n") + "\n"
}

/// Examples for the short help.
pub(super) fn examples() -> &'static str {
    "Examples:
  convex-peer-monitor simulate --peers 4 --traffic 1s --fault fork:2:30s --write-config sim.yml
  convex-peer-monitor run --config sim.yml   # in another terminal"
}

/// Kinds of faults and examples for the long help.
pub(super) fn kinds_and_examples() -> String {
    let width = FAULT_KINDS
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let lines: Vec<_> = FAULT_KINDS
        .iter()
        .map(|(name, meaning)| format!("  {name:width$}  {meaning}"))
        .collect();
    format!("Kinds of faults:\n{}\n\n{}", lines.join("\n"), examples())
}
