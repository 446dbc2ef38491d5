//! Tasks that belong to the active configuration and are replaced when it changes.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that belong to the configuration in force, and end with it.
#[derive(Debug)]
pub struct ReloadableTasks {
    stop: CancellationToken,
    /// Ends the tasks of the configuration in force.
    current: CancellationToken,
    tracker: TaskTracker,
}

impl ReloadableTasks {
    /// None yet; all of them end with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            current: stop.child_token(),
            stop,
            tracker: TaskTracker::new(),
        }
    }

    /// Ends those of the configuration before.
    pub fn renew(&mut self) {
        self.current.cancel();
        self.current = self.stop.child_token();
    }

    /// Starts one of the configuration in force.
    pub fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.current.clone();
        self.tracker
            .spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Waits until all have ended; `stop` must be cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
