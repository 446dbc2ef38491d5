//! Starts every long-lived task, restarts it when it ends early, and reports one that cannot be
//! restarted. Knows nothing of what the tasks do.

mod blocking;
pub mod liveness;
mod task_set;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use blocking::run_blocking;
use liveness::{Liveness, Part, Pulse};
pub use task_set::TaskSet;

/// Pause between the early end of a task and its next start.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How long a task has to run after a restart to count as working again.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The name of a task in logs and errors.
type Name = Cow<'static, str>;

/// Called with the name of a task.
type Hook = Arc<dyn Fn(&str) + Send + Sync>;

/// Supervises all tasks of one agent; clones share them.
#[derive(Clone)]
pub struct Supervisor {
    tracker: TaskTracker,
    stop: CancellationToken,
    liveness: Liveness,
    on_start: Option<Hook>,
    /// The first essential task that ended early.
    lost: watch::Sender<Option<LostTask>>,
}

/// An essential task that ended before the agent was stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task `{name}` ended unexpectedly: {cause}")]
pub struct LostTask {
    name: Name,
    cause: String,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("tracker", &self.tracker)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor without tasks. All of them end with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop,
            liveness: Liveness::default(),
            on_start: None,
            lost: watch::Sender::new(None),
        }
    }

    /// Calls `hook` with the name of each task in the task, whenever it starts. A hook that panics
    /// shows what the end of the task means.
    #[must_use]
    pub fn with_start_hook(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(hook));
        self
    }

    /// Whether the loops in the tasks turn.
    #[must_use]
    pub const fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The token that ends all tasks.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Supervises tasks that end with a token of their own too.
    fn child(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            ..self.clone()
        }
    }

    /// Starts a task that is dropped at the stop, and made again by `make` whenever it ends before.
    pub fn start<F>(&self, name: impl Into<Name>, mut make: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (name, supervisor) = (name.into(), self.clone());
        self.tracker.spawn(async move {
            // Pinned here: passed by value, a future would take its space in each task twice.
            let running = pin!(supervisor.run_again(name, |_| make()));
            supervisor.stop.run_until_cancelled(running).await;
        });
    }

    /// The same for a task that sees the stop itself, so that it can finish its work.
    pub fn start_finishing<F>(
        &self,
        name: impl Into<Name>,
        make: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let (name, supervisor) = (name.into(), self.clone());
        self.tracker
            .spawn(async move { supervisor.run_again(name, make).await });
    }

    /// Starts a task that sees the stop itself and cannot be made again: when it ends before the
    /// stop, or panics, [`Self::lost`] returns.
    pub fn start_essential(
        &self,
        name: impl Into<Name>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let name = name.into();
        let (stop, lost) = (self.stop.clone(), self.lost.clone());
        let on_start = self.on_start.clone();
        self.tracker.spawn(async move {
            let running = async {
                call(on_start.as_ref(), &name);
                task.await;
            };
            let ended = AssertUnwindSafe(running).catch_unwind().await;
            if !stop.is_cancelled() || ended.is_err() {
                let task = LostTask {
                    name,
                    cause: cause(ended),
                };
                lost.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(task);
                    is_first
                });
            }
        });
    }

    /// Waits for the first essential task that ends early.
    pub async fn lost(&self) -> LostTask {
        let mut lost = self.lost.subscribe();
        loop {
            if let Some(task) = lost.borrow_and_update().clone() {
                return task;
            }
            // This cannot fail: the sender lives as long as `self`.
            drop(lost.changed().await);
        }
    }

    /// Waits until all tasks have ended; the token must be cancelled before.
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Runs a task, and runs it again each time it ends before the stop.
    async fn run_again<F>(&self, name: Name, mut make: impl FnMut(CancellationToken) -> F + Send)
    where
        F: Future<Output = ()> + Send,
    {
        let mut failing: Option<Pulse> = None;
        loop {
            // Written in one expression: a variable in between would take the space of the task
            // twice.
            let mut running = pin!(
                AssertUnwindSafe(async {
                    call(self.on_start.as_ref(), &name);
                    make(self.stop.clone()).await;
                })
                .catch_unwind()
            );
            let mut ended = None;
            if let Some(pulse) = &failing {
                // Boxed, because it is rare and would take space in each task.
                ended = Box::pin(timeout(STABLE_AFTER, running.as_mut())).await.ok();
                if ended.is_none() {
                    pulse.turned();
                }
            }
            let ended = match ended {
                Some(ended) => ended,
                None => running.await,
            };
            if self.stop.is_cancelled() {
                return;
            }
            log_restart(&name, &cause(ended));
            failing
                .get_or_insert_with(|| self.liveness.pulse(Part::Tasks, name.clone()))
                .expect(Duration::ZERO);
            if self
                .stop
                .run_until_cancelled(sleep(RESTART_DELAY))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}

fn call(hook: Option<&Hook>, name: &str) {
    if let Some(hook) = hook {
        hook(name);
    }
}

/// Why a task ended.
fn cause(ended: Result<(), Box<dyn Any + Send>>) -> String {
    match ended {
        Ok(()) => "it returned".to_owned(),
        Err(panic) => format!("it panicked: {}", panic_message(&*panic)),
    }
}

/// The message of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// A log that panics must not end the supervisor too.
fn log_restart(name: &str, cause: &str) {
    let log = || {
        tracing::error!(
            task = name,
            cause,
            "a task ended unexpectedly; it is restarted in {RESTART_DELAY:?}"
        );
    };
    drop(catch_unwind(log));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn supervisor() -> (Supervisor, CancellationToken) {
        let stop = CancellationToken::new();
        (Supervisor::new(stop.clone()), stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_or_returns_is_started_again_until_the_stop() {
        let (supervisor, stop) = supervisor();
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        supervisor.start("flaky", move || {
            let start = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(start.is_multiple_of(2), "as scripted") }
        });
        sleep(RESTART_DELAY * 5 + RESTART_DELAY / 2).await;
        assert_eq!(starts.load(Ordering::Relaxed), 6);
        stop.cancel();
        supervisor.drained().await;
        assert_eq!(starts.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_making_panics_is_started_again_too() {
        let (supervisor, stop) = supervisor();
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        supervisor.start("flaky", move || {
            assert!(counted.fetch_add(1, Ordering::Relaxed) > 0, "as scripted");
            std::future::pending()
        });
        sleep(RESTART_DELAY * 9).await;
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        stop.cancel();
        supervisor.drained().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_finishing_task_is_restarted_and_ends_by_itself_after_the_stop() {
        let (supervisor, stop) = supervisor();
        let (starts, finished) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (counted, ends) = (starts.clone(), finished.clone());
        supervisor.start_finishing("writer", move |token| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let ends = ends.clone();
            async move {
                assert!(!first, "as scripted");
                token.cancelled().await;
                sleep(RESTART_DELAY).await;
                ends.fetch_add(1, Ordering::Relaxed);
            }
        });
        sleep(RESTART_DELAY * 3).await;
        stop.cancel();
        supervisor.drained().await;
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        assert_eq!(finished.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_early_is_reported_once() {
        let (supervisor, stop) = supervisor();
        supervisor.start_essential("writer", async { panic!("as scripted") });
        let lost = supervisor.lost().await;
        assert_eq!(
            lost.to_string(),
            "the task `writer` ended unexpectedly: it panicked: as scripted"
        );
        supervisor.start_essential("reader", async {});
        supervisor.start_essential("last", stop.clone().cancelled_owned());
        stop.cancel();
        supervisor.drained().await;
        assert_eq!(supervisor.lost().await, lost);
    }

    #[tokio::test]
    async fn an_essential_task_that_ends_with_the_stop_is_not_lost() {
        let (supervisor, stop) = supervisor();
        supervisor.start_essential("writer", stop.clone().cancelled_owned());
        stop.cancel();
        supervisor.drained().await;
        assert!(supervisor.lost.borrow().is_none());
    }
}
