//! `run`: the configuration, the port, the signals, and then the agent.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::agent::logging;
use crate::agent::systemd;
use crate::agent::{self, Source};
use crate::config::{self, DescriptorLimit};
use crate::web::ReloadRequest;

use super::{BAD_CONFIG, RunArgs, runtime};

/// Reloads that may wait; a storm of signals asks for no more than that.
const WAITING_RELOADS: usize = 1;

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    logging::init(args.log_format, args.log_level);
    let source = Source {
        file: args.config.or_else(config::find),
        shard: args.shard.unwrap_or_default(),
    };
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => {
            writeln!(io::stderr(), "{errors}")?;
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    if let Some(file) = &source.file {
        tracing::info!(file = %file.display(), "using this configuration");
    } else {
        tracing::info!("no configuration file: using the embedded default, Protonet's public peer");
    }
    raise_descriptor_limit();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let signals = Signals::catch()?;
        let address = args.listen.unwrap_or(config.listen);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; --listen or `listen:` sets another address")
        })?;
        let stop = CancellationToken::new();
        let (reloads, asked) = mpsc::channel(WAITING_RELOADS);
        tokio::spawn(systemd::feed_watchdog());
        tokio::spawn(signals.obey(reloads.clone(), stop.clone()));
        agent::run(source, config, listener, (reloads, asked), stop).await?;
        Ok(ExitCode::SUCCESS)
    });
    // Whatever still waits for a disk that does not answer must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// The signals that the agent obeys. Caught from the moment this is made: before that each of them ends the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM and SIGINT stop, SIGHUP reloads.
    async fn obey(mut self, reloads: mpsc::Sender<ReloadRequest>, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    let (answer, _) = oneshot::channel();
                    // One that waits already reads the file that is there then; a full queue loses nothing.
                    if let Err(error) = reloads.try_send(answer) {
                        tracing::debug!(%error, "a reload is waiting already");
                    }
                }
            }
        }
        systemd::stopping();
        stop.cancel();
    }
}

/// Each endpoint needs a descriptor: takes all that the system grants.
pub(super) fn raise_descriptor_limit() {
    match DescriptorLimit::raise() {
        Ok(limit) => tracing::debug!(limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors stays as it is"),
    }
}
