//! Queues of bounded length that never allocate more than that.

use std::collections::VecDeque;

/// Reserves space for one more element in a queue that is shorter than `max_len`. By itself a queue
/// doubles its capacity, beyond what it may ever hold.
pub(crate) fn reserve_bounded<T>(queue: &mut VecDeque<T>, max_len: usize) {
    if queue.len() == queue.capacity() {
        queue.reserve_exact(queue.len().max(4).min(max_len - queue.len()));
    }
}
