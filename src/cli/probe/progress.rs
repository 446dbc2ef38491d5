//! The progress line on standard error: which peers have not answered yet.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::terminal::{CLEAR_LINE, escape, is_drawable, size, split_at_width};

/// The line appears only if a round takes longer than this.
pub(super) const SHOW_AFTER: Duration = Duration::from_millis(500);

/// How often the line is redrawn.
pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Longest name in the line, characters.
const MAX_NAME_CHARS: usize = 40;

/// The peers of a round that have not answered yet. When dropped, the line is cleared.
pub(super) struct Progress {
    names: Vec<String>,
    waiting: BTreeSet<usize>,
    started: Instant,
    drawn: bool,
}

impl Progress {
    /// Starts a round in which none of the peers `names` has answered.
    pub(super) fn start(names: Vec<String>) -> Self {
        Self {
            waiting: (0..names.len()).collect(),
            names,
            started: Instant::now(),
            drawn: false,
        }
    }

    /// Whether standard error is a terminal that can show the line.
    pub(super) fn is_visible() -> bool {
        is_drawable(&io::stderr())
    }

    /// The peer at `index` has answered or failed.
    pub(super) fn answered(&mut self, index: usize) {
        self.waiting.remove(&index);
    }

    /// Draws the line, over the previous one.
    pub(super) fn draw(&mut self) {
        self.drawn = true;
        let waited = self.started.elapsed().as_secs_f64();
        let line = format!("{} ({waited:.1} s)", self.message());
        // Shorter than the terminal: a line that wraps could not be cleared.
        let columns = size(&io::stderr()).map_or(usize::MAX, |(columns, _)| columns - 1);
        let (line, _) = split_at_width(&line, columns);
        write_ignoring_errors(&format!("\r{line}{CLEAR_LINE}"));
    }

    fn message(&self) -> String {
        let (all, waiting) = (self.names.len(), self.waiting.len());
        let answered = format!("{} of {all} answered", all - waiting);
        let Some(first) = self.waiting.first() else {
            return answered;
        };
        let first = escape(&self.names[*first], MAX_NAME_CHARS);
        match waiting - 1 {
            0 => format!("{answered}, waiting for {first}"),
            more => format!("{answered}, waiting for {first} and {more} more"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            write_ignoring_errors(&format!("\r{CLEAR_LINE}"));
        }
    }
}

/// A terminal that is gone must not fail the command.
fn write_ignoring_errors(text: &str) {
    let mut err = io::stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_a_peer_that_has_not_answered() {
        let mut progress = Progress::start(["a", "gateway", "c"].map(str::to_owned).to_vec());
        let message = "0 of 3 answered, waiting for a and 2 more";
        assert_eq!(progress.message(), message);
        progress.answered(0);
        progress.answered(2);
        let message = "2 of 3 answered, waiting for gateway";
        assert_eq!(progress.message(), message);
        progress.answered(1);
        assert_eq!(progress.message(), "3 of 3 answered");
    }
}
