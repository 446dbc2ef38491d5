//! When and by what something was learned of a peer, for whoever shows it.

use std::time::Duration;

use convex_client::Transport;
use tokio::time::Instant;

use crate::fleet::PeerRecord;

use super::endpoint::Measured;

/// Something that is measured of a peer and grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The order's points.
    Order,
    /// The figures of one state.
    PollAnswer,
    /// The clock.
    Clock,
    /// How far the peer is behind the head.
    Lag,
    /// The process, as this host shows it.
    Process,
    /// The store, as this host shows it.
    Store,
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// How long ago.
    pub age: Duration,
    /// By which endpoint; none: not from one alone.
    pub via: Option<Transport>,
}

impl PeerRecord {
    /// When and by what `fact` was learned; none when it is not known or no longer shown.
    #[must_use]
    pub fn learned(&self, fact: Fact, now: Instant) -> Option<Learned> {
        match fact {
            Fact::Order => self.origin(self.order.as_ref(), now),
            Fact::PollAnswer => self.origin(self.figures.as_ref(), now),
            Fact::Clock => self.origin(self.clock.as_ref(), now),
            Fact::Lag => self.origin(self.lag.as_ref(), now),
            Fact::Process => self.origin(self.process.as_deref(), now),
            Fact::Store => self.origin(self.store.as_deref(), now),
        }
    }

    fn origin<T>(&self, measured: Option<&Measured<T>>, now: Instant) -> Option<Learned> {
        self.fresh(measured, now)?;
        measured.map(|measured| Learned {
            age: now.saturating_duration_since(measured.obtained),
            via: measured.via,
        })
    }
}
