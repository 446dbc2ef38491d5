//! What the outbox has for one chat or paging service: its incidents, and a queue of messages.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::incident::{Action, Incident, Incidents, Notice};
use super::queue::Queue;

/// The incidents and the queue of a chat or paging service.
#[derive(Debug, Default)]
pub(super) struct ServiceState {
    pub(super) incidents: Incidents,
    pub(super) queue: Queue<Notice>,
}

/// The first message for a chat or paging service.
#[derive(Debug)]
pub(super) struct FirstNotice {
    pub(super) notice: Notice,
    /// The service's id of the first message of its incident.
    pub(super) message: Option<String>,
}

/// Saved state of a chat or paging service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PersistedService {
    incidents: Vec<Incident>,
    queue: Vec<Notice>,
}

impl ServiceState {
    /// Restores what was saved.
    pub(super) fn restore(saved: PersistedService) -> Self {
        Self {
            incidents: Incidents::restore(saved.incidents),
            queue: Queue::restore(saved.queue),
        }
    }

    /// Queues a message. One that replaces what an earlier one shows makes that one needless.
    pub(super) fn push(&mut self, notice: Notice) {
        if notice.action == Action::Update {
            self.queue.remove_outdated(|queued| {
                queued.action == Action::Update && queued.incident == notice.incident
            });
        }
        self.queue.push(notice);
    }

    /// Forgets the incidents that are over and of which no message waits.
    pub(super) fn tidy(&mut self) {
        let queued: BTreeSet<&str> = self.queue.iter().map(|it| it.incident.as_str()).collect();
        self.incidents.retain_needed(|key| queued.contains(key));
    }

    pub(super) fn export(&self) -> PersistedService {
        PersistedService {
            incidents: self.incidents.export(),
            queue: self.queue.export(),
        }
    }

    /// Returns the first published message, and the number of messages dropped since the last call.
    pub(super) fn first(&mut self) -> (Option<FirstNotice>, usize) {
        let first = self.queue.first().map(|notice| FirstNotice {
            notice: notice.clone(),
            message: self.incidents.message(&notice.incident).map(str::to_owned),
        });
        (first, self.queue.take_dropped())
    }
}
