//! When next: phases, slots and the pauses between tries. Pure but for the jitter; the only file that names `backoff`.

use std::time::{Duration, SystemTime};

use sha3::{Digest, Sha3_256};
use tokio::time::Instant;

/// In this part of an interval all are polled once, and in no more time than this.
const FIRST_ROUND_PART: f64 = 0.9;
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// A peer's place in the interval, by the hash of its name: polls spread evenly and stay put across restarts.
#[must_use]
pub fn phase(name: &str, interval: Duration) -> Duration {
    let digest = Sha3_256::digest(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let nanos = (u128::from(u64::from_be_bytes(first)) * interval.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// From `now` to the next moment of the wall clock whose remainder by `interval` is `phase`; below `interval`.
#[must_use]
pub fn until_phase(now: SystemTime, phase: Duration, interval: Duration) -> Duration {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let interval = interval.as_nanos().max(1);
    let wait = (phase.as_nanos() % interval + interval - since % interval) % interval;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
}

/// How long before its first slot a peer is polled for the first time, when that is `until` away: so that all are polled once within
/// an interval of the program's start and not only of their tasks', and a first look waits for no long interval.
#[must_use]
pub fn head_start(until: Duration, interval: Duration) -> Duration {
    let round = interval.mul_f64(FIRST_ROUND_PART).min(FIRST_ROUND);
    until.mul_f64(1.0 - round.as_secs_f64() / interval.as_secs_f64())
}

/// How many intervals lie between two polls: one, or more and more for a peer that stays down, up to a bound.
#[must_use]
pub fn stride(polls_while_down: u32, interval: Duration, max_interval: Duration) -> u32 {
    let longest =
        u32::try_from(max_interval.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    1_u32
        .checked_shl(polls_while_down)
        .unwrap_or(u32::MAX)
        .clamp(1, longest.max(1))
}

/// The first time after `now` at which a poll could be due: whole intervals before `due`, or `due` itself.
#[must_use]
pub fn earliest(due: Instant, interval: Duration, now: Instant) -> Instant {
    let early = due.saturating_duration_since(now).as_nanos();
    let intervals = early.saturating_sub(1) / interval.as_nanos().max(1);
    due - interval * u32::try_from(intervals).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn phases_are_spread_over_the_interval_and_depend_on_the_name_alone() {
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
    fn the_first_slot_is_at_the_same_wall_time_whenever_the_agent_starts() {
        let phase = Duration::from_millis(7_300);
        for start_ms in [0, 7_299, 7_300, 7_301, 9_999, 123_456] {
            let start = SystemTime::UNIX_EPOCH + Duration::from_millis(start_ms);
            let wait = until_phase(start, phase, INTERVAL);
            assert!(wait < INTERVAL);
            assert_eq!(
                (u128::from(start_ms) + wait.as_millis()) % 10_000,
                7_300,
                "started at {start_ms} ms"
            );
        }
    }

    #[test]
    fn the_first_round_is_shorter_than_an_interval_and_is_spread_as_well() {
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
    fn a_peer_that_stays_down_is_polled_at_ever_wider_multiples_of_its_interval() {
        let strides: Vec<u32> = (0..6).map(|n| stride(n, INTERVAL, INTERVAL * 9)).collect();
        assert_eq!(strides, [1, 2, 4, 8, 9, 9]);
        assert_eq!(
            stride(40, INTERVAL, INTERVAL),
            1,
            "by default the interval does not change"
        );
    }

    #[test]
    fn a_peer_that_is_back_is_due_at_its_next_slot() {
        let now = Instant::now();
        for (due, expected) in [(25, 5), (20, 10), (10, 10), (3, 3), (0, 0)] {
            let seconds = |seconds| now + Duration::from_secs(seconds);
            assert_eq!(earliest(seconds(due), INTERVAL, now), seconds(expected));
        }
    }
}
