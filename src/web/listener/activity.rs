//! What happens on a connection, and when it has to end because its client takes too long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The first request must have come by then.
pub(in crate::web) const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a connection without a request is kept: longer than a scraper waits as a rule.
pub(in crate::web) const IDLE: Duration = Duration::from_secs(75);

/// How long a client may take to read an answer, or of a stream what was sent last.
pub(in crate::web) const READING: Duration = Duration::from_secs(60);

/// One connection's activity.
#[derive(Clone, Debug)]
pub(in crate::web) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    opened: Instant,
    /// Requests so far; the last one's number.
    requests: u64,
    /// Requests whose answers are not over.
    under_way: usize,
    idle_since: Instant,
    /// Of requests whose answers the client has to read on: since when.
    owed: HashMap<u64, Instant>,
    /// Since when something is written that has not all left.
    unsent: Option<Instant>,
}

/// A request until its answer is over.
#[derive(Debug)]
pub(in crate::web) struct UnderWay {
    activity: Activity,
    number: u64,
}

impl Activity {
    pub(in crate::web) fn begin() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            opened: now,
            requests: 0,
            under_way: 0,
            idle_since: now,
            owed: HashMap::new(),
            unsent: None,
        })))
    }

    /// A request has come.
    pub(in crate::web) fn request(&self) -> UnderWay {
        let mut state = self.state();
        state.requests += 1;
        state.under_way += 1;
        UnderWay {
            activity: self.clone(),
            number: state.requests,
        }
    }

    /// Something is written.
    pub(in crate::web) fn writes(&self) {
        self.state().unsent.get_or_insert_with(Instant::now);
    }

    /// All that was written has left.
    pub(in crate::web) fn sent(&self) {
        self.state().unsent = None;
    }

    /// Why the connection has to end now.
    pub(in crate::web) fn overdue(&self) -> Option<&'static str> {
        let state = self.state();
        let longer = |since: Instant, limit| since.elapsed() >= limit;
        let mut owed = state.owed.values().chain(&state.unsent);
        if state.requests == 0 && longer(state.opened, FIRST_REQUEST) {
            return Some("no request came");
        }
        if owed.any(|since| longer(*since, READING)) {
            return Some("an answer is not read");
        }
        (state.under_way == 0 && longer(state.idle_since, IDLE)).then_some("it is idle")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// The client has to read on.
    pub(in crate::web) fn owes(&self) {
        let mut state = self.activity.state();
        state.owed.insert(self.number, Instant::now());
    }

    /// The client has read what there was, and waits for more.
    pub(in crate::web) fn waits(&self) {
        self.activity.state().owed.remove(&self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.owed.remove(&self.number);
        state.under_way -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_its_client_takes_too_long() {
        let activity = Activity::begin();
        advance(FIRST_REQUEST / 2).await;
        assert_eq!(activity.overdue(), None);
        advance(FIRST_REQUEST / 2).await;
        assert_eq!(activity.overdue(), Some("no request came"));

        let request = activity.request();
        advance(IDLE * 2).await;
        assert_eq!(
            activity.overdue(),
            None,
            "the agent itself may take its time"
        );
        request.owes();
        advance(READING).await;
        assert_eq!(activity.overdue(), Some("an answer is not read"));
        request.waits();
        assert_eq!(activity.overdue(), None);
        drop(request);
        advance(IDLE / 2).await;
        assert_eq!(activity.overdue(), None);
        advance(IDLE / 2).await;
        assert_eq!(activity.overdue(), Some("it is idle"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_has_to_leave() {
        let activity = Activity::begin();
        let request = activity.request();
        activity.writes();
        advance(READING / 2).await;
        activity.writes();
        advance(READING / 2).await;
        assert_eq!(
            activity.overdue(),
            Some("an answer is not read"),
            "writing more is no progress"
        );
        activity.sent();
        assert_eq!(activity.overdue(), None);
        drop(request);
    }
}
