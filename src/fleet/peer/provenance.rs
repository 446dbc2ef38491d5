//! When and from which endpoint a measurement of a peer was obtained.

use std::time::Duration;

use convex_client::Transport;
use tokio::time::Instant;

use super::PeerRecord;
use super::endpoint::Measured;

/// A measurement of a peer that becomes outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// The points of its order.
    Order,
    /// Its state.
    PollAnswer,
    /// Its clock.
    Clock,
    /// How far it is behind the head.
    Lag,
    /// Its process, read from this host.
    Process,
    /// Its store, read from this host.
    Store,
}

/// Where a measurement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Time since it was obtained.
    pub age: Duration,
    /// The endpoint it comes from; none if not from a single one.
    pub via: Option<Transport>,
}

impl PeerRecord {
    /// Returns when and from which endpoint `measurement` was obtained; none if it is unknown or
    /// outdated.
    #[must_use]
    pub fn provenance(&self, measurement: Measurement, now: Instant) -> Option<Provenance> {
        match measurement {
            Measurement::Order => self.provenance_of(self.order.as_ref(), now),
            Measurement::PollAnswer => self.provenance_of(self.poll_answer.as_ref(), now),
            Measurement::Clock => self.provenance_of(self.clock.as_ref(), now),
            Measurement::Lag => self.provenance_of(self.lag.as_ref(), now),
            Measurement::Process => self.provenance_of(self.process.as_deref(), now),
            Measurement::Store => self.provenance_of(self.store.as_deref(), now),
        }
    }

    fn provenance_of<T>(&self, measured: Option<&Measured<T>>, now: Instant) -> Option<Provenance> {
        self.fresh(measured, now)?;
        measured.map(|measured| Provenance {
            age: now.saturating_duration_since(measured.obtained),
            via: measured.via,
        })
    }
}
