//! Runs the checks: those that take time in tasks of their own under a deadline, timers and clocks once a second.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::self_check::kinds::{Check, Checks, Finding};

use super::host;
use super::plan::Plan;

/// From one look at timers and clocks to the next; so often is published.
const TICK: Duration = Duration::from_secs(1);

/// From one run of the checks that take time to the next.
const ROUND: Duration = Duration::from_secs(10);

/// How long such a check may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A timer that is so late shows a starved agent.
const LATE: Duration = Duration::from_secs(1);

/// How long a late timer or a jump of the clock counts: polls that it spoils end within that.
const HELD: Duration = Duration::from_secs(15);

type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Checks this host until `stop`, as the newest of `plans` says, and tells `publish` once a second what was found.
pub async fn watch(
    mut plans: Receiver<Plan>,
    publish: impl Fn(Checks) + Send,
    stop: CancellationToken,
) {
    let mut plan = plans.borrow_and_update().clone();
    let mut checks = Checks::default();
    let mut running = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut pulse = Pulse::new();
    let mut tick = Instant::now();
    let mut round = tick;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Ok(()) = plans.changed() => {
                plan = plans.borrow_and_update().clone();
                checks.0.retain(|check, _| plan.checks().any(|needed| needed == *check));
                round = Instant::now();
                continue;
            }
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                match ended {
                    Ok((check, sound)) => {
                        running.remove(&check);
                        if plan.checks().any(|needed| needed == check) {
                            take(&mut checks, check, finding(&plan, check, sound));
                        }
                    }
                    Err(error) => {
                        // Which one is not told: all may begin again.
                        running.clear();
                        tracing::error!(%error, "a check of the monitor itself failed to run");
                    }
                }
                continue;
            }
            () = sleep_until(tick) => {
                let (late, jumped) = pulse.feel(tick.elapsed());
                take(&mut checks, Check::EventLoop, broken_if(late));
                take(&mut checks, Check::Clock, broken_if(jumped));
                tick = Instant::now() + TICK;
            }
        }
        publish(checks.clone());
        if Instant::now() >= round {
            round = Instant::now() + ROUND;
            for check in plan.checks() {
                if let Some(answer) = ask(&plan, check)
                    && running.insert(check)
                {
                    tasks.spawn(async move {
                        (check, timeout(DEADLINE, answer).await.unwrap_or(false))
                    });
                }
            }
        }
    }
}

/// A check that takes time.
fn ask(plan: &Plan, check: Check) -> Option<Answer> {
    Some(match check {
        Check::Dns => Box::pin(host::resolves(plan.names.clone())),
        Check::Route => Box::pin(host::has_route(plan.routes.clone())),
        Check::References => Box::pin(host::answers(plan.references.clone())),
        Check::Descriptors => Box::pin(async {
            let counted = tokio::task::spawn_blocking(host::descriptors_are_left);
            counted.await.unwrap_or(true)
        }),
        Check::Clock | Check::EventLoop => return None,
    })
}

/// What it means that `check` was sound or not. Names and references that do not answer may be gone themselves.
const fn finding(plan: &Plan, check: Check, sound: bool) -> Finding {
    match check {
        _ if sound => Finding::Sound,
        Check::References => Finding::Suspect,
        Check::Dns if !plan.dns_name_is_configured => Finding::Suspect,
        _ => Finding::Broken,
    }
}

const fn broken_if(trouble: bool) -> Finding {
    if trouble {
        Finding::Broken
    } else {
        Finding::Sound
    }
}

/// Takes what a check found, and says so when it is news.
fn take(checks: &mut Checks, check: Check, found: Finding) {
    let before = checks.0.insert(check, found);
    let was_sound = before.is_none_or(|before| before == Finding::Sound);
    let (name, meaning) = (check.as_str(), check.meaning());
    match found {
        Finding::Sound if !was_sound => {
            tracing::info!(check = name, "the monitor's own check is sound again");
        }
        Finding::Suspect | Finding::Broken if was_sound => {
            tracing::warn!(
                check = name,
                expected = meaning,
                "the monitor's own check fails; peers that need it are not judged by it"
            );
        }
        _ => {}
    }
}

/// Timers and clocks, looked at once a tick.
struct Pulse {
    wall: SystemTime,
    monotonic: Instant,
    late: Option<Instant>,
    jumped: Option<Instant>,
}

impl Pulse {
    fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
            late: None,
            jumped: None,
        }
    }

    /// Whether a timer was late lately, and whether the clock jumped lately.
    fn feel(&mut self, late_by: Duration) -> (bool, bool) {
        let (wall, now) = (SystemTime::now(), Instant::now());
        if late_by > LATE {
            self.late = Some(now);
        }
        if host::jumped(self.wall, wall, now - self.monotonic) {
            self.jumped = Some(now);
        }
        (self.wall, self.monotonic) = (wall, now);
        let lately = |at: Option<Instant>| at.is_some_and(|at| now - at < HELD);
        (lately(self.late), lately(self.jumped))
    }
}

#[cfg(test)]
mod tests {
    use convex_client::Endpoint;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_late_timer_counts_for_fifteen_seconds() {
        let mut pulse = Pulse::new();
        assert_eq!(pulse.feel(Duration::from_millis(3)), (false, false));
        assert!(pulse.feel(Duration::from_secs(2)).0);
        tokio::time::advance(HELD / 2).await;
        assert!(pulse.feel(Duration::ZERO).0);
        tokio::time::advance(HELD / 2).await;
        assert!(!pulse.feel(Duration::ZERO).0);
    }

    #[tokio::test]
    async fn what_is_found_is_published() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reference = format!("tcp://{}", listener.local_addr().unwrap());
        let plan = Plan {
            references: vec![Endpoint::parse(&reference).unwrap()],
            // No name has a label of 64 bytes.
            names: vec!["x".repeat(64)],
            dns_name_is_configured: true,
            ..Plan::default()
        };
        let (plans, planned) = tokio::sync::watch::channel(plan);
        let (found, mut published) = tokio::sync::mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let publish = move |checks| drop(found.send(checks));
        let running = tokio::spawn(watch(planned, publish, stop.clone()));
        let mut until = async |expected: &[(Check, Finding)]| {
            let wanted: Checks = expected.iter().copied().collect();
            let waiting = async { while published.recv().await.unwrap() != wanted {} };
            timeout(Duration::from_secs(20), waiting)
                .await
                .expect("the findings come");
        };
        let own = [
            (Check::Clock, Finding::Sound),
            (Check::Descriptors, Finding::Sound),
            (Check::EventLoop, Finding::Sound),
        ];
        let far = [
            (Check::Dns, Finding::Broken),
            (Check::References, Finding::Sound),
        ];
        until(&[&own[..], &far].concat()).await;
        plans.send(Plan::default()).unwrap();
        until(&own).await;
        stop.cancel();
        running.await.unwrap();
    }
}
