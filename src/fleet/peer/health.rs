//! The health of a peer, judged over polls, and the closed set of conditions. Pure.

/// Whether a peer can be relied on.
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
    /// Not known: not polled often enough yet, or the monitor has trouble of its own.
    Unknown,
    /// Answers, and nothing is in force against it.
    Up,
    /// Answers, with at least one condition in force.
    Degraded,
    /// Does not answer, or proves to be another peer or of another network.
    Down,
}

impl Health {
    /// Every state, in label order.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Up, Self::Degraded, Self::Down];

    /// The value of the `state` label.
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

/// Counts polls until a verdict is reached.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Streak {
    verdict: Option<bool>,
    /// The side that the last polls were on, and how many of them.
    running: Option<(bool, u32)>,
}

impl Streak {
    /// Takes the outcome of one poll: it takes `up_after` good ones running to be up, `down_after` failed ones to be down.
    pub fn poll(&mut self, good: bool, up_after: u32, down_after: u32) {
        let polls = match self.running {
            Some((side, polls)) if side == good => polls.saturating_add(1),
            _ => 1,
        };
        self.running = Some((good, polls));
        if polls >= if good { up_after } else { down_after } {
            self.verdict = Some(good);
        }
    }

    /// Whether the peer is up; none before the first verdict.
    #[must_use]
    pub const fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// The verdict alone, without the polls since.
    #[must_use]
    pub(in crate::fleet) const fn settled(self) -> Self {
        Self {
            verdict: self.verdict,
            running: None,
        }
    }

    /// Polls that lie on the side of the last one, including it.
    #[must_use]
    pub fn polls(&self) -> u32 {
        self.running.map_or(0, |(_, polls)| polls)
    }
}

/// The health that follows from the verdict and from what is in force.
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
            streak.poll(poll == '+', 2, 3);
            match streak.verdict() {
                None => '?',
                Some(true) => 'U',
                Some(false) => 'D',
            }
        };
        polls.chars().map(judge).collect()
    }

    #[test]
    fn a_verdict_takes_its_number_of_polls_running() {
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
