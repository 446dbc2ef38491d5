//! `run`: loads the configuration, binds the port, handles signals and runs the agent.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use convex_client::reload_system_roots;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::agent::logging;
use crate::agent::systemd::{self, PassedSocket, PassedSockets};
use crate::agent::{self, Listeners, Source};
use crate::config::{self, DescriptorLimit, Listen};
use crate::supervisor::Supervisor;
use crate::web::{Listener, ReloadRequest};

use super::args::RunArgs;
use super::{BAD_CONFIG, runtime};

/// Reload requests that are queued; more would read the same file again.
const QUEUED_RELOADS: usize = 1;

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    // Before there are other threads.
    let passed = PassedSockets::take();
    logging::init(args.log_format, args.log_level);
    raise_descriptor_limit();
    let passed = passed.context("cannot use the sockets that the service manager passed")?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let outcome = start(args, passed).await;
        logging::flush().await;
        outcome
    });
    // A task that still waits for a disk or a resolver must not delay the exit.
    runtime.shutdown_background();
    outcome
}

/// Loads the configuration and runs the agent, until a signal stops it.
async fn start(args: RunArgs, passed: PassedSockets) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install()?;
    let source = Source {
        file: args.config.or_else(config::find),
        shard: args.shard.unwrap_or_default(),
    };
    let reading = source.clone();
    let loading = tokio::task::spawn_blocking(move || {
        // Read here, because these files can hang too.
        reload_system_roots();
        reading.load()
    });
    let config = tokio::select! {
        () = signals.stop() => return Ok(ExitCode::SUCCESS),
        loaded = loading => match loaded? {
            Ok(config) => config,
            Err(errors) => {
                // If this cannot be printed, neither can an error about it.
                drop(writeln!(io::stderr(), "{errors}"));
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        },
    };
    if let Some(file) = &source.file {
        tracing::info!(file = %file.display(), "using the configuration file");
    } else {
        tracing::info!(
            "no configuration file found; using the built-in default, Protonet's public peer"
        );
    }
    let listen = args.listen.as_ref().unwrap_or(&config.listen);
    let listeners = listeners(passed, listen).await?;
    let supervisor = Supervisor::new(CancellationToken::new());
    let (reloads, reload_requests) = mpsc::channel(QUEUED_RELOADS);
    let liveness = supervisor.liveness().clone();
    supervisor.start("watchdog", move || systemd::feed_watchdog(liveness.clone()));
    let handling = signals.handle(reloads.clone(), supervisor.stop().clone());
    supervisor.start_essential("signals", handling);
    agent::run(
        source,
        config,
        listeners,
        (reloads, reload_requests),
        supervisor,
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the sockets that a service manager passed, or binds one at `listen`.
async fn listeners(passed: PassedSockets, listen: &Listen) -> anyhow::Result<Listeners> {
    let own = match passed.own {
        Some(socket) => {
            let own = socket.into_listener()?;
            tracing::info!(
                listen = %own.address()?,
                "listening on the socket that the service manager passed; `listen` has no effect"
            );
            own
        }
        None => Listener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen}; choose another address with --listen or `listen:`")
        })?,
    };
    let status = passed.status.map(PassedSocket::into_listener).transpose()?;
    Ok(Listeners { own, status })
}

/// The signals that the agent handles, from its creation on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Stops on SIGTERM and SIGINT, reloads on SIGHUP.
    async fn handle(mut self, reloads: mpsc::Sender<ReloadRequest>, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    let (answer, _) = oneshot::channel();
                    // A queued reload will read the current file, so dropping this one loses
                    // nothing.
                    if let Err(error) = reloads.try_send(answer) {
                        tracing::debug!(%error, "a reload is already queued");
                    }
                }
            }
        }
        systemd::stopping();
        stop.cancel();
    }
}

/// Raises the limit of file descriptors as far as the system allows: each endpoint needs one.
pub(super) fn raise_descriptor_limit() {
    match DescriptorLimit::raise() {
        Ok(limit) => tracing::debug!(limit, "raised the limit of file descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of file descriptors"),
    }
}
