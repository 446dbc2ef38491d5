//! The place of one watched peer in the fleet: its record, and what the verdict on its network does
//! not include yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::config;

use super::network::record::NetworkRecord;
use super::network::ring::{MAX_BLOCKS, Shown};
use super::{PeerRecord, lock};

/// One watched peer.
#[derive(Debug)]
pub struct Slot {
    /// Identifies the peer among all that this process ever watched, whatever its name.
    pub(super) id: SlotId,
    pub(super) state: Mutex<SlotState>,
    pub(super) network: Arc<NetworkRecord>,
}

/// See [`Slot::id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(pub(super) u64);

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) record: Arc<PeerRecord>,
    /// Whether the peer is no longer watched.
    pub(super) retired: bool,
    pub(super) unjudged: Unjudged,
}

/// Polls of a peer that the last verdict on its network does not include.
#[derive(Debug, Default)]
pub(super) struct Unjudged {
    /// Whether the peer was polled.
    pub(super) polled: bool,
    /// The states that it showed, oldest first; no more than a ring holds.
    pub(super) states: Vec<Shown>,
}

impl Slot {
    pub(super) fn new(peer: Arc<config::Peer>, network: Arc<NetworkRecord>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: SlotId(NEXT.fetch_add(1, Ordering::Relaxed)),
            state: Mutex::new(SlotState {
                record: Arc::new(PeerRecord::new(peer)),
                retired: false,
                unjudged: Unjudged::default(),
            }),
            network,
        }
    }

    /// Changes the record, unless the peer is no longer watched.
    pub(super) fn update(&self, change: impl FnOnce(&mut PeerRecord)) {
        let mut state = lock(&self.state);
        if !state.retired {
            change(Arc::make_mut(&mut state.record));
        }
    }

    /// Returns the peer's record as it is now.
    #[must_use]
    pub fn record(&self) -> Arc<PeerRecord> {
        Arc::clone(&lock(&self.state).record)
    }

    /// Returns the peer as configured.
    #[must_use]
    pub fn peer(&self) -> Arc<config::Peer> {
        Arc::clone(&lock(&self.state).record.peer)
    }
}

impl Unjudged {
    /// Adds a state that the peer showed.
    pub(super) fn add_state(&mut self, shown: Shown) {
        if self.states.len() == MAX_BLOCKS {
            self.states.remove(0);
        }
        self.states.push(shown);
    }
}
