//! The highest state block that the majority of a network has reached, and who is behind it. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Steps of the head that are remembered to date a lag.
const HEAD_STEPS: usize = 4096;

/// How far a peer is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Blocks.
    pub blocks: i64,
    /// Since the head was first seen beyond the peer's state block; zero when level.
    pub time: Duration,
}

/// The network's head and when it was first seen at each of its last steps.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Head {
    steps: VecDeque<(i64, Instant)>,
}

impl Head {
    pub(in crate::fleet) fn see(&mut self, reached: Option<i64>, now: Instant) {
        let Some(reached) = reached else { return };
        if self.block().is_none_or(|head| reached > head) {
            self.steps.push_back((reached, now));
            if self.steps.len() > HEAD_STEPS {
                self.steps.pop_front();
            }
        }
    }

    pub(in crate::fleet) fn block(&self) -> Option<i64> {
        self.steps.back().map(|(block, _)| *block)
    }

    /// How far `block` is behind the head.
    pub(in crate::fleet) fn lag(&self, block: i64, now: Instant) -> Option<Lag> {
        let head = self.block()?;
        let first_beyond = self.steps.partition_point(|(step, _)| *step <= block);
        Some(Lag {
            blocks: head.saturating_sub(block).max(0),
            time: self
                .steps
                .get(first_beyond)
                .map_or(Duration::ZERO, |(_, seen)| now - *seen),
        })
    }
}
