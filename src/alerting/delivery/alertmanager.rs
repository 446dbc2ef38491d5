//! Sends alerts to an Alertmanager through its API version 2: immediately when one starts or ends,
//! and all of them again before they would expire there.
//!
//! No time of this host's clock decides when an alert fires there: one that fires has neither start
//! nor end, so the Alertmanager takes its own, and one that ends does so by the Alertmanager's
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::alerting::Alert;
use crate::supervisor::liveness::Pulse;

use super::context::MessageContext;
use super::message::transition_id;
use super::outbox::Outbox;
use super::receiver_clock::ReceiverClock;
use super::sender::{DeliveryError, Sender};
use super::silences::Silences;

/// All alerts are sent again after this time. `resolve_timeout` of the Alertmanager must be several
/// times as long.
const RESEND_INTERVAL: Duration = Duration::from_secs(60);

/// Longest time that sending all alerts can take: with thousands of them there are many requests.
const MAX_ROUND: Duration = Duration::from_secs(600);

/// Largest number of alerts in one request.
const MAX_ALERTS_PER_REQUEST: usize = 256;

/// Route of the API that takes alerts.
const ALERTS: &str = "/api/v2/alerts";

/// An alert in the format of Alertmanager's API (`postableAlert`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Only of an alert that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

/// A moment by the clocks of this host, and what is known of that of the Alertmanager.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    now: Instant,
    wall: SystemTime,
    receiver: Option<ReceiverClock>,
}

/// Sends alerts until `stop`.
pub(super) async fn run(
    mut sender: Sender,
    context: MessageContext,
    outbox: Arc<Outbox>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut published = outbox.subscribe();
    let mut accepted = BTreeSet::new();
    let mut silences = Silences::restore(outbox.silence_ids(&sender.receiver));
    let mut next_resend = Instant::now();
    loop {
        pulse.expect(MAX_ROUND);
        if next_resend <= Instant::now() {
            accepted.clear();
            next_resend = Instant::now() + RESEND_INTERVAL;
        }
        published.mark_unchanged();
        // First, so that no alert is notified before its silence is there.
        let wanted = outbox.wanted_silences();
        let in_sync = silences.sync(&mut sender, &context, &wanted).await;
        outbox.set_silence_ids(&sender.receiver, silences.ids());
        let mut alerts = outbox.alerts();
        alerts.retain(|alert| silences.allow(alert));
        let sent = send_new_alerts(&mut sender, &context, &alerts, &mut accepted).await;
        let delivered = in_sync && sent;
        pulse.turned();
        let wait = async {
            if delivered {
                tokio::select! {
                    _ = published.changed() => {}
                    () = sleep_until(next_resend) => {}
                }
            } else {
                sleep_until(sender.next_attempt()).await;
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// Sends one alert that ends by itself after a while.
pub(super) async fn send_test(
    sender: &mut Sender,
    context: &MessageContext,
    alert: &Alert,
    lasts: Duration,
) -> Result<(), DeliveryError> {
    // No alerts at all, to learn the time there.
    sender.post(ALERTS, b"[]".to_vec(), None).await?;
    let (now, wall) = (Instant::now(), SystemTime::now());
    let there = sender.clock.map_or(wall, |clock| clock.now(now));
    let clocks = Clocks {
        now,
        wall,
        receiver: sender.clock,
    };
    let mut posted = PostableAlert::new(alert, context, clocks);
    posted.ends_at = Some(format_rfc3339_millis(there + lasts).to_string());
    let body = serde_json::to_vec(&[posted]).expect("strings can be encoded as JSON");
    sender.post(ALERTS, body, None).await
}

/// Sends the alerts whose last transition is not in `accepted`. Returns whether all of them were
/// accepted or rejected, so that none is left to retry.
async fn send_new_alerts(
    sender: &mut Sender,
    context: &MessageContext,
    alerts: &[Alert],
    accepted: &mut BTreeSet<String>,
) -> bool {
    let new_alerts: Vec<(String, &Alert)> = alerts
        .iter()
        .map(|alert| (transition_id(alert, context), alert))
        .filter(|(id, _)| !accepted.contains(id))
        .collect();
    // No alerts at all, to learn the time there.
    if !new_alerts.is_empty()
        && sender.clock.is_none()
        && let Err(DeliveryError::Retryable(_)) = sender.post(ALERTS, b"[]".to_vec(), None).await
    {
        return false;
    }
    for batch in new_alerts.chunks(MAX_ALERTS_PER_REQUEST) {
        let clocks = Clocks {
            now: Instant::now(),
            wall: SystemTime::now(),
            receiver: sender.clock,
        };
        let postable: Vec<PostableAlert> = batch
            .iter()
            .map(|(_, alert)| PostableAlert::new(alert, context, clocks))
            .collect();
        let body = serde_json::to_vec(&postable).expect("strings can be encoded as JSON");
        match sender.post(ALERTS, body, None).await {
            Ok(()) | Err(DeliveryError::Rejected(_)) => {
                accepted.extend(batch.iter().map(|(id, _)| id.clone()));
            }
            Err(DeliveryError::Retryable(_)) => return false,
        }
    }
    true
}

impl Clocks {
    /// Converts a time of this host to the clock of the Alertmanager, as far as that is known. None
    /// is in the future there.
    fn convert(self, time: SystemTime) -> SystemTime {
        self.receiver.map_or_else(
            || time.min(self.wall),
            |receiver| receiver.convert(time, self.now, self.wall),
        )
    }
}

impl PostableAlert {
    fn new(alert: &Alert, context: &MessageContext, clocks: Clocks) -> Self {
        let mut annotations = context.annotations(alert);
        let started_at = format_rfc3339_seconds(clocks.convert(alert.starts_at));
        annotations.insert("started_at".to_owned(), started_at.to_string());
        let ends_at = alert.ends_at.map(|ends_at| clocks.convert(ends_at));
        Self {
            labels: context.labels(alert),
            annotations,
            ends_at: ends_at.map(|ends_at| format_rfc3339_millis(ends_at).to_string()),
            generator_url: context.page_url(&alert.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::alerting::{AlertSubject, RULES};
    use crate::config;

    use super::*;

    #[test]
    fn only_an_alert_that_ended_has_a_time_and_that_is_never_in_the_future_there() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (now, there) = (Instant::now(), at(1_000_000));
        let context = MessageContext::from_config(&config::embedded());
        let day = Duration::from_secs(24 * 3600);
        // The clock of this host is right, ahead, behind; the alert ended a minute ago, or will by
        // a clock that was ahead.
        for wall in [there, there + day, there - day] {
            for (ended, expected) in [
                (None, None),
                (
                    Some(wall - Duration::from_secs(60)),
                    Some(there - Duration::from_secs(60)),
                ),
                (Some(wall + day), Some(there)),
            ] {
                let alert = Alert {
                    rule: &RULES[0],
                    subject: AlertSubject::Monitor,
                    starts_at: wall - Duration::from_secs(300),
                    ends_at: ended,
                    ended_by: None,
                    description: String::new(),
                    acknowledged: None,
                    silenced: None,
                };
                let clocks = Clocks {
                    now,
                    wall,
                    receiver: Some(ReceiverClock::new(there, now)),
                };
                let posted =
                    serde_json::to_value(PostableAlert::new(&alert, &context, clocks)).unwrap();
                let expected = expected.map(|time| format_rfc3339_millis(time).to_string());
                assert_eq!(
                    posted.get("endsAt").and_then(|it| it.as_str()),
                    expected.as_deref()
                );
                assert_eq!(posted.get("startsAt"), None);
                let started = format_rfc3339_seconds(there - Duration::from_secs(300)).to_string();
                assert_eq!(posted["annotations"]["started_at"], started);
            }
        }
    }
}
