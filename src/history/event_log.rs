//! The last events in memory, and subscriptions to new ones. Does no I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::fleet::Rename;

use super::event::{Event, EventKind};
use super::time::unix_millis;

/// Number of events kept, in memory and in the database.
pub const EVENTS_KEPT: usize = 10_000;

/// A subscriber that lags behind by more events reads them from the log instead of its channel.
const CHANNEL_CAPACITY: usize = 256;

/// Gap between the last written id and the next one after a restart: larger than the number of
/// events in a batch that may have been lost.
const RESTART_ID_GAP: u64 = 1 << 20;

/// Largest id of a stored event; higher ones are damaged. It leaves room for more ids than agents
/// will ever use, and JavaScript counts exactly up to twice as far.
pub(super) const MAX_STORED_ID: u64 = 1 << 52;

/// The last events and their subscribers.
#[derive(Debug)]
pub(super) struct EventLog {
    buffer: Mutex<EventBuffer>,
    subscribers: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug)]
struct EventBuffer {
    events: VecDeque<Arc<Event>>,
    next_id: u64,
    /// Id of the last event in the database.
    last_written: u64,
}

/// The peer and network of an event; neither if it is about the agent itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventSubject<'a> {
    pub(super) peer: Option<&'a str>,
    pub(super) network: Option<&'a str>,
}

impl EventLog {
    /// Creates an empty log. Ids start at the time in milliseconds: no agent has more than one
    /// event per millisecond, so ids increase across restarts even if nothing is stored.
    pub(super) fn new(now: SystemTime) -> Self {
        let buffer = EventBuffer {
            events: VecDeque::new(),
            next_id: unix_millis(now).clamp(1, MAX_STORED_ID),
            last_written: 0,
        };
        Self {
            buffer: Mutex::new(buffer),
            subscribers: broadcast::channel(CHANNEL_CAPACITY).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, EventBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event and sends it to the subscribers.
    pub(super) fn push(&self, at: SystemTime, subject: EventSubject<'_>, kind: EventKind) {
        let mut buffer = self.lock();
        let event = Arc::new(Event {
            id: buffer.next_id,
            at_ms: unix_millis(at),
            peer: subject.peer.map(str::to_owned),
            network: subject.network.map(str::to_owned),
            kind,
        });
        buffer.next_id += 1;
        buffer.events.push_back(Arc::clone(&event));
        buffer.trim();
        // Sent under the lock to keep the order. Fails if there are no subscribers.
        drop(self.subscribers.send(event));
    }

    /// Gives the events of peers their new names.
    pub(super) fn rename(&self, renames: &[Rename]) {
        for event in &mut self.lock().events {
            for rename in renames {
                let is_of_peer = event.peer.as_ref() == Some(&rename.from)
                    && event.network.as_ref() == Some(&rename.network);
                if is_of_peer {
                    Arc::make_mut(event).peer = Some(rename.to.clone());
                }
            }
        }
    }

    /// Adds the stored events, which are older than all others. The others count as unwritten; if
    /// the stored ids are higher, because a clock was ahead once, they get new ids.
    pub(super) fn restore(&self, stored: Vec<Event>) {
        let mut buffer = self.lock();
        let last = stored.last().map_or(0, |event| event.id);
        buffer.next_id = buffer.next_id.max(last + RESTART_ID_GAP);
        buffer.last_written = last;
        if buffer.events.front().is_some_and(|event| event.id <= last) {
            for (id, event) in (last + RESTART_ID_GAP..).zip(&mut buffer.events) {
                Arc::make_mut(event).id = id;
            }
            buffer.next_id = last + RESTART_ID_GAP + buffer.events.len() as u64;
        }
        for event in stored.into_iter().rev() {
            buffer.events.push_front(Arc::new(event));
        }
        buffer.trim();
    }

    /// Sets the last event in the database, which may have been replaced by another one.
    pub(super) fn set_last_written(&self, id: u64) {
        let mut buffer = self.lock();
        buffer.last_written = id;
        buffer.next_id = buffer.next_id.max(id + 1);
    }

    /// Returns the unwritten events.
    pub(super) fn unwritten(&self) -> Vec<Arc<Event>> {
        let buffer = self.lock();
        buffer.since(buffer.last_written, EVENTS_KEPT)
    }

    pub(super) fn has_unwritten(&self) -> bool {
        let buffer = self.lock();
        let last = buffer.events.back();
        last.is_some_and(|event| event.id > buffer.last_written)
    }

    /// Marks the events up to `id` as written.
    pub(super) fn mark_written(&self, id: u64) {
        let mut buffer = self.lock();
        buffer.last_written = buffer.last_written.max(id);
    }

    /// Returns the events after `id`, oldest first.
    pub(super) fn since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        self.lock().since(id, limit)
    }

    /// Returns the event with this id.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Event>> {
        let buffer = self.lock();
        let found = buffer.events.binary_search_by_key(&id, |event| event.id);
        found.ok().map(|at| Arc::clone(&buffer.events[at]))
    }

    /// Returns the oldest event.
    pub(super) fn oldest(&self) -> Option<Arc<Event>> {
        self.lock().events.front().cloned()
    }

    /// Returns the last matching events, newest first.
    pub(super) fn newest(&self, matches: impl Fn(&Event) -> bool, limit: usize) -> Vec<Arc<Event>> {
        let buffer = self.lock();
        let newest_first = buffer.events.iter().rev();
        newest_first
            .filter(|event| matches(event))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Subscribes to the events after the one with id `after`, or to all future events.
    pub(super) fn subscribe(self: &Arc<Self>, after: Option<u64>) -> Subscription {
        let buffer = self.lock();
        let newest = buffer.events.back().map_or(0, |event| event.id);
        let last = after.unwrap_or(newest);
        Subscription {
            incoming: self.subscribers.subscribe(),
            missed: buffer.may_lack_after(last),
            waiting: buffer.since(last, EVENTS_KEPT).into(),
            last,
            log: Arc::clone(self),
        }
    }
}

impl EventBuffer {
    fn trim(&mut self) {
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    fn since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        let from = self.events.partition_point(|event| event.id <= id);
        self.events.range(from..).take(limit).cloned().collect()
    }

    /// Returns whether events after `id` may have been dropped.
    fn may_lack_after(&self, id: u64) -> bool {
        self.events.len() >= EVENTS_KEPT && self.events.front().is_some_and(|event| event.id > id)
    }
}

/// A subscription to events. It returns each event once and in order; only a subscriber that lags
/// behind by more than [`EVENTS_KEPT`] misses the oldest.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<EventLog>,
    incoming: broadcast::Receiver<Arc<Event>>,
    waiting: VecDeque<Arc<Event>>,
    last: u64,
    missed: bool,
}

impl Subscription {
    /// Waits for the next event. Returns `None` when the log is gone.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last = event.id;
                return Some(event);
            }
            match self.incoming.recv().await {
                // Events that were waiting from the start may also arrive on the channel.
                Ok(event) if event.id > self.last => self.waiting.push_back(event),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    let buffer = self.log.lock();
                    self.missed |= buffer.may_lack_after(self.last);
                    self.waiting = buffer.since(self.last, EVENTS_KEPT).into();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Returns the id after which the next event comes.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Returns whether events were missed since the last call. Callers must then read again
    /// whatever they derive from events.
    pub fn take_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn log() -> Arc<EventLog> {
        Arc::new(EventLog::new(at(1_000)))
    }

    fn push(log: &EventLog, times: usize) {
        for _ in 0..times {
            log.push(at(5), EventSubject::default(), EventKind::RestartInferred);
        }
    }

    fn ids(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn ids_increase_whatever_the_clock_does_and_stay_above_stored_ids() {
        let log = log();
        log.push(
            at(5_000),
            EventSubject::default(),
            EventKind::RestartInferred,
        );
        log.push(at(0), EventSubject::default(), EventKind::RestartInferred);
        assert_eq!(ids(&log.since(0, 9)), [1_000, 1_001]);
        let found = |id| log.get(id).map(|event| event.id);
        assert_eq!((found(1_001), found(1_002)), (Some(1_001), None));

        // A restart with the clock set back, after which a batch of events may be lost.
        let later = Arc::new(EventLog::new(at(400)));
        let stored = log.since(0, 9);
        later.restore(stored.iter().map(|event| (**event).clone()).collect());
        push(&later, 1);
        assert_eq!(
            ids(&later.since(0, 9)),
            [1_000, 1_001, 1_001 + RESTART_ID_GAP]
        );
        assert_eq!(ids(&later.unwritten()), [1_001 + RESTART_ID_GAP]);
    }

    #[test]
    fn ids_of_a_clock_that_was_ahead_stop_no_events() {
        let ahead = EventLog::new(at(u64::MAX));
        push(&ahead, 2);
        let stored: Vec<Event> = ahead.since(0, 9).iter().map(|it| (**it).clone()).collect();
        let last = stored[1].id;
        let log = log();
        // Recorded while the database could not be opened.
        push(&log, 2);
        log.restore(stored);
        push(&log, 1);
        let next = last + RESTART_ID_GAP;
        assert_eq!(
            ids(&log.since(0, 9)),
            [last - 1, last, next, next + 1, next + 2]
        );
        assert_eq!(ids(&log.unwritten()), [next, next + 1, next + 2]);
        // The database is replaced by one with higher ids.
        log.set_last_written(next + 100);
        push(&log, 1);
        assert_eq!(ids(&log.unwritten()), [next + 101]);
    }

    #[test]
    fn events_restored_late_come_before_new_ones() {
        let earlier = EventLog::new(at(1_000));
        push(&earlier, 2);
        let log = EventLog::new(at(2_000));
        push(&log, 1);
        let stored = earlier.since(0, 9);
        log.restore(stored.iter().map(|event| (**event).clone()).collect());
        assert_eq!(ids(&log.since(0, 9)), [1_000, 1_001, 2_000]);
    }

    #[tokio::test]
    async fn a_lagging_subscription_still_returns_each_event_once_and_in_order() {
        let log = log();
        push(&log, 3);
        let mut subscription = log.subscribe(Some(1_000));
        push(&log, 4 * CHANNEL_CAPACITY);
        for id in 1_001..1_003 + 4 * CHANNEL_CAPACITY as u64 {
            assert_eq!(subscription.next().await.unwrap().id, id);
        }
        assert!(!subscription.take_missed());
        push(&log, 1);
        assert_eq!(
            subscription.next().await.unwrap().id,
            1_003 + 4 * CHANNEL_CAPACITY as u64
        );
    }

    #[tokio::test]
    async fn a_subscription_reports_that_it_missed_dropped_events() {
        let log = log();
        push(&log, 1);
        let mut now = log.subscribe(None);
        push(&log, EVENTS_KEPT + 10);
        assert_eq!(log.since(0, usize::MAX).len(), EVENTS_KEPT);
        assert_eq!(now.next().await.unwrap().id, 1_011);
        assert!(now.take_missed() && !now.take_missed());
        assert!(log.subscribe(Some(1_000)).take_missed());
        assert!(!log.subscribe(None).take_missed());
    }
}
