//! When to poll next: the phase of each peer, its slots, and the longer pauses while it is down.
//! Reads no clock.

use std::time::{Duration, SystemTime};

use sha3::{Digest, Sha3_256};
use tokio::time::Instant;

/// After a start all peers are polled once within this part of their interval, but at most
/// [`MAX_FIRST_ROUND`].
const FIRST_ROUND_OF_INTERVAL: f64 = 0.9;
/// See [`FIRST_ROUND_OF_INTERVAL`].
const MAX_FIRST_ROUND: Duration = Duration::from_secs(10);

/// Returns a peer's offset in the interval, from the hash of `key`, its name or more. Polls are
/// spread evenly and keep their times across restarts.
#[must_use]
pub fn phase(key: &str, interval: Duration) -> Duration {
    let digest = Sha3_256::digest(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let nanos = (u128::from(u64::from_be_bytes(first)) * interval.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Returns the time from `now` to the next slot: the next wall-clock time that is `phase` past a
/// multiple of `interval`. Less than `interval`.
#[must_use]
pub fn until_next_slot(now: SystemTime, phase: Duration, interval: Duration) -> Duration {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let interval = interval.as_nanos().max(1);
    let wait = (phase.as_nanos() % interval + interval - since % interval) % interval;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
}

/// Returns how long before its first slot, which is `until_slot` away, a peer is polled for the
/// first time. All peers are polled once soon after the start, even when their interval is long.
#[must_use]
pub fn head_start(until_slot: Duration, interval: Duration) -> Duration {
    let round = interval
        .mul_f64(FIRST_ROUND_OF_INTERVAL)
        .min(MAX_FIRST_ROUND);
    until_slot.mul_f64(1.0 - round.as_secs_f64() / interval.as_secs_f64())
}

/// Returns the number of intervals until the next poll: 1, doubled with each poll while the peer is
/// down, up to `max_interval`.
pub(super) fn intervals_to_next_poll(
    polls_while_down: u32,
    interval: Duration,
    max_interval: Duration,
) -> u32 {
    let max =
        u32::try_from(max_interval.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    1_u32
        .checked_shl(polls_while_down)
        .unwrap_or(u32::MAX)
        .clamp(1, max.max(1))
}

/// Returns the first slot after `now`, a whole number of intervals before `due`, or `due` itself.
pub(super) fn earliest_slot(due: Instant, interval: Duration, now: Instant) -> Instant {
    let early = due.saturating_duration_since(now).as_nanos();
    let intervals = early.saturating_sub(1) / interval.as_nanos().max(1);
    due - interval * u32::try_from(intervals).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn phases_are_spread_over_the_interval_and_depend_only_on_the_name() {
        let mut tenths = [0; 10];
        for i in 0..10_000 {
            let phase = phase(&format!("peer-{i}"), INTERVAL);
            assert!(phase < INTERVAL);
            tenths[usize::try_from(phase.as_secs()).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
        assert_eq!(phase("gateway", INTERVAL), phase("gateway", INTERVAL));
    }

    #[test]
    fn the_first_slot_does_not_depend_on_when_the_agent_starts() {
        let phase = Duration::from_millis(7_300);
        for start_ms in [0, 7_299, 7_300, 7_301, 9_999, 123_456] {
            let start = SystemTime::UNIX_EPOCH + Duration::from_millis(start_ms);
            let wait = until_next_slot(start, phase, INTERVAL);
            assert!(wait < INTERVAL);
            assert_eq!(
                (u128::from(start_ms) + wait.as_millis()) % 10_000,
                7_300,
                "started at {start_ms} ms"
            );
        }
    }

    #[test]
    fn the_first_round_is_spread_and_shorter_than_an_interval() {
        let seconds = Duration::from_secs;
        for (interval, round) in [(seconds(10), seconds(9)), (seconds(600), seconds(10))] {
            for part in [0_u32, 1, 5, 10] {
                let until = interval * part / 10;
                let first = until.saturating_sub(head_start(until, interval));
                let expected = round * part / 10;
                assert!(
                    first.abs_diff(expected) < Duration::from_micros(1),
                    "{first:?}"
                );
            }
        }
    }

    #[test]
    fn a_peer_that_stays_down_is_polled_less_and_less_often() {
        let intervals: Vec<u32> = (0..6)
            .map(|polls| intervals_to_next_poll(polls, INTERVAL, INTERVAL * 9))
            .collect();
        assert_eq!(intervals, [1, 2, 4, 8, 9, 9]);
        assert_eq!(
            intervals_to_next_poll(40, INTERVAL, INTERVAL),
            1,
            "by default the interval does not change"
        );
    }

    #[test]
    fn a_peer_that_recovers_is_due_at_its_next_slot() {
        let now = Instant::now();
        for (due, expected) in [(25, 5), (20, 10), (10, 10), (3, 3), (0, 0)] {
            let seconds = |seconds| now + Duration::from_secs(seconds);
            assert_eq!(
                earliest_slot(seconds(due), INTERVAL, now),
                seconds(expected)
            );
        }
    }
}
