//! Calls a dead man's switch as long as the agent is well: it tells somebody when the calls stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::retry::RetryPauses;

use super::sender::Sender;

/// Calls every `interval` until `stop`; not while a check of the agent itself fails.
pub(super) async fn run(
    mut sender: Sender,
    interval: Duration,
    fleet: Arc<Fleet>,
    stop: CancellationToken,
) {
    let mut withheld = false;
    while !stop.is_cancelled() {
        let next = Instant::now() + interval;
        let well = fleet.checks().all_passed();
        if withheld == well {
            withheld = !well;
            if withheld {
                tracing::warn!("the heartbeat is withheld while a check of the agent itself fails");
            } else {
                tracing::info!("the heartbeat goes on");
            }
        }
        if well {
            let tries = call(&mut sender, next);
            if stop.run_until_cancelled(tries).await.is_none() {
                return;
            }
        }
        stop.run_until_cancelled(sleep_until(next)).await;
    }
}

/// Calls once, and again until that is delivered or the next call is due.
async fn call(sender: &mut Sender, next: Instant) {
    let mut pauses = RetryPauses::for_delivery();
    while sender.post("", Vec::new(), None).await.is_err() {
        let pause = pauses.next_pause();
        if Instant::now() + pause >= next {
            return;
        }
        sleep(pause).await;
    }
}
