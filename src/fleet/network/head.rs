//! The head of a network, the highest state block that its majority has reached, and how far a peer
//! is behind it. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Number of advances of the head that are remembered to find out since when a peer lags.
const MAX_ADVANCES: usize = 4096;

/// How far a peer is behind the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Blocks.
    pub blocks: i64,
    /// Time since the head was first seen beyond the peer's state block; zero if the peer is at the
    /// head.
    pub time: Duration,
}

/// The head, and when each of its last advances was first seen.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Head {
    advances: VecDeque<(i64, Instant)>,
}

impl Head {
    /// Advances to `block`, which is beyond the head.
    pub(super) fn advance(&mut self, block: i64, now: Instant) {
        self.advances.push_back((block, now));
        if self.advances.len() > MAX_ADVANCES {
            self.advances.pop_front();
        }
    }

    pub(in crate::fleet) fn block(&self) -> Option<i64> {
        self.advances.back().map(|(block, _)| *block)
    }

    /// Returns how far `block` is behind the head.
    pub(in crate::fleet) fn lag(&self, block: i64, now: Instant) -> Option<Lag> {
        let head = self.block()?;
        let first_beyond = self
            .advances
            .partition_point(|(reached, _)| *reached <= block);
        Some(Lag {
            blocks: head.saturating_sub(block).max(0),
            time: self
                .advances
                .get(first_beyond)
                .map_or(Duration::ZERO, |(_, seen)| {
                    now.saturating_duration_since(*seen)
                }),
        })
    }
}
