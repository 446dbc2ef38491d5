//! When the history is written, and what is looked for from time to time: what networks do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, OrderState};
use crate::history::db::thread::Shelf;

use super::History;
use super::event::EventKind;
use super::log::About;

/// From one look at the networks to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events wait so long for each other to be written.
const EVENTS_EVERY: Duration = Duration::from_secs(5);

/// Summaries are written so often: what a kill loses at most.
const SUMMARIES_EVERY: Duration = Duration::from_secs(60);

/// A write that takes longer is told.
const SLOW: Duration = Duration::from_secs(15);

impl History {
    /// Writes what is new, and notes what networks do, until `stop`; then writes the rest.
    pub async fn run(self: Arc<Self>, fleet: Arc<Fleet>, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut networks = Networks::default();
        let mut write: Option<Write> = None;
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = looks.tick() => {}
            }
            networks.look(&fleet, &self);
            if let Some(under_way) = write.take_if(|write| write.ended.is_finished()) {
                under_way.end();
            }
            if let Some(under_way) = &mut write {
                under_way.tell_if_slow();
                continue;
            }
            let due = last.elapsed() >= SUMMARIES_EVERY
                || (last.elapsed() >= EVENTS_EVERY && self.log.is_unwritten());
            if due {
                last = Instant::now();
                write = Some(Write::begin(&self));
            }
        }
        self.note(EventKind::AgentStopped);
        if let Some(under_way) = write
            && under_way.ended.await.is_err()
        {
            return;
        }
        self.write().await;
    }

    /// Writes what is new. As one job: who reads sees it either waiting or written.
    pub(super) async fn write(self: &Arc<Self>) {
        let history = Arc::clone(self);
        let written = move |shelf: &mut Shelf| {
            history.write_to(shelf);
        };
        self.counter.tell(written).await;
    }
}

/// A write that is under way.
struct Write {
    ended: JoinHandle<()>,
    began: Instant,
    told: bool,
}

impl Write {
    fn begin(history: &Arc<History>) -> Self {
        let history = Arc::clone(history);
        Self {
            ended: tokio::spawn(async move { history.write().await }),
            began: Instant::now(),
            told: false,
        }
    }

    fn tell_if_slow(&mut self) {
        if !self.told && self.began.elapsed() >= SLOW {
            self.told = true;
            tracing::warn!(
                "the disk has not taken the history for {SLOW:?}; monitoring goes on, and there will be a gap"
            );
        }
    }

    fn end(self) {
        if self.told {
            tracing::info!(after = ?self.began.elapsed(), "the disk has taken the history");
        }
    }
}

/// What networks did when they were last looked at.
#[derive(Debug, Default)]
struct Networks(HashMap<String, (OrderState, bool)>);

impl Networks {
    fn look(&mut self, fleet: &Fleet, history: &History) {
        let verdicts = fleet.network_verdicts();
        let mut before = std::mem::take(&mut self.0);
        for (name, verdict) in verdicts {
            let now = (verdict.order, verdict.split);
            let (order, split) = before.remove(&name).unwrap_or((OrderState::Unknown, false));
            let about = About {
                peer: None,
                network: Some(&name),
            };
            let tell = |what| history.log.push(SystemTime::now(), about, what);
            if is_news(order, now.0) {
                tell(EventKind::OrderChanged {
                    from: order.as_str().into(),
                    to: now.0.as_str().into(),
                });
            }
            match (split, now.1) {
                (false, true) => tell(EventKind::SplitBegan),
                (true, false) => tell(EventKind::SplitEnded),
                (true, true) | (false, false) => {}
            }
            self.0.insert(name, now);
        }
    }
}

/// Whether somebody wants to know: a quiet network begins and ends to advance with each transaction, and one that is heard
/// for the first time is well as a rule.
fn is_news(before: OrderState, now: OrderState) -> bool {
    let is_well = |state| matches!(state, OrderState::Advancing | OrderState::Idle);
    before != now && !(is_well(now) && (is_well(before) || before == OrderState::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_stalls_or_falls_silent_is_news_and_one_that_wakes_is_not() {
        use OrderState::{Advancing, Idle, Receding, Stalled, Unknown};
        for (before, now, expected) in [
            (Unknown, Idle, false),
            (Idle, Advancing, false),
            (Advancing, Idle, false),
            (Advancing, Stalled, true),
            (Stalled, Receding, true),
            (Stalled, Advancing, true),
            (Advancing, Unknown, true),
            (Unknown, Stalled, true),
            (Stalled, Stalled, false),
        ] {
            assert_eq!(is_news(before, now), expected, "{before:?} {now:?}");
        }
    }
}
