//! Tells an Alertmanager, by its API of version 2, which alerts fire: at once when one begins or ends, and all of them again
//! before they would expire there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::alerting::Alert;
use crate::retry::RetryPauses;

use super::Context;
use super::message::{self, Told};
use super::outbox::Outbox;
use super::sender::{Sender, Undelivered};

/// All alerts are told again so often.
const AGAIN: Duration = Duration::from_secs(60);

/// Alerts in one request.
const BATCH: usize = 256;

/// Tells until `stop`.
pub(super) async fn run(
    mut sender: Sender,
    context: Context,
    outbox: Arc<Outbox>,
    stop: CancellationToken,
) {
    let mut published = outbox.publications();
    let mut pauses = RetryPauses::for_delivery();
    // By the ids of their last transitions.
    let mut accepted = BTreeSet::new();
    let mut again = Instant::now();
    loop {
        if again <= Instant::now() {
            accepted.clear();
            again = Instant::now() + AGAIN;
        }
        published.mark_unchanged();
        let told = outbox.told();
        let delivered = tell(&mut sender, &context, &told, &mut accepted).await;
        let next = async {
            if delivered {
                pauses = RetryPauses::for_delivery();
                tokio::select! {
                    _ = published.changed() => {}
                    () = sleep_until(again) => {}
                }
            } else {
                sleep(pauses.next_pause()).await;
            }
        };
        if stop.run_until_cancelled(next).await.is_none() {
            return;
        }
    }
}

/// Tells what is not accepted yet. Says whether all of it is now, or never will be.
async fn tell(
    sender: &mut Sender,
    context: &Context,
    alerts: &[Alert],
    accepted: &mut BTreeSet<String>,
) -> bool {
    let new: Vec<(String, &Alert)> = alerts
        .iter()
        .map(|alert| (message::id(alert, context), alert))
        .filter(|(id, _)| !accepted.contains(id))
        .collect();
    for batch in new.chunks(BATCH) {
        let now = SystemTime::now();
        let told: Vec<Told> = batch
            .iter()
            .map(|(_, alert)| Told::new(alert, context, now))
            .collect();
        let body = serde_json::to_vec(&told).expect("texts are JSON");
        match sender.post("/api/v2/alerts", body, None).await {
            Ok(()) | Err(Undelivered::Refused(_)) => {
                accepted.extend(batch.iter().map(|(id, _)| id.clone()));
            }
            Err(Undelivered::Failed(_)) => return false,
        }
    }
    true
}
