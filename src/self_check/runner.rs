//! Runs the checks. Those that can block run in tasks of their own with a timeout; timers and
//! clocks are sampled once per second.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::supervisor::liveness::Pulse;

use super::clock::ClockProbe;
use super::host;
use super::kinds::{Check, CheckResult, Checks};
use super::plan::Plan;
use super::report::Report;

/// Interval of the samples of timers and clocks, and of publishing all results.
const TICK: Duration = Duration::from_secs(1);

/// Interval of the checks that run in tasks.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long such a check can take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a check passed.
type Running = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Checks this host according to the latest of `plans`, and passes the results to `publish` once
/// per second. Never returns.
pub async fn run(mut plans: Receiver<Plan>, publish: impl Fn(Checks) + Send, pulse: Pulse) {
    let mut plan = plans.borrow_and_update().clone();
    let mut checks = Checks::default();
    let mut report = Report::default();
    let mut running = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut clock = ClockProbe::new();
    let mut next_tick = Instant::now();
    let mut next_checks = next_tick;
    loop {
        pulse.expect(TICK);
        tokio::select! {
            biased;
            Ok(()) = plans.changed() => {
                plan = plans.borrow_and_update().clone();
                checks.0.retain(|check, _| plan.checks().any(|needed| needed == *check));
                next_checks = Instant::now();
                continue;
            }
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                match ended {
                    Ok((check, passed)) => {
                        running.remove(&check);
                        if plan.checks().any(|needed| needed == check) {
                            checks.0.insert(check, result(&plan, check, passed));
                        }
                    }
                    Err(error) => {
                        // The error does not name the check, so allow all of them to start again.
                        running.clear();
                        tracing::error!(%error, "a self-check panicked");
                    }
                }
                continue;
            }
            () = sleep_until(next_tick) => {
                let sample = clock.sample(next_tick.elapsed());
                checks.0.insert(Check::EventLoop, failed_if(sample.timer_late));
                checks.0.insert(Check::Clock, failed_if(sample.clock_jumped));
                next_tick = Instant::now() + TICK;
            }
        }
        report.log(&checks);
        publish(checks.clone());
        pulse.turned();
        if Instant::now() >= next_checks {
            next_checks = Instant::now() + CHECK_INTERVAL;
            for check in plan.checks() {
                if let Some(check_run) = start(&plan, check)
                    && running.insert(check)
                {
                    tasks.spawn(async move {
                        let passed = timeout(CHECK_TIMEOUT, check_run).await;
                        (check, passed.unwrap_or(false))
                    });
                }
            }
        }
    }
}

/// Runs each check of `plan` that does not need samples once, all at the same time.
pub async fn check_once(plan: &Plan) -> Checks {
    let checks = plan.checks().filter_map(|check| {
        let running = start(plan, check)?;
        Some(async move {
            let passed = timeout(CHECK_TIMEOUT, running).await.unwrap_or(false);
            (check, result(plan, check, passed))
        })
    });
    join_all(checks).await.into_iter().collect()
}

/// Starts a check that runs in a task; none for those that are sampled.
fn start(plan: &Plan, check: Check) -> Option<Running> {
    Some(match check {
        Check::Dns => Box::pin(host::any_resolves(plan.names.clone())),
        Check::Route => Box::pin(host::any_has_route(plan.routes.clone())),
        Check::References => Box::pin(host::any_accepts_connection(plan.references.clone())),
        Check::Descriptors => Box::pin(async {
            let counting = tokio::task::spawn_blocking(host::has_free_descriptors);
            counting.await.unwrap_or(true)
        }),
        Check::Clock | Check::EventLoop => return None,
    })
}

/// Returns the result of a check that passed or not. Names of peers and references that do not
/// answer can be gone themselves.
const fn result(plan: &Plan, check: Check, passed: bool) -> CheckResult {
    match check {
        _ if passed => CheckResult::Passed,
        Check::References => CheckResult::Suspect,
        Check::Dns if !plan.dns_name_is_configured => CheckResult::Suspect,
        _ => CheckResult::Failed,
    }
}

const fn failed_if(failed: bool) -> CheckResult {
    if failed {
        CheckResult::Failed
    } else {
        CheckResult::Passed
    }
}

#[cfg(test)]
mod tests {
    use convex_client::Endpoint;

    use crate::supervisor::liveness::{Liveness, Part};

    use super::*;

    #[tokio::test]
    async fn results_are_published_and_follow_the_plan() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reference = format!("tcp://{}", listener.local_addr().unwrap());
        let plan = Plan {
            references: vec![Endpoint::parse(&reference).unwrap()],
            // Invalid, because no label has 64 bytes.
            names: vec!["x".repeat(64)],
            dns_name_is_configured: true,
            ..Plan::default()
        };
        let (plans, receiver) = tokio::sync::watch::channel(plan);
        let (sender, mut published) = tokio::sync::mpsc::unbounded_channel();
        let publish = move |checks| drop(sender.send(checks));
        let pulse = Liveness::default().pulse(Part::SelfChecks, "self-checks");
        let running = tokio::spawn(run(receiver, publish, pulse));
        let mut until_published = async |expected: &[(Check, CheckResult)]| {
            let expected: Checks = expected.iter().copied().collect();
            let waiting = async { while published.recv().await.unwrap() != expected {} };
            timeout(Duration::from_secs(20), waiting)
                .await
                .expect("the results are published");
        };
        let always = [
            (Check::Clock, CheckResult::Passed),
            (Check::Descriptors, CheckResult::Passed),
            (Check::EventLoop, CheckResult::Passed),
        ];
        let planned = [
            (Check::Dns, CheckResult::Failed),
            (Check::References, CheckResult::Passed),
        ];
        until_published(&[&always[..], &planned].concat()).await;
        plans.send(Plan::default()).unwrap();
        until_published(&always).await;
        running.abort();
    }
}
