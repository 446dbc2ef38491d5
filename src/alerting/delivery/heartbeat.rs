//! Calls a dead man's switch while the agent is healthy; the switch alerts when the calls stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::supervisor::liveness::{Liveness, Pulse};

use super::sender::Sender;

/// Sends a heartbeat every `interval` until `stop`, except while a self-check fails, a part of the
/// agent is stuck, or the receiver asks for no requests.
pub(super) async fn run(
    mut sender: Sender,
    interval: Duration,
    fleet: Arc<Fleet>,
    (pulse, liveness): (Pulse, Liveness),
    stop: CancellationToken,
) {
    let mut paused = false;
    while !stop.is_cancelled() {
        let next = Instant::now() + interval;
        pulse.expect(interval);
        let healthy = fleet.checks().all_passed() && liveness.stuck().is_empty();
        if paused == healthy {
            paused = !healthy;
            if paused {
                tracing::warn!(
                    "heartbeat paused: a self-check fails or a part of the agent is stuck"
                );
            } else {
                tracing::info!("heartbeat resumed");
            }
        }
        if healthy {
            let sending = send_with_retries(&mut sender, next);
            if stop.run_until_cancelled(sending).await.is_none() {
                return;
            }
        }
        pulse.turned();
        stop.run_until_cancelled(sleep_until(sender.not_before(next)))
            .await;
    }
}

/// Sends one heartbeat; retries until it is delivered or the next one is due.
async fn send_with_retries(sender: &mut Sender, next: Instant) {
    while sender.post("", Vec::new(), None).await.is_err() {
        let again = sender.next_attempt();
        if again >= next {
            return;
        }
        sleep_until(again).await;
    }
}
