//! Tells a webhook of each transition, in their order and each until it is delivered.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::retry::RetryPauses;

use super::outbox::Outbox;
use super::sender::{Sender, Undelivered};

/// Tells until `stop`. A request under way is waited for.
pub(super) async fn run(mut sender: Sender, outbox: Arc<Outbox>, stop: CancellationToken) {
    let mut published = outbox.publications();
    let mut pauses = RetryPauses::for_delivery();
    let webhook = sender.receiver.clone();
    while !stop.is_cancelled() {
        published.mark_unchanged();
        let (first, lost) = outbox.first(&webhook);
        if lost > 0 {
            tracing::error!(receiver = %webhook, lost, "too many notifications wait; the oldest are given up");
        }
        let Some(transition) = first else {
            // The outbox lives as long as this task.
            stop.run_until_cancelled(published.changed()).await;
            continue;
        };
        let body = serde_json::to_vec(&transition).expect("texts are JSON");
        match sender.post("", body, Some(&transition.id)).await {
            Ok(()) => {
                tracing::debug!(receiver = %webhook, alertname = transition.alertname(), "a notification is delivered");
                outbox.done(&webhook, &transition.id);
                pauses = RetryPauses::for_delivery();
            }
            Err(Undelivered::Refused(_)) => outbox.done(&webhook, &transition.id),
            Err(Undelivered::Failed(_)) => {
                stop.run_until_cancelled(sleep(pauses.next_pause())).await;
            }
        }
    }
}
