//! Whether the loops of the agent still turn: whether each did something in the time that it has,
//! not whether it succeeded. A loop that has nothing to do is alive.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Name;

/// How long a loop may take beyond the time that it needs. Longer than any machine is busy.
const ALLOWANCE: Duration = Duration::from_secs(60);

/// The pulses of all loops; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Pulses>);

#[derive(Debug, Default)]
struct Pulses {
    /// Seconds in which this process ran. A suspended host or a paused machine does not count: its
    /// loops do not turn, and that is not their fault.
    seconds: AtomicU64,
    loops: Mutex<Vec<Weak<PulseState>>>,
}

/// The pulse of one loop; clones share it, so that it outlives a restart of its task.
#[derive(Clone, Debug)]
pub struct Pulse {
    state: Arc<PulseState>,
    liveness: Liveness,
}

#[derive(Debug)]
struct PulseState {
    part: Part,
    name: Name,
    /// The second by which the loop has to turn; 0 if there is nothing to do.
    due: AtomicU64,
}

/// A part of the agent that has loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Polls of the peers.
    Polling,
    /// Verdicts on networks.
    Verdicts,
    /// Alert rules and deliveries.
    Notifications,
    /// The history.
    History,
    /// Checks of this host.
    SelfChecks,
    /// Tasks that end again and again.
    Tasks,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Polling => "polling",
            Self::Verdicts => "verdicts",
            Self::Notifications => "notifications",
            Self::History => "history",
            Self::SelfChecks => "self-checks",
            Self::Tasks => "tasks",
        })
    }
}

impl Liveness {
    /// Creates the pulse of a loop.
    #[must_use]
    pub fn pulse(&self, part: Part, name: impl Into<Name>) -> Pulse {
        let state = Arc::new(PulseState {
            part,
            name: name.into(),
            due: AtomicU64::new(0),
        });
        let mut loops = self.0.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(Arc::downgrade(&state));
        Pulse {
            state,
            liveness: self.clone(),
        }
    }

    /// Returns the parts that have a loop which did not turn in time.
    #[must_use]
    pub fn stuck(&self) -> BTreeSet<Part> {
        self.overdue().iter().map(|state| state.part).collect()
    }

    /// Measures the time, and logs loops that no longer turn and those that turn again. Never
    /// returns.
    pub async fn watch(self) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut logged: BTreeSet<Name> = BTreeSet::new();
        loop {
            ticks.tick().await;
            self.0.seconds.fetch_add(1, Ordering::Relaxed);
            let stuck = self.overdue();
            let stuck: BTreeSet<Name> = stuck.iter().map(|state| state.name.clone()).collect();
            for name in stuck.difference(&logged) {
                tracing::error!(task = %name, "the task is stuck: the agent no longer calls itself healthy");
            }
            for name in logged.difference(&stuck) {
                tracing::info!(task = %name, "the task is no longer stuck");
            }
            logged = stuck;
        }
    }

    /// Returns the loops that did not turn in time, and forgets those that are gone.
    fn overdue(&self) -> Vec<Arc<PulseState>> {
        let now = self.0.seconds.load(Ordering::Relaxed);
        let mut overdue = Vec::new();
        let mut loops = self.0.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|pulse| {
            let Some(state) = pulse.upgrade() else {
                return false;
            };
            let due = state.due.load(Ordering::Relaxed);
            if due != 0 && due < now {
                overdue.push(state);
            }
            true
        });
        overdue
    }
}

impl Pulse {
    /// The loop has something to do, which takes at most `within`. An earlier expectation stays, so
    /// that a task which panics again and again does not look alive.
    pub fn expect(&self, within: Duration) {
        let seconds = within.saturating_add(ALLOWANCE).as_secs();
        let now = self.liveness.0.seconds.load(Ordering::Relaxed);
        let due = now.saturating_add(seconds).saturating_add(1);
        let order = Ordering::Relaxed;
        // Fails if there is an earlier expectation.
        self.state
            .due
            .compare_exchange(0, due, order, order)
            .unwrap_or_default();
    }

    /// The loop has done what it had to do.
    pub fn turned(&self) {
        self.state.due.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_stuck_if_it_does_not_turn_in_time() {
        let liveness = Liveness::default();
        tokio::spawn(liveness.clone().watch());
        let idle = liveness.pulse(Part::History, "idle");
        let stuck = liveness.pulse(Part::Polling, "stuck");
        idle.expect(SECOND);
        stuck.expect(10 * SECOND);
        idle.turned();
        sleep(ALLOWANCE).await;
        assert_eq!(liveness.stuck(), BTreeSet::new());
        // A restarted task expects again; that does not help.
        stuck.clone().expect(1000 * SECOND);
        sleep(15 * SECOND).await;
        assert_eq!(liveness.stuck(), BTreeSet::from([Part::Polling]));
        stuck.turned();
        assert_eq!(liveness.stuck(), BTreeSet::new());
        stuck.expect(SECOND);
        drop(stuck);
        sleep(2 * ALLOWANCE).await;
        assert_eq!(liveness.stuck(), BTreeSet::new(), "its task is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_process_does_not_run_is_nobodys_fault() {
        let liveness = Liveness::default();
        tokio::spawn(liveness.clone().watch());
        let pulse = liveness.pulse(Part::Verdicts, "paused");
        pulse.expect(SECOND);
        sleep(SECOND).await;
        advance(3600 * SECOND).await;
        sleep(10 * SECOND).await;
        assert_eq!(liveness.stuck(), BTreeSet::new());
        sleep(ALLOWANCE).await;
        assert_eq!(liveness.stuck(), BTreeSet::from([Part::Verdicts]));
    }
}
