//! Plays a rehearsal: starts everything, lets happen what is to happen, and listens.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::judge::{Arrival, Verdict, judge};
use super::pipeline::{DEAD_MANS_SWITCH, Notification, Pace, root};
use super::rehearsal::{End, Rehearsal, Span, Way};
use super::rig::{Rig, lead};
use super::service::Service;

/// How long to wait for alerts that must arrive and end, after everything has happened. The slowest
/// take a minute in the agent, ten in the rules and one in Alertmanager; who hears whom is judged
/// after five minutes, and takes three more.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long to listen for more when all that must arrive did: longer than the waits of any route.
const fn quiet(play: (Way, Pace)) -> Duration {
    Duration::from_secs(match play {
        (_, Pace::Fast) => 12,
        (_, Pace::Shipped) => 140,
    })
}

/// The machine is too busy.
#[derive(Debug, thiserror::Error)]
#[error("not all peers were up before the fault: the machine is too busy")]
pub(super) struct TooBusy;

/// Plays a rehearsal, and hands each line of what happens to `say`. By webhook, the agent can
/// notify a stand-in of `service` too.
pub(super) async fn play(
    rehearsal: &Rehearsal,
    (way, pace): (Way, Pace),
    service: Option<Service>,
    say: &mut (impl FnMut(String) + Send),
) -> anyhow::Result<Verdict> {
    let logs = logs(rehearsal, (way, pace));
    let mut rig = Rig::start(rehearsal, (way, pace), service, &logs).await?;
    say(format!("{}: {}", rehearsal.name, rehearsal.story()));
    say(rig.to_string());
    let begins = rig.network_started + lead(pace);
    if !rig.all_up_before(begins).await? {
        return Err(TooBusy.into());
    }
    say("all peers are up".to_owned());
    let mut arrivals = Vec::new();
    let span = |span: Span| span.at((way, pace));
    let lasts = begins + rehearsal.lasts((way, pace));
    let mut acts = rehearsal.acts.iter().copied().peekable();
    let cause_ends = match rehearsal.end {
        End::Resolved(at) => Some(span(at)),
        End::None | End::Unchecked | End::By(_) => None,
    };
    // When enough was heard.
    let mut until = lasts + LIMIT;
    loop {
        if judge(rehearsal, cause_ends, &arrivals).is_complete() {
            until = until.min(lasts.max(Instant::now()) + quiet((way, pace)));
        }
        let next_act = acts.peek().map(|(at, act)| (begins + span(*at), *act));
        tokio::select! {
            delivery = rig.receiver.next() => {
                if delivery.to != DEAD_MANS_SWITCH {
                    let notification = delivery.notification()?;
                    let arrival = arrival(delivery.to, delivery.at, notification, begins);
                    say(arrival.to_string());
                    arrivals.push(arrival);
                }
            }
            () = sleep_until(next_act.map_or(until, |(at, _)| at)), if next_act.is_some() => {
                acts.next();
                if let Some((at, act)) = next_act {
                    say(format!("{} s after the fault: {act:?}", (at - begins).as_secs()));
                    rig.perform(act).await?;
                }
            }
            () = sleep_until(until) => break,
        }
    }
    let mut verdict = judge(rehearsal, cause_ends, &arrivals);
    if let Some(service) = &rig.service {
        let (messages, problems) = service.outcome(!rehearsal.must.is_empty());
        messages.into_iter().for_each(say);
        verdict.problems.extend(problems);
    }
    Ok(verdict)
}

/// Records what arrived at this moment.
fn arrival(to: String, at: Instant, notification: Notification, begins: Instant) -> Arrival {
    let after = at.saturating_duration_since(begins).as_secs_f64();
    let before = begins.saturating_duration_since(at).as_secs_f64();
    Arrival {
        after: after - before,
        at: SystemTime::now() - at.elapsed(),
        to,
        notification,
    }
}

/// Returns the directory for configurations, states and logs of the agents.
fn logs(rehearsal: &Rehearsal, (way, pace): (Way, Pace)) -> PathBuf {
    let name = format!("{}-{}-{pace:?}", rehearsal.name, way.as_str()).to_lowercase();
    root().join("target/rehearsals").join(name)
}
