//! Queues of bounded length that never take more room than that.

use std::collections::VecDeque;

/// Makes room for one more in a queue that is shorter than `most`. Left to itself a queue would double its room, beyond
/// what it may ever hold.
pub(crate) fn make_room<T>(queue: &mut VecDeque<T>, most: usize) {
    if queue.len() == queue.capacity() {
        queue.reserve_exact(queue.len().max(4).min(most - queue.len()));
    }
}
