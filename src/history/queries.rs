//! Reads the history: from memory, and from the database merged with unwritten summaries.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::agreement::AgreementSpan;
use super::db::{ReadError, Resolution, Thread};
use super::event::Event;
use super::event_log::Subscription;
use super::recent_polls::Poll;
use super::recorder::{History, lock};
use super::series::{MAX_SERIES_POINTS, Series, merge_into_step, step_minutes};
use super::time::{HOUR, unix_minute};
use super::transcript::Transcript;
use super::uptime::{Uptime, WINDOWS, first_hour, uptimes};

/// Transcripts of a peer's last polls. One that was not kept is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcripts {
    /// The last successful poll.
    pub success: Option<Transcript>,
    /// The last failed poll.
    pub failure: Option<Transcript>,
}

impl History {
    /// Returns the last polls of a peer, oldest first, at most [`super::POLLS_KEPT`]; `None` if the
    /// peer is not watched.
    #[must_use]
    pub fn recent(&self, peer: &str) -> Option<Vec<Poll>> {
        let peer_history = self.peer(peer)?;
        // Decode the polls only after the lock is released.
        let recent = lock(&peer_history).recent().clone();
        Some(recent.polls())
    }

    /// Returns the transcripts of a peer's last polls; `None` if the peer is not watched.
    #[must_use]
    pub fn transcripts(&self, peer: &str) -> Option<Transcripts> {
        let peer_history = self.peer(peer)?;
        let [success, failure] = lock(&peer_history).transcripts();
        Some(Transcripts { success, failure })
    }

    /// Returns a peer's history from `from` to `to` in steps of `step`. The step is longer if that
    /// resolution is not stored (minutes are kept for 24 h, hours for 90 d) or if it would make
    /// more than [`MAX_SERIES_POINTS`].
    ///
    /// # Errors
    /// The peer is not watched, or the database cannot be read.
    pub async fn series(
        &self,
        peer: &str,
        from: SystemTime,
        to: SystemTime,
        step: Duration,
    ) -> Result<Series, ReadError> {
        let peer_history = self.peer(peer).ok_or(ReadError::NotWatched)?;
        let key = lock(&peer_history).key().clone();
        let (first, last) = (unix_minute(from), unix_minute(to));
        let read = move |thread: &mut Thread| {
            thread.read(|store| {
                let mut resolution = store.resolution_of((first, last))?;
                let minutes = u64::from(last.saturating_sub(first));
                if step >= HOUR || minutes > u64::from(MAX_SERIES_POINTS) * 60 {
                    resolution = Resolution::Hour;
                }
                let steps = (first / resolution.minutes(), last / resolution.minutes());
                let mut summaries = store.summaries(&key, resolution, steps)?;
                // Only this thread writes, so no summary is read twice or missed. The peer is not
                // locked while the disk is read, because that would block its polls.
                for (minute, summary) in lock(&peer_history).unwritten() {
                    let at = minute / resolution.minutes();
                    if (steps.0..=steps.1).contains(&at) {
                        merge_into_step(&mut summaries, at, summary);
                    }
                }
                Ok((resolution, summaries))
            })
        };
        let (resolution, summaries) = self.db.query(read).await?;
        let step_minutes = step_minutes(resolution, (first, last), step);
        Ok(Series::from_summaries(resolution, summaries, step_minutes))
    }

    /// Returns a peer's uptime over each of [`WINDOWS`].
    ///
    /// # Errors
    /// The peer is not watched, or the database cannot be read.
    pub async fn uptime(&self, peer: &str) -> Result<[Uptime; WINDOWS.len()], ReadError> {
        let peer_history = self.peer(peer).ok_or(ReadError::NotWatched)?;
        let key = lock(&peer_history).key().clone();
        let now = SystemTime::now();
        let read = move |thread: &mut Thread| {
            thread.read(|store| {
                let longest = WINDOWS[WINDOWS.len() - 1];
                let hours = (first_hour(longest, now), unix_minute(now) / 60);
                let mut summaries = store.summaries(&key, Resolution::Hour, hours)?;
                for (minute, summary) in lock(&peer_history).unwritten() {
                    merge_into_step(&mut summaries, minute / 60, summary);
                }
                Ok(summaries)
            })
        };
        let summaries = self.db.query(read).await?;
        Ok(uptimes(&summaries, now))
    }

    /// Returns the events after the one with this id, oldest first.
    #[must_use]
    pub fn events_since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        self.log.since(id, limit)
    }

    /// Returns the last events of a peer, newest first.
    #[must_use]
    pub fn peer_events(&self, peer: &str, limit: usize) -> Vec<Arc<Event>> {
        let is_of_peer = |event: &Event| event.peer.as_deref() == Some(peer);
        self.log.newest(is_of_peer, limit)
    }

    /// Returns how many states and histories a network had, and when: oldest first.
    #[must_use]
    pub fn agreement(&self, network: &str) -> Vec<AgreementSpan> {
        self.agreement.of(network)
    }

    /// Returns the last matching events, newest first.
    #[must_use]
    pub fn newest_events(&self, matches: impl Fn(&Event) -> bool, limit: usize) -> Vec<Arc<Event>> {
        self.log.newest(matches, limit)
    }

    /// Returns the event with this id, if it is still kept.
    #[must_use]
    pub fn event(&self, id: u64) -> Option<Arc<Event>> {
        self.log.get(id)
    }

    /// Returns the oldest event that is kept.
    #[must_use]
    pub fn oldest_event(&self) -> Option<Arc<Event>> {
        self.log.oldest()
    }

    /// Subscribes to the events after the one with id `after`, or to all future events.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        self.log.subscribe(after)
    }
}
