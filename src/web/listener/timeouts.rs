//! Timeouts of a connection: tracks what its client does, and says when it takes too long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time from opening a connection to the first request.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept open between requests: longer than the usual scrape interval.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Time in which a client has to read a response, or the last chunk of a stream.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The state of one connection, shared with its requests.
#[derive(Clone, Debug)]
pub(super) struct ConnectionActivity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    opened: Instant,
    /// Number of requests so far, and so the id of the last one.
    requests: u64,
    /// Number of requests whose responses are not complete.
    in_progress: usize,
    idle_since: Instant,
    /// Responses that the client has to read on, by request, with when that began.
    pending_responses: HashMap<u64, Instant>,
    /// When the oldest data that has not left the process was written.
    unsent_since: Option<Instant>,
}

/// A request, from its arrival to the end of its response.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    activity: ConnectionActivity,
    id: u64,
}

impl ConnectionActivity {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            opened: now,
            requests: 0,
            in_progress: 0,
            idle_since: now,
            pending_responses: HashMap::new(),
            unsent_since: None,
        })))
    }

    /// Records that the client can send its first request from now on.
    pub(super) fn ready(&self) {
        self.state().opened = Instant::now();
    }

    /// Records a new request.
    pub(super) fn start_request(&self) -> ActiveRequest {
        let mut state = self.state();
        state.requests += 1;
        state.in_progress += 1;
        ActiveRequest {
            activity: self.clone(),
            id: state.requests,
        }
    }

    /// Records that data is being written.
    pub(super) fn write_started(&self) {
        self.state().unsent_since.get_or_insert_with(Instant::now);
    }

    /// Records that all written data has been sent.
    pub(super) fn flushed(&self) {
        self.state().unsent_since = None;
    }

    /// Returns since when the connection has not been used; `None` while a request is in progress
    /// or its response is being sent.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let is_idle = state.in_progress == 0 && state.unsent_since.is_none();
        is_idle.then_some(state.idle_since)
    }

    /// Returns which timeout has expired, if any.
    pub(super) fn expired(&self) -> Option<&'static str> {
        let state = self.state();
        let exceeds = |since: Instant, limit| since.elapsed() >= limit;
        let mut unread = state.pending_responses.values().chain(&state.unsent_since);
        if state.requests == 0 && exceeds(state.opened, FIRST_REQUEST_TIMEOUT) {
            return Some("no request received");
        }
        if unread.any(|since| exceeds(*since, READ_TIMEOUT)) {
            return Some("response not read");
        }
        (state.in_progress == 0 && exceeds(state.idle_since, IDLE_TIMEOUT)).then_some("idle")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveRequest {
    /// Records that the client has a response, or the next chunk of a stream, to read.
    pub(super) fn response_pending(&self) {
        let mut state = self.activity.state();
        state.pending_responses.insert(self.id, Instant::now());
    }

    /// Records that the client has read everything so far and waits for more.
    pub(super) fn idle(&self) {
        self.activity.state().pending_responses.remove(&self.id);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.pending_responses.remove(&self.id);
        state.in_progress -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_expires_when_its_client_takes_too_long() {
        let activity = ConnectionActivity::start();
        advance(FIRST_REQUEST_TIMEOUT / 2).await;
        assert_eq!(activity.expired(), None);
        advance(FIRST_REQUEST_TIMEOUT / 2).await;
        assert_eq!(activity.expired(), Some("no request received"));

        let request = activity.start_request();
        advance(IDLE_TIMEOUT * 2).await;
        assert_eq!(
            activity.expired(),
            None,
            "the agent may take long to respond"
        );
        request.response_pending();
        advance(READ_TIMEOUT).await;
        assert_eq!(activity.expired(), Some("response not read"));
        request.idle();
        assert_eq!(activity.expired(), None);
        drop(request);
        advance(IDLE_TIMEOUT / 2).await;
        assert_eq!(activity.expired(), None);
        advance(IDLE_TIMEOUT / 2).await;
        assert_eq!(activity.expired(), Some("idle"));
    }

    #[tokio::test(start_paused = true)]
    async fn written_data_has_to_be_sent_in_time() {
        let activity = ConnectionActivity::start();
        let request = activity.start_request();
        activity.write_started();
        advance(READ_TIMEOUT / 2).await;
        activity.write_started();
        advance(READ_TIMEOUT / 2).await;
        assert_eq!(
            activity.expired(),
            Some("response not read"),
            "writing more does not extend the timeout"
        );
        drop(request);
        assert_eq!(activity.idle_since(), None, "its response is still sent");
        activity.flushed();
        assert_eq!(activity.expired(), None);
        assert_eq!(activity.idle_since(), Some(Instant::now()));
    }
}
