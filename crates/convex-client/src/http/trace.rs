//! Trace of how an HTTP connection is made.
//!
//! reqwest does not report these steps, so its resolver, connector, certificate verifier and TLS
//! session store record them. They run in the task that sends the request and find the trace in a
//! task-local.

use std::sync::Mutex;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::attempt::Phases;

tokio::task_local! {
    /// Trace of the attempt that runs in this task.
    pub(super) static TRACE: Trace;
}

/// Times of the steps of connecting. Empty if an existing connection was used.
#[derive(Debug, Default)]
pub(super) struct Trace(Mutex<Steps>);

#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    connect_started: Option<Instant>,
    resolve_started: Option<Instant>,
    resolve_finished: Option<Instant>,
    tls_started: Option<Instant>,
    connected: Option<Instant>,
    certificate_ends: Option<SystemTime>,
}

/// Progress of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// An existing connection is used.
    Reused,
    /// Waiting for the resolver.
    Resolving,
    /// Waiting for the peer to accept the connection.
    Connecting,
    /// In the TLS handshake.
    Handshaking,
    /// A new connection is ready.
    Connected,
}

impl Trace {
    fn record(&self, step: impl FnOnce(&mut Steps)) {
        step(
            &mut self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }

    fn steps(&self) -> Steps {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Progress {
        let steps = self.steps();
        match steps {
            Steps {
                connect_started: None,
                ..
            } => Progress::Reused,
            Steps {
                connected: Some(_), ..
            } => Progress::Connected,
            Steps {
                tls_started: Some(_),
                ..
            } => Progress::Handshaking,
            Steps {
                resolve_started: Some(_),
                resolve_finished: None,
                ..
            } => Progress::Resolving,
            _ => Progress::Connecting,
        }
    }

    /// Returns the time at which a new connection was ready, if one was made.
    pub(super) fn connected(&self) -> Option<Instant> {
        self.steps().connected
    }

    pub(super) fn certificate_ends(&self) -> Option<SystemTime> {
        self.steps().certificate_ends
    }

    /// Returns the durations of the steps that both started and finished.
    pub(super) fn phases(&self) -> Phases {
        let steps = self.steps();
        let dialled = steps.resolve_finished.or(steps.connect_started);
        let accepted = steps.tls_started.or(steps.connected);
        let between =
            |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        Phases {
            resolve: between(steps.resolve_started, steps.resolve_finished),
            connect: between(dialled, accepted),
            tls: between(steps.tls_started, steps.connected),
        }
    }
}

/// Records a step in the trace of the current task. A connection that a background task finishes,
/// because the request got another connection first, has no trace.
fn record(step: impl FnOnce(&mut Steps)) {
    if TRACE.try_with(|trace| trace.record(step)).is_err() {
        tracing::trace!("connection made in the background");
    }
}

pub(super) fn connect_started() {
    record(|steps| {
        *steps = Steps {
            connect_started: Some(Instant::now()),
            certificate_ends: steps.certificate_ends,
            ..Steps::default()
        };
    });
}

pub(super) fn connected() {
    record(|steps| steps.connected = Some(Instant::now()));
}

pub(super) fn resolve_started() {
    record(|steps| steps.resolve_started = Some(Instant::now()));
}

pub(super) fn resolve_finished() {
    record(|steps| steps.resolve_finished = Some(Instant::now()));
}

pub(super) fn tls_started() {
    record(|steps| steps.tls_started = Some(Instant::now()));
}

pub(super) fn certificate_received(ends: Option<SystemTime>) {
    record(|steps| steps.certificate_ends = ends);
}
