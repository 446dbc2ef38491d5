//! A bounded queue of messages for one receiver. A message is published, and so may be sent, once
//! it is on disk.

use std::collections::VecDeque;

/// Largest number of alerts in the messages of one queue; beyond it the oldest messages are
/// dropped.
const MAX_QUEUED_ALERTS: usize = 10_000;

/// A message that can be queued.
pub(super) trait Queued {
    /// Returns what identifies the message.
    fn id(&self) -> &str;

    /// Returns the number of its alerts.
    fn alerts(&self) -> usize;
}

/// A bounded queue of messages for one receiver.
#[derive(Debug)]
pub(super) struct Queue<M> {
    /// Oldest first.
    messages: VecDeque<M>,
    /// Number of alerts in them.
    alerts: usize,
    /// Number of messages at the front that may be sent.
    published: usize,
    /// Number of messages dropped since this was last reported.
    dropped: usize,
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            alerts: 0,
            published: 0,
            dropped: 0,
        }
    }
}

impl<M: Queued + Clone> Queue<M> {
    /// Restores saved messages, all of which may be sent.
    pub(super) fn restore(messages: Vec<M>) -> Self {
        Self {
            alerts: messages.iter().map(M::alerts).sum(),
            published: messages.len(),
            messages: messages.into(),
            dropped: 0,
        }
    }

    /// Returns the messages to save.
    pub(super) fn export(&self) -> Vec<M> {
        self.messages.iter().cloned().collect()
    }

    pub(super) fn push(&mut self, message: M) {
        self.alerts += message.alerts();
        self.messages.push_back(message);
        while self.alerts > MAX_QUEUED_ALERTS {
            self.pop();
            self.dropped += 1;
        }
    }

    /// Allows all messages to be sent.
    pub(super) fn publish(&mut self) {
        self.published = self.messages.len();
    }

    /// Returns the first message if it may be sent.
    pub(super) fn first(&self) -> Option<&M> {
        self.messages.front().filter(|_| self.published > 0)
    }

    /// Returns the number of messages dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    /// Removes the first message if its id is `id`. Returns whether it was.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let is_first = self.messages.front().is_some_and(|it| it.id() == id);
        if is_first {
            self.pop();
        }
        is_first
    }

    /// Removes the messages that `is_outdated` selects, except the first one, which may be on its
    /// way.
    pub(super) fn remove_outdated(&mut self, is_outdated: impl Fn(&M) -> bool) {
        for i in (1..self.messages.len()).rev() {
            if is_outdated(&self.messages[i])
                && let Some(removed) = self.messages.remove(i)
            {
                self.alerts -= removed.alerts();
                self.published -= usize::from(i < self.published);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &M> {
        self.messages.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    fn pop(&mut self) {
        let popped = self.messages.pop_front();
        self.alerts -= popped.map_or(0, |message| message.alerts());
        self.published = self.published.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Message(&'static str, usize);

    impl Queued for Message {
        fn id(&self) -> &str {
            self.0
        }

        fn alerts(&self) -> usize {
            self.1
        }
    }

    fn ids(queue: &Queue<Message>) -> Vec<&str> {
        queue.iter().map(Queued::id).collect()
    }

    #[test]
    fn only_what_was_published_may_be_sent_whatever_is_removed() {
        let mut queue = Queue::default();
        for id in ["a", "b", "c"] {
            queue.push(Message(id, 1));
        }
        assert_eq!(queue.first(), None);
        queue.publish();
        queue.push(Message("d", 1));
        queue.remove_outdated(|it| matches!(it.0, "a" | "b"));
        assert_eq!(ids(&queue), ["a", "c", "d"], "the first may be on its way");
        assert!(!queue.remove("c"));
        for sent in ["a", "c"] {
            assert_eq!(queue.first().map(|it| it.0), Some(sent));
            assert!(queue.remove(sent));
        }
        assert_eq!(queue.first(), None, "d is not on disk yet");
    }

    #[test]
    fn the_oldest_messages_are_dropped_beyond_the_bound() {
        let mut queue = Queue::default();
        for id in ["a", "b", "c"] {
            queue.push(Message(id, MAX_QUEUED_ALERTS / 2));
        }
        assert_eq!(ids(&queue), ["b", "c"]);
        assert_eq!(queue.take_dropped(), 1);
        assert_eq!(queue.take_dropped(), 0);
    }
}
