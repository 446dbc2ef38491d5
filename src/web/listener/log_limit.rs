//! Limits log lines that strangers can cause, so that they cannot fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two lines about the same cause.
const PERIOD: Duration = Duration::from_secs(10);

/// One line per [`PERIOD`] about one cause. Usually a `static` beside the line that it limits.
#[derive(Debug)]
pub(in crate::web) struct LogLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    pub(in crate::web) const fn new() -> Self {
        Self(Mutex::new(State {
            last: None,
            suppressed: 0,
        }))
    }

    /// Returns the number of lines left out since the last one if a line may be written now, which
    /// then has to mention it; else counts one more.
    pub(in crate::web) fn admit(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| last.elapsed() < PERIOD) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

/// Writes a log line, with the fields and message of `tracing`, unless one from the same place was
/// written in the last seconds.
macro_rules! limited {
    ($level:ident, $($line:tt)+) => {{
        static LIMIT: $crate::web::listener::log_limit::LogLimit =
            $crate::web::listener::log_limit::LogLimit::new();
        if let Some(suppressed) = LIMIT.admit() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::$level!(suppressed, $($line)+);
        }
    }};
}
pub(in crate::web) use limited;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_period_is_admitted_with_the_number_left_out() {
        let limit = LogLimit::new();
        assert_eq!(limit.admit(), Some(0));
        for _ in 0..260 {
            assert_eq!(limit.admit(), None);
        }
        advance(PERIOD).await;
        assert_eq!(limit.admit(), Some(260));
        assert_eq!(limit.admit(), None);
        advance(PERIOD).await;
        assert_eq!(limit.admit(), Some(1));
    }
}
