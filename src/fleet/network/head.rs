//! The head of a network, the highest block that is final for enough stake, and how far a peer is
//! behind it. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Number of advances of the head that are remembered to find out since when a peer lags.
const MAX_ADVANCES: usize = 4096;

/// The head is final for more than one part in this many of the stake.
pub(super) const HEAD_STAKE_DIVISOR: u128 = 3;

/// How far a peer is behind the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Blocks.
    pub blocks: i64,
    /// For how long, when the peer was asked, the agent had seen the head beyond the peer's last
    /// final block; zero if the peer is at the head.
    pub time: Duration,
}

/// Whose stake the head rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadBasis {
    /// More than a third of the registered stake reached it.
    Registered,
    /// More than a third of the stake of the configured peers reached it: less than a third of the
    /// registered stake is heard.
    Configured,
}

/// The head, and when each of its last advances was first seen.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Head {
    advances: VecDeque<(i64, Instant)>,
}

impl Head {
    /// Moves the head to `block`, which can be lower than before.
    pub(super) fn set(&mut self, block: i64, now: Instant) {
        // A block below a lost head was first seen final with what is lost.
        let mut seen = now;
        while let Some((_, lost)) = self.advances.back().filter(|(head, _)| *head > block) {
            seen = *lost;
            self.advances.pop_back();
        }
        if self.block() == Some(block) {
            return;
        }
        self.advances.push_back((block, seen));
        if self.advances.len() > MAX_ADVANCES {
            self.advances.pop_front();
        }
    }

    pub(in crate::fleet) fn block(&self) -> Option<i64> {
        self.advances.back().map(|(block, _)| *block)
    }

    /// Returns when the head was last seen to advance; none if it stands where it was first found.
    pub(super) fn advanced(&self) -> Option<Instant> {
        let last = self.advances.back().filter(|_| self.advances.len() > 1)?;
        Some(last.1)
    }

    /// Returns how far a peer that was asked at `asked`, and at which `block` is final, was behind
    /// the head as it was known then; none if it was not. What the head reached later may be final
    /// at the peer by now.
    pub(in crate::fleet) fn lag(&self, block: i64, asked: Instant) -> Option<Lag> {
        let seen = self.advances.partition_point(|(_, seen)| *seen <= asked);
        let (head, _) = self.advances.get(seen.checked_sub(1)?)?;
        let first_beyond = self
            .advances
            .partition_point(|(reached, _)| *reached <= block);
        let beyond_since = self.advances.get(first_beyond);
        Some(Lag {
            blocks: head.saturating_sub(block).max(0),
            time: beyond_since.map_or(Duration::ZERO, |(_, seen)| {
                asked.saturating_duration_since(*seen)
            }),
        })
    }
}

/// Returns the highest block that peers with more than a third of `total` have reached; `peers` has
/// the block and the stake of each.
pub(super) fn reached_by_a_third(
    peers: impl Iterator<Item = (i64, u64)>,
    total: u128,
) -> Option<i64> {
    let mut peers: Vec<_> = peers.collect();
    peers.sort_unstable_by_key(|(block, _)| std::cmp::Reverse(*block));
    let mut reached: u128 = 0;
    peers
        .into_iter()
        .find(|(_, stake)| {
            reached += u128::from(*stake);
            reached * HEAD_STAKE_DIVISOR > total
        })
        .map(|(block, _)| block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_the_highest_block_that_more_than_a_third_of_the_stake_has_reached() {
        for (peers, total, expected) in [
            (&[(5, 34), (4, 33), (3, 33)][..], 100, Some(5)),
            (&[(5, 33), (4, 33), (3, 34)], 100, Some(4)),
            (&[(i64::MAX, 1), (4, 33), (3, 34)], 100, Some(4)),
            (&[(5, 33)], 100, None),
            (&[(5, 0), (4, 0)], 0, None),
            (&[], 100, None),
        ] {
            let head = reached_by_a_third(peers.iter().copied(), total);
            assert_eq!(head, expected, "{peers:?}");
        }
    }

    #[test]
    fn a_head_that_is_found_has_not_advanced_yet() {
        let start = Instant::now();
        let mut head = Head::default();
        assert_eq!(head.advanced(), None);
        head.set(10, start);
        head.set(10, start + Duration::from_secs(1));
        assert_eq!(head.advanced(), None);
        let later = start + Duration::from_secs(2);
        head.set(11, later);
        assert_eq!(head.advanced(), Some(later));
        head.set(10, later);
        assert_eq!(head.advanced(), None, "blocks beyond it are lost");
    }

    #[test]
    fn what_the_head_reached_after_a_peer_was_asked_is_no_lag() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut head = Head::default();
        assert_eq!(head.lag(10, at(0)), None);
        for (block, seconds) in [(10, 10), (20, 20), (50, 30)] {
            head.set(block, at(seconds));
        }
        assert_eq!(head.lag(9, at(9)), None);
        for (block, asked, expected) in [
            (9, 10, (1, 0)),
            (10, 19, (0, 0)),
            (10, 20, (10, 0)),
            (10, 29, (10, 9)),
            (10, 30, (40, 10)),
            (20, 29, (0, 0)),
        ] {
            let lag = head.lag(block, at(asked)).unwrap();
            assert_eq!(
                (lag.blocks, lag.time.as_secs()),
                expected,
                "{block} at {asked} s"
            );
        }
    }

    #[test]
    fn a_head_that_goes_back_forgets_what_was_beyond() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut head = Head::default();
        for (block, seconds) in [(10, 0), (20, 10), (30, 20), (15, 30), (25, 40)] {
            head.set(block, at(seconds));
        }
        assert_eq!(head.block(), Some(25));
        assert_eq!(head.advanced(), Some(at(40)));
        let lag = |block| {
            head.lag(block, at(50))
                .map(|lag| (lag.blocks, lag.time.as_secs()))
        };
        assert_eq!(lag(10), Some((15, 40)), "11 to 15 were final all the time");
        assert_eq!(lag(15), Some((10, 10)));
        assert_eq!(lag(25), Some((0, 0)));
        assert_eq!(lag(99), Some((0, 0)));
    }
}
