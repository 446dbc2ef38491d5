//! Whether a peer goes up and down, or fails again and again without being down.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Number of changes of the verdict that are remembered; if they follow each other quickly, the
/// peer is flapping.
const CHANGES: usize = 6;

/// A peer is flapping if its verdict changed [`CHANGES`] times within this time.
const WINDOW: Duration = Duration::from_secs(3600);

/// The last ten polls, one bit each.
const LAST_TEN: u16 = (1 << 10) - 1;

/// A peer that is not down is flapping from this number of failures among its last ten polls.
const FAILURES_TO_START: u32 = 3;

/// It stays so until at most this number of its last ten polls failed.
const FAILURES_TO_END: u32 = 1;

/// What both rules remember of a peer.
#[derive(Clone, Debug, Default)]
pub(in crate::fleet) struct Flapping {
    /// Times of the last [`CHANGES`] changes of the verdict.
    pub(in crate::fleet) changes: VecDeque<Instant>,
    /// The polls since the peer was last down.
    pub(in crate::fleet) recent: RecentPolls,
}

/// The results of the last ten polls, the last one in the lowest bit, and what follows from them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct RecentPolls {
    good: u16,
    failed: u16,
    flapping: bool,
}

impl Flapping {
    /// Continues with saved changes, the oldest first, and polls.
    pub(in crate::fleet) fn restored(
        changes: impl Iterator<Item = Instant>,
        recent: RecentPolls,
    ) -> Self {
        let mut flapping = Self {
            changes: VecDeque::new(),
            recent,
        };
        changes.for_each(|at| flapping.record_change(at));
        flapping
    }

    /// Records a change of the verdict from up to down or from down to up.
    pub(super) fn record_change(&mut self, now: Instant) {
        self.changes.push_back(now);
        if self.changes.len() > CHANGES {
            self.changes.pop_front();
        }
    }

    /// Records a poll that says something about the peer. Those of a peer that is `down` are
    /// forgotten: an outage is not flapping, neither while it lasts nor afterwards.
    pub(super) fn record_poll(&mut self, good: bool, down: bool) {
        if down {
            self.recent = RecentPolls::default();
        } else {
            self.recent.record(good);
        }
    }

    /// Whether the peer is flapping at `now`.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        let first_change = (self.changes.len() == CHANGES).then(|| self.changes[0]);
        self.recent.flapping || first_change.is_some_and(|first| now - first < WINDOW)
    }
}

impl RecentPolls {
    fn record(&mut self, good: bool) {
        self.good = ((self.good << 1) | u16::from(good)) & LAST_TEN;
        self.failed = ((self.failed << 1) | u16::from(!good)) & LAST_TEN;
        let failures = self.failed.count_ones();
        // A peer that has never answered does not flap.
        let starts = failures >= FAILURES_TO_START && self.good != 0;
        self.flapping = starts || (self.flapping && failures > FAILURES_TO_END);
    }

    /// Whether no remembered poll failed, so that there is nothing to save.
    pub(in crate::fleet) const fn all_good(self) -> bool {
        self.failed == 0
    }

    /// Returns that the peer is flapping, if it is, without the polls, which change all the time.
    pub(in crate::fleet) fn verdict_only(self) -> Option<Self> {
        self.flapping.then(|| Self {
            flapping: true,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `f` for each poll after which the peer is flapping; `+` is a good poll, `-` a failed
    /// one, and `d` one of a peer that is down.
    fn flapping(polls: &str) -> String {
        let mut flapping = Flapping::default();
        let now = Instant::now();
        let judge = |poll| {
            flapping.record_poll(poll == '+', poll == 'd');
            if flapping.is_active(now) { 'f' } else { '.' }
        };
        polls.chars().map(judge).collect()
    }

    #[test]
    fn three_failures_in_ten_polls_are_flapping_until_at_most_one_is_left() {
        for (polls, expected) in [
            ("+-+-+-+", ".....ff"),
            // The first failure leaves the last ten before the third one comes.
            ("-++++-++++-", "..........."),
            ("-+++++++--", ".........f"),
            // The last of three failures counts alone after nine more.
            ("+-+--+++++++++", "....fffffffff."),
            ("+-+--++-++++++++++", "....ffffffffff...."),
        ] {
            assert_eq!(flapping(polls), expected, "{polls}");
        }
    }

    #[test]
    fn a_peer_that_never_answered_does_not_flap() {
        assert_eq!(flapping("------+"), "......f");
    }

    #[test]
    fn polls_of_a_peer_that_is_down_are_forgotten() {
        assert_eq!(flapping("++-dddd+-+-"), "...........");
        assert_eq!(flapping("-+--ddd+++"), "...f......");
    }

    #[test]
    fn six_changes_of_the_verdict_are_flapping_for_an_hour() {
        let mut flapping = Flapping::default();
        let start = Instant::now();
        let minute = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for change in 0..5 {
            flapping.record_change(minute(change));
        }
        assert!(!flapping.is_active(minute(5)));
        flapping.record_change(minute(5));
        assert!(flapping.is_active(minute(5)));
        assert!(flapping.is_active(minute(59)) && !flapping.is_active(minute(60)));
    }
}
