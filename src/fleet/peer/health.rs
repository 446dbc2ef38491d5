//! Health of a peer, judged over several polls.

/// Whether a peer is usable.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Unknown: not polled often enough yet, or the agent itself has a problem.
    Unknown,
    /// Answers, and no condition is active.
    Up,
    /// Answers, and at least one condition is active.
    Degraded,
    /// Does not answer, or is another peer or on another network.
    Down,
}

impl Health {
    /// All states, in label order.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Up, Self::Degraded, Self::Down];

    /// Returns the value of the `state` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Counts consecutive equal polls until they change the verdict.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Streak {
    verdict: Option<bool>,
    /// Whether the last polls were good, and how many consecutive ones.
    #[serde(rename = "running")]
    current: Option<(bool, u32)>,
}

impl Streak {
    /// Records one poll: the verdict becomes up after `up_after` consecutive good ones, and down
    /// after `down_after` consecutive failed ones.
    pub fn record(&mut self, good: bool, up_after: u32, down_after: u32) {
        let polls = match self.current {
            Some((same, polls)) if same == good => polls.saturating_add(1),
            _ => 1,
        };
        self.current = Some((good, polls));
        if polls >= if good { up_after } else { down_after } {
            self.verdict = Some(good);
        }
    }

    /// Returns whether the peer is up; none before the first verdict.
    #[must_use]
    pub const fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Returns the verdict without the polls since.
    #[must_use]
    pub(in crate::fleet) const fn verdict_only(self) -> Self {
        Self {
            verdict: self.verdict,
            current: None,
        }
    }

    /// Returns the number of consecutive polls with the result of the last one, including it.
    #[must_use]
    pub fn polls(&self) -> u32 {
        self.current.map_or(0, |(_, polls)| polls)
    }
}

/// Returns the health that follows from the verdict and the active conditions.
#[must_use]
pub(in crate::fleet) const fn health(verdict: Option<bool>, any_condition: bool) -> Health {
    match verdict {
        None => Health::Unknown,
        Some(false) => Health::Down,
        Some(true) if any_condition => Health::Degraded,
        Some(true) => Health::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(polls: &str) -> String {
        let mut streak = Streak::default();
        let judge = |poll| {
            streak.record(poll == '+', 2, 3);
            match streak.verdict() {
                None => '?',
                Some(true) => 'U',
                Some(false) => 'D',
            }
        };
        polls.chars().map(judge).collect()
    }

    #[test]
    fn a_verdict_takes_its_number_of_consecutive_polls() {
        for (polls, expected) in [
            ("++", "?U"),
            ("---", "??D"),
            ("+-+-", "????"),
            ("++--+---", "?UUUUUUD"),
            ("---+-++", "??DDDDU"),
        ] {
            assert_eq!(verdicts(polls), expected, "{polls}");
        }
    }

    #[test]
    fn a_condition_degrades_only_a_peer_that_is_up() {
        assert_eq!(health(Some(true), true), Health::Degraded);
        assert_eq!(health(Some(true), false), Health::Up);
        assert_eq!(health(Some(false), true), Health::Down);
        assert_eq!(health(None, true), Health::Unknown);
    }
}
