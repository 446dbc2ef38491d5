//! The last events, in order, for those who follow them. Knows no disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::event::{Event, EventKind};

/// So many events are kept, in memory and in the store.
pub const EVENTS_KEPT: usize = 10_000;

/// A follower may be so many events behind before it has to read them again from what is kept.
const BEHIND: usize = 256;

/// More than can be lost with one batch that was not written: ids go on so far above the last one that was.
const GAP: u64 = 1 << 20;

/// The last events and their followers.
#[derive(Debug)]
pub(super) struct Log {
    kept: Mutex<Kept>,
    followers: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    next: u64,
    /// The last event that the store has.
    written: u64,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'a> {
    pub(super) peer: Option<&'a str>,
    pub(super) network: Option<&'a str>,
}

impl Log {
    /// Ids begin at the time in milliseconds: no agent has more events than that, so they grow across restarts also where
    /// nothing is remembered.
    pub(super) fn new(now: SystemTime) -> Self {
        let kept = Kept {
            events: VecDeque::new(),
            next: milliseconds(now).max(1),
            written: 0,
        };
        Self {
            kept: Mutex::new(kept),
            followers: broadcast::channel(BEHIND).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, at: SystemTime, about: About<'_>, what: EventKind) {
        let mut kept = self.lock();
        let event = Arc::new(Event {
            id: kept.next,
            at_ms: milliseconds(at),
            peer: about.peer.map(str::to_owned),
            network: about.network.map(str::to_owned),
            what,
        });
        kept.next += 1;
        kept.events.push_back(Arc::clone(&event));
        kept.trim();
        // Still locked, so that followers get them in order. Without followers nobody takes it.
        drop(self.followers.send(event));
    }

    /// Takes what the store remembers, which is older than what happens now. Events that it lacks are to be written.
    pub(super) fn recall(&self, stored: Vec<Event>) {
        let mut kept = self.lock();
        let last = stored.last().map_or(0, |event| event.id);
        kept.next = kept.next.max(last.saturating_add(GAP));
        kept.written = last;
        let first = kept.events.front().map_or(u64::MAX, |event| event.id);
        for event in stored.into_iter().rev().filter(|event| event.id < first) {
            kept.events.push_front(Arc::new(event));
        }
        kept.trim();
    }

    /// The store has events up to `id` and no later ones: it may be another one than before.
    pub(super) fn rewind(&self, id: u64) {
        self.lock().written = id;
    }

    /// Events that the store lacks.
    pub(super) fn unwritten(&self) -> Vec<Arc<Event>> {
        let kept = self.lock();
        kept.since(kept.written, EVENTS_KEPT)
    }

    pub(super) fn is_unwritten(&self) -> bool {
        let kept = self.lock();
        let last = kept.events.back();
        last.is_some_and(|event| event.id > kept.written)
    }

    /// The store has all events up to `id`.
    pub(super) fn wrote(&self, id: u64) {
        let mut kept = self.lock();
        kept.written = kept.written.max(id);
    }

    pub(super) fn since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        self.lock().since(id, limit)
    }

    pub(super) fn newest(&self, of: impl Fn(&Event) -> bool, limit: usize) -> Vec<Arc<Event>> {
        let kept = self.lock();
        let newest_first = kept.events.iter().rev();
        newest_first
            .filter(|event| of(event))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Follows from the event after `after`, or from now on.
    pub(super) fn follow(self: &Arc<Self>, after: Option<u64>) -> Subscription {
        let kept = self.lock();
        let newest = kept.events.back().map_or(0, |event| event.id);
        let last = after.unwrap_or(newest);
        Subscription {
            incoming: self.followers.subscribe(),
            missed: kept.lacks(last),
            waiting: kept.since(last, EVENTS_KEPT).into(),
            last,
            log: Arc::clone(self),
        }
    }
}

impl Kept {
    fn trim(&mut self) {
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    fn since(&self, id: u64, limit: usize) -> Vec<Arc<Event>> {
        let from = self.events.partition_point(|event| event.id <= id);
        self.events.range(from..).take(limit).cloned().collect()
    }

    /// Whether events after `id` may have been dropped already.
    fn lacks(&self, id: u64) -> bool {
        self.events.len() >= EVENTS_KEPT && self.events.front().is_some_and(|event| event.id > id)
    }
}

/// A follower of the events. Each event comes once and in order, however slowly they are taken; only of more than
/// [`EVENTS_KEPT`] behind, the oldest are missed.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    incoming: broadcast::Receiver<Arc<Event>>,
    waiting: VecDeque<Arc<Event>>,
    last: u64,
    missed: bool,
}

impl Subscription {
    /// The next event, as soon as there is one; none when there will be no more.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last = event.id;
                return Some(event);
            }
            match self.incoming.recv().await {
                // What was waiting from the start can come in a second time.
                Ok(event) if event.id > self.last => self.waiting.push_back(event),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    let kept = self.log.lock();
                    self.missed |= kept.lacks(self.last);
                    self.waiting = kept.since(self.last, EVENTS_KEPT).into();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The id after which it goes on.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Whether events were missed since this was last asked: what was derived from them is to be read anew.
    pub fn take_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }
}

pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since: Duration = since.unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn log() -> Arc<Log> {
        Arc::new(Log::new(at(1_000)))
    }

    fn happen(log: &Log, times: usize) {
        for _ in 0..times {
            log.push(at(5), About::default(), EventKind::RestartInferred);
        }
    }

    fn ids(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn ids_grow_whatever_the_clock_does_and_go_on_above_what_is_remembered() {
        let log = log();
        log.push(at(5_000), About::default(), EventKind::RestartInferred);
        log.push(at(0), About::default(), EventKind::RestartInferred);
        assert_eq!(ids(&log.since(0, 9)), [1_000, 1_001]);

        // After a restart at an earlier hour, with a batch of events that was never written.
        let later = Arc::new(Log::new(at(400)));
        let stored = log.since(0, 9);
        later.recall(stored.iter().map(|event| (**event).clone()).collect());
        happen(&later, 1);
        assert_eq!(ids(&later.since(0, 9)), [1_000, 1_001, 1_001 + GAP]);
        assert_eq!(ids(&later.unwritten()), [1_001 + GAP]);
    }

    #[test]
    fn what_is_remembered_late_comes_before_what_has_happened() {
        let earlier = Log::new(at(1_000));
        happen(&earlier, 2);
        let log = Log::new(at(2_000));
        happen(&log, 1);
        let stored = earlier.since(0, 9);
        log.recall(stored.iter().map(|event| (**event).clone()).collect());
        assert_eq!(ids(&log.since(0, 9)), [1_000, 1_001, 2_000]);
    }

    #[tokio::test]
    async fn a_follower_that_is_far_behind_still_gets_each_event_once_and_in_order() {
        let log = log();
        happen(&log, 3);
        let mut follower = log.follow(Some(1_000));
        happen(&log, 4 * BEHIND);
        for id in 1_001..1_003 + 4 * BEHIND as u64 {
            assert_eq!(follower.next().await.unwrap().id, id);
        }
        assert!(!follower.take_missed());
        happen(&log, 1);
        assert_eq!(follower.next().await.unwrap().id, 1_003 + 4 * BEHIND as u64);
    }

    #[tokio::test]
    async fn a_follower_is_told_that_it_missed_what_is_no_longer_kept() {
        let log = log();
        happen(&log, 1);
        let mut now = log.follow(None);
        happen(&log, EVENTS_KEPT + 10);
        assert_eq!(log.since(0, usize::MAX).len(), EVENTS_KEPT);
        assert_eq!(now.next().await.unwrap().id, 1_011);
        assert!(now.take_missed() && !now.take_missed());
        assert!(log.follow(Some(1_000)).take_missed());
        assert!(!log.follow(None).take_missed());
    }
}
