//! Who is still waited for, told on standard error where that is a terminal.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::cli::terminal::harmless;

/// Peers that answer sooner are not worth a word.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// How often the waiting time is written anew.
const TICK: Duration = Duration::from_millis(100);

/// The longest name that is told, characters.
const NAME_CHARS: usize = 40;

/// The peers of one round that have not answered yet.
pub(super) struct Progress {
    names: Vec<String>,
    waiting: BTreeSet<usize>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// All of `names` are waited for; nothing is told yet.
    pub(super) fn of(names: Vec<String>) -> Self {
        Self {
            waiting: (0..names.len()).collect(),
            names,
            bar: None,
        }
    }

    /// Whether it is told.
    pub(super) fn is_told(&self) -> bool {
        self.bar.is_some()
    }

    /// Tells it from now on, [`PATIENCE`] after the beginning.
    pub(super) fn tell(&mut self) {
        let waited = |state: &ProgressState, out: &mut dyn Write| {
            // What cannot be drawn is not worth an error.
            write!(out, "{:.1} s", state.elapsed().as_secs_f64()).unwrap_or_default();
        };
        let style = ProgressStyle::with_template("{msg} ({waited})")
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("waited", waited);
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(self.told())
            .with_elapsed(PATIENCE);
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    /// The peer at `index` has answered, or failed.
    pub(super) fn answered(&mut self, index: usize) {
        self.waiting.remove(&index);
        if let Some(bar) = &self.bar {
            bar.set_message(self.told());
        }
    }

    fn told(&self) -> String {
        let (all, waiting) = (self.names.len(), self.waiting.len());
        let answered = format!("{} of {all} answered", all - waiting);
        let Some(first) = self.waiting.first() else {
            return answered;
        };
        let first = harmless(&self.names[*first], NAME_CHARS);
        match waiting - 1 {
            0 => format!("{answered}, waiting for {first}"),
            more => format!("{answered}, waiting for {first} and {more} more"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_waited_for_is_named() {
        let mut progress = Progress::of(["a", "gateway", "c"].map(str::to_owned).to_vec());
        assert_eq!(progress.told(), "0 of 3 answered, waiting for a and 2 more");
        progress.answered(0);
        progress.answered(2);
        assert_eq!(progress.told(), "2 of 3 answered, waiting for gateway");
        progress.answered(1);
        assert_eq!(progress.told(), "3 of 3 answered");
    }
}
