//! Delivers the queued messages of a chat or paging service in order, each until it is accepted or
//! rejected.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Receiver;
use crate::supervisor::liveness::Pulse;

use super::super::incident::{Action, Notice};
use super::super::outbox::Outbox;
use super::super::sender::{DeliveryError, REQUEST_TIMEOUT, Sender};
use super::super::service_state::FirstNotice;
use super::{Effect, knows, pace, read, request};

/// Delivers messages until `stop`; a request in flight is completed first.
pub(in crate::alerting::delivery) async fn run(
    mut sender: Sender,
    receiver: Receiver,
    outbox: Arc<Outbox>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut published = outbox.subscribe();
    while !stop.is_cancelled() {
        pulse.expect(REQUEST_TIMEOUT);
        published.mark_unchanged();
        let (first, dropped) = first_notice(&outbox, &receiver);
        if dropped > 0 {
            tracing::error!(
                receiver = %receiver.name, dropped,
                "the notification queue is full; the oldest notifications were dropped"
            );
        }
        let Some(first) = first else {
            pulse.turned();
            // This cannot fail: the outbox lives as long as this task.
            stop.run_until_cancelled(published.changed()).await;
            continue;
        };
        let next = deliver(&mut sender, &receiver, &first, &outbox).await;
        pulse.turned();
        if let Some(next) = next {
            stop.run_until_cancelled(sleep_until(next)).await;
        }
    }
}

/// Returns the first message, and the number of messages that were dropped.
pub(super) fn first_notice(outbox: &Outbox, receiver: &Receiver) -> (Option<FirstNotice>, usize) {
    let (first, dropped) = outbox.first_notice(&receiver.name);
    let first = first.map(|first| FirstNotice {
        message: first.message.filter(|it| knows(&receiver.service, it)),
        ..first
    });
    (first, dropped)
}

/// Sends a message once. Returns when to send the next one, or this one again.
async fn deliver(
    sender: &mut Sender,
    receiver: &Receiver,
    first: &FirstNotice,
    outbox: &Outbox,
) -> Option<Instant> {
    let FirstNotice { notice, message } = first;
    let name = &receiver.name;
    let Some(request) = request(&receiver.service, notice, message.as_deref()) else {
        outbox.notice_done(name, notice, None);
        return None;
    };
    let outcome = sender
        .call(request, Some(&notice.id), |answer| read(receiver, answer))
        .await;
    settle(outbox, name, first, &outcome);
    if let Err(DeliveryError::Retryable(_)) = outcome {
        Some(sender.next_attempt())
    } else {
        Some(sender.not_before(Instant::now() + pace(&receiver.service)))
    }
}

/// Records what came of a message.
pub(super) fn settle(
    outbox: &Outbox,
    receiver: &str,
    FirstNotice { notice, message }: &FirstNotice,
    outcome: &Result<Effect, DeliveryError>,
) {
    match outcome {
        Ok(Effect::Delivered(id)) => {
            tracing::debug!(%receiver, action = ?notice.action, "notification delivered");
            let is_first = message.is_none() && becomes_first(notice);
            let id = id.clone().filter(|_| is_first);
            outbox.notice_done(receiver, notice, id);
        }
        // The next attempt is a new message.
        Ok(Effect::Gone) if message.is_some() => outbox.forget_message(receiver, notice),
        Ok(Effect::Gone) | Err(DeliveryError::Rejected(_)) => {
            outbox.notice_done(receiver, notice, None);
        }
        Err(DeliveryError::Retryable(_)) => {}
    }
}

/// Whether a new message is the one that is edited from then on.
fn becomes_first(notice: &Notice) -> bool {
    matches!(
        notice.action,
        Action::Open | Action::Update | Action::Worse | Action::Repeat
    )
}
