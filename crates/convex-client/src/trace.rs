//! What happens while the HTTP client connects, told by its seams: the resolver, the TLS session store, the certificate
//! verifier and the connector. They run inside the task that asks, so they find its trace there.

use std::sync::Mutex;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::attempt::Phases;

tokio::task_local! {
    /// The trace of the ask that this task is in.
    pub(super) static TRACE: Trace;
}

/// Times of the steps of connecting. Empty when a kept connection was used.
#[derive(Debug, Default)]
pub(super) struct Trace(Mutex<Steps>);

#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    began: Option<Instant>,
    resolving: Option<Instant>,
    resolved: Option<Instant>,
    tls_began: Option<Instant>,
    connected: Option<Instant>,
    certificate_ends: Option<SystemTime>,
}

/// How far connecting came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// No connection was needed so far.
    Kept,
    /// Waiting for the resolver.
    Resolving,
    /// Waiting for the peer to accept.
    Connecting,
    /// In the TLS handshake.
    Handshaking,
    /// A new connection is made.
    Connected,
}

impl Trace {
    fn note(&self, step: impl FnOnce(&mut Steps)) {
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
            Steps { began: None, .. } => Progress::Kept,
            Steps {
                connected: Some(_), ..
            } => Progress::Connected,
            Steps {
                tls_began: Some(_), ..
            } => Progress::Handshaking,
            Steps {
                resolving: Some(_),
                resolved: None,
                ..
            } => Progress::Resolving,
            _ => Progress::Connecting,
        }
    }

    /// When the new connection was ready to be written to, if one was made.
    pub(super) fn connected(&self) -> Option<Instant> {
        self.steps().connected
    }

    pub(super) fn certificate_ends(&self) -> Option<SystemTime> {
        self.steps().certificate_ends
    }

    /// The phases that were seen from begin to end.
    pub(super) fn phases(&self) -> Phases {
        let steps = self.steps();
        let dialled = steps.resolved.or(steps.began);
        let accepted = steps.tls_began.or(steps.connected);
        let between =
            |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        Phases {
            resolve: between(steps.resolving, steps.resolved),
            connect: between(dialled, accepted),
            tls: between(steps.tls_began, steps.connected),
        }
    }
}

/// Notes a step in the trace of the current task. A connection that is finished by a background task, because the
/// asker got another one first, has no trace and is not noted.
fn note(step: impl FnOnce(&mut Steps)) {
    if TRACE.try_with(|trace| trace.note(step)).is_err() {
        tracing::trace!("a connection was made in the background");
    }
}

pub(super) fn connecting() {
    note(|steps| {
        *steps = Steps {
            began: Some(Instant::now()),
            certificate_ends: steps.certificate_ends,
            ..Steps::default()
        };
    });
}

pub(super) fn connected() {
    note(|steps| steps.connected = Some(Instant::now()));
}

pub(super) fn resolving() {
    note(|steps| steps.resolving = Some(Instant::now()));
}

pub(super) fn resolved() {
    note(|steps| steps.resolved = Some(Instant::now()));
}

pub(super) fn tls_began() {
    note(|steps| steps.tls_began = Some(Instant::now()));
}

pub(super) fn certificate(ends: Option<SystemTime>) {
    note(|steps| steps.certificate_ends = ends);
}
