//! Delivers the queued notifications of a webhook in order, each until it is accepted or rejected.

use std::sync::Arc;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::supervisor::liveness::Pulse;

use super::outbox::Outbox;
use super::queue::Queued;
use super::sender::{DeliveryError, REQUEST_TIMEOUT, Sender};

/// Delivers notifications until `stop`; a request in flight is completed first.
pub(super) async fn run(
    mut sender: Sender,
    outbox: Arc<Outbox>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut published = outbox.subscribe();
    let webhook = sender.receiver.clone();
    while !stop.is_cancelled() {
        pulse.expect(REQUEST_TIMEOUT);
        published.mark_unchanged();
        let (first, dropped) = outbox.first(&webhook);
        if dropped > 0 {
            tracing::error!(
                receiver = %webhook, dropped,
                "the notification queue is full; the oldest notifications were dropped"
            );
        }
        let Some(message) = first else {
            pulse.turned();
            // This cannot fail: the outbox lives as long as this task.
            stop.run_until_cancelled(published.changed()).await;
            continue;
        };
        let body = serde_json::to_vec(&message).expect("strings can be encoded as JSON");
        let outcome = sender.post("", body, Some(message.id())).await;
        pulse.turned();
        match outcome {
            Ok(()) => {
                tracing::debug!(
                    receiver = %webhook, alertnames = %message.alertnames(),
                    "notification delivered"
                );
                outbox.remove(&webhook, message.id());
            }
            Err(DeliveryError::Rejected(_)) => outbox.remove(&webhook, message.id()),
            Err(DeliveryError::Retryable(_)) => {
                let next = sender.next_attempt();
                stop.run_until_cancelled(sleep_until(next)).await;
            }
        }
    }
}
