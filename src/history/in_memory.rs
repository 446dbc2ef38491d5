//! The in-memory history of one peer: its last polls, unwritten summaries, and its last successful
//! and failed poll for transcripts.

use std::sync::Arc;
use std::time::SystemTime;

use convex_client::Transport;
use tokio::time::Instant;

use crate::config;
use crate::fleet::{LastPoll, Observation, PeerRecord};

use super::db::PeerKey;
use super::event::EventKind;
use super::peer_changes::PeerChanges;
use super::recent_polls::{Outcome, Poll, RecentPolls};
use super::summary::Summary;
use super::time::unix_minute;
use super::transcript::Transcript;

/// Largest number of unwritten minutes. Older ones are dropped, so that a full disk does not make
/// monitoring use more and more memory.
const MAX_UNWRITTEN_MINUTES: usize = 3;

/// A poll covers the time since the previous poll, but at most this many of the peer's longest
/// intervals.
const MAX_COVERED_INTERVALS: u32 = 2;

/// The in-memory history of one peer.
#[derive(Debug)]
pub(super) struct PeerHistory {
    key: PeerKey,
    recent: RecentPolls,
    /// Unwritten summaries by minute since the epoch.
    unwritten: Vec<(u32, Summary)>,
    last_poll: Option<Instant>,
    changes: PeerChanges,
    success: Option<Box<KeptPoll>>,
    failure: Option<Box<KeptPoll>>,
}

/// A poll from which a transcript can be made.
#[derive(Debug)]
struct KeptPoll {
    peer: Arc<config::Peer>,
    observation: Observation,
}

impl PeerHistory {
    /// Starts the history of a peer. The current state of `record` causes no events.
    pub(super) fn new(record: &PeerRecord) -> Self {
        let peer = &record.peer;
        Self {
            key: (peer.network.as_str().into(), peer.name.as_str().into()),
            recent: RecentPolls::default(),
            unwritten: Vec::new(),
            last_poll: None,
            changes: PeerChanges::new(record),
            success: None,
            failure: None,
        }
    }

    /// Returns whether this is the history of `peer`, which has the same name: a peer of another
    /// network is another peer.
    pub(super) fn belongs_to(&self, peer: &config::Peer) -> bool {
        *self.key.0 == *peer.network
    }

    pub(super) fn rename(&mut self, name: &str) {
        self.key.1 = name.into();
    }

    pub(super) fn key(&self) -> &PeerKey {
        &self.key
    }

    pub(super) fn recent(&self) -> &RecentPolls {
        &self.recent
    }

    /// Returns the transcripts of the last successful and the last failed poll.
    pub(super) fn transcripts(&self) -> [Option<Transcript>; 2] {
        [&self.success, &self.failure].map(|kept| {
            let kept = kept.as_ref()?;
            Some(Transcript::from_observation(&kept.peer, &kept.observation))
        })
    }

    pub(super) fn drop_transcripts(&mut self) {
        (self.success, self.failure) = (None, None);
    }

    /// Returns whether the peer is not up, so that its transcripts are kept even above the limit.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.changes.is_unhealthy()
    }

    /// Records a poll that `record` includes already.
    pub(super) fn record_poll(
        &mut self,
        record: &PeerRecord,
        observation: &Observation,
        now: Instant,
    ) {
        let began = observation.endpoints.first().map(|probed| probed.began);
        let poll = poll(
            record,
            observation,
            began.unwrap_or(SystemTime::UNIX_EPOCH),
            now,
        );
        let polling = &record.peer.polling;
        let longest = polling.max_interval.max(polling.interval) * MAX_COVERED_INTERVALS;
        let covered = self.last_poll.map_or(polling.interval, |previous| {
            now.saturating_duration_since(previous).min(longest)
        });
        self.last_poll = Some(now);
        self.recent.push(&poll);
        self.add_unwritten(unix_minute(poll.at), &Summary::from_poll(&poll, covered));
    }

    /// Keeps the last poll for its transcript.
    pub(super) fn keep_for_transcript(&mut self, record: &PeerRecord, observation: &Observation) {
        let kept = if record.last_poll.is_good() {
            &mut self.success
        } else {
            &mut self.failure
        };
        // Reuses the allocations of the previous poll.
        if let Some(kept) = kept {
            kept.observation.clone_from(observation);
            kept.peer = Arc::clone(&record.peer);
        } else {
            *kept = Some(Box::new(KeptPoll {
                peer: Arc::clone(&record.peer),
                observation: observation.clone(),
            }));
        }
    }

    /// Merges `summary` into the unwritten summary of its minute.
    fn add_unwritten(&mut self, minute: u32, summary: &Summary) {
        if let Some((_, unwritten)) = self.unwritten.iter_mut().find(|(at, _)| *at == minute) {
            unwritten.merge(summary);
            return;
        }
        // There are rarely more than two.
        self.unwritten.reserve_exact(1);
        self.unwritten.push((minute, summary.clone()));
        if self.unwritten.len() > MAX_UNWRITTEN_MINUTES {
            self.unwritten.remove(0);
        }
    }

    /// Takes back a summary that could not be written. It is older than the unwritten ones.
    pub(super) fn return_unwritten(&mut self, minute: u32, mut summary: Summary) {
        if let Some((_, unwritten)) = self.unwritten.iter_mut().find(|(at, _)| *at == minute) {
            summary.merge(unwritten);
            *unwritten = summary;
        } else if self.unwritten.len() < MAX_UNWRITTEN_MINUTES {
            self.unwritten.insert(0, (minute, summary));
        }
    }

    pub(super) fn unwritten(&self) -> &[(u32, Summary)] {
        &self.unwritten
    }

    /// Removes and returns the unwritten summaries.
    pub(super) fn take_unwritten(&mut self) -> Vec<(PeerKey, u32, Summary)> {
        let unwritten = std::mem::take(&mut self.unwritten).into_iter();
        unwritten
            .map(|(minute, summary)| (self.key.clone(), minute, summary))
            .collect()
    }

    /// Returns the events that follow from changes of `record` since the last call.
    pub(super) fn take_changes(&mut self, record: &PeerRecord) -> Vec<EventKind> {
        self.changes.take(record)
    }
}

/// Makes the [`Poll`] of an observation. Values that the record keeps from earlier polls are left
/// out.
fn poll(record: &PeerRecord, observation: &Observation, at: SystemTime, now: Instant) -> Poll {
    let mut failures = [None; Transport::ALL.len()];
    let mut latency = [None; Transport::ALL.len()];
    for probed in &observation.endpoints {
        failures[probed.transport as usize] = probed.reason();
        latency[probed.transport as usize] = probed.took;
    }
    // The binary endpoint comes last and has more data.
    let attempts = || {
        let attempts = observation.endpoints.iter().rev();
        attempts
            .filter(|probed| !probed.is_wrong())
            .map(|probed| &probed.attempt)
    };
    Poll {
        at,
        outcome: match record.last_poll {
            LastPoll::Good => Outcome::Up,
            LastPoll::Failed => Outcome::Failed,
            LastPoll::Excused | LastPoll::None => Outcome::Excused,
        },
        maintenance: record.in_maintenance(at),
        health: record.health,
        failures,
        latency,
        order: attempts().find_map(|attempt| Some(attempt.status.as_ref()?.value.order)),
        state_block: attempts()
            .find_map(|attempt| attempt.query.as_ref()?.value.as_ref().ok()?.state_block),
        lag: record.lag(now).filter(|_| record.last_poll.is_good()),
    }
}
