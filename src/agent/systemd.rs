//! Tells a service manager how the agent is, as `sd_notify(3)` has it; without one nothing is told. Knows nothing of the agent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The agent serves, or serves again after a reload; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// The agent ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells a watchdog that the event loop lives, as long as it does; for ever where there is none.
pub async fn feed_watchdog() {
    match sd_notify::watchdog_enabled() {
        Some(limit) => alive_each(limit / 2, || tell(&[NotifyState::Watchdog])).await,
        None => std::future::pending().await,
    }
}

/// A task, and no thread: only who runs on the event loop can vouch for it.
async fn alive_each(period: Duration, tell: impl Fn()) {
    // A limit of nothing, which nobody could keep, must not make a period that panics.
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell();
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the agent is");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use tokio::time::timeout;

    use super::*;

    /// Lets the loop of this test run until something is heard.
    async fn next(heard: &Receiver<()>) {
        let hearing = async {
            while heard.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), hearing).await.unwrap();
    }

    #[tokio::test]
    async fn a_watchdog_hears_of_an_event_loop_that_runs_and_not_of_one_that_hangs() {
        let period = Duration::from_millis(10);
        let (said, heard) = channel();
        let feeding = tokio::spawn(alive_each(period, move || said.send(()).unwrap()));
        for _ in 0..3 {
            next(&heard).await;
        }
        while heard.try_recv().is_ok() {}
        // Waiting without `await` is what hangs the loop of this test.
        let hung = heard.recv_timeout(20 * period);
        assert_eq!(hung, Err(RecvTimeoutError::Timeout));
        next(&heard).await;
        feeding.abort();
    }
}
