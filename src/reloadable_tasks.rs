//! Tasks that belong to the active configuration and are replaced when it changes.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that belong to the active configuration and end with it.
#[derive(Debug)]
pub struct ReloadableTasks {
    stop: CancellationToken,
    /// Ends the tasks of the active configuration.
    current: CancellationToken,
    tracker: TaskTracker,
}

impl ReloadableTasks {
    /// Creates an empty set. All its tasks end with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            current: stop.child_token(),
            stop,
            tracker: TaskTracker::new(),
        }
    }

    /// Ends the tasks of the previous configuration, before those of the new one are started.
    pub fn restart(&mut self) {
        self.current.cancel();
        self.current = self.stop.child_token();
    }

    /// Starts a task of the active configuration.
    pub fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.current.clone();
        self.tracker
            .spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Waits until all tasks have ended. `stop` must have been cancelled.
    pub async fn drained(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
