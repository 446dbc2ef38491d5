//! Sends alerts to an Alertmanager through its API version 2: immediately when one starts or ends,
//! and all of them again before they would expire there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::alerting::Alert;
use crate::supervisor::liveness::Pulse;

use super::message::{MessageContext, PostableAlert, transition_id};
use super::outbox::Outbox;
use super::sender::{DeliveryError, Sender};

/// All alerts are sent again after this time.
const RESEND_INTERVAL: Duration = Duration::from_secs(60);

/// Longest time that sending all alerts can take: with thousands of them there are many requests.
const MAX_ROUND: Duration = Duration::from_secs(600);

/// Largest number of alerts in one request.
const MAX_ALERTS_PER_REQUEST: usize = 256;

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
    let mut next_resend = Instant::now();
    loop {
        pulse.expect(MAX_ROUND);
        if next_resend <= Instant::now() {
            accepted.clear();
            next_resend = Instant::now() + RESEND_INTERVAL;
        }
        published.mark_unchanged();
        let alerts = outbox.alerts();
        let delivered = send_new_alerts(&mut sender, &context, &alerts, &mut accepted).await;
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
    for batch in new_alerts.chunks(MAX_ALERTS_PER_REQUEST) {
        let now = SystemTime::now();
        let postable: Vec<PostableAlert> = batch
            .iter()
            .map(|(_, alert)| PostableAlert::new(alert, context, now))
            .collect();
        let body = serde_json::to_vec(&postable).expect("strings can be encoded as JSON");
        match sender.post("/api/v2/alerts", body, None).await {
            Ok(()) | Err(DeliveryError::Rejected(_)) => {
                accepted.extend(batch.iter().map(|(id, _)| id.clone()));
            }
            Err(DeliveryError::Retryable(_)) => return false,
        }
    }
    true
}
