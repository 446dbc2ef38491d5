//! The median of several rounds and their range.

use serde::Serialize;

/// Minimum, median and maximum of several rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }

    /// Formats as `median (least–most)`.
    pub(crate) fn format(self) -> String {
        let Self {
            least,
            median,
            most,
        } = self;
        format!("{} ({}–{})", digits(median), digits(least), digits(most))
    }
}

/// Formats a value with at least two digits.
pub(crate) fn digits(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
