//! What a person looks at: whether it takes colour, how wide it is, a screen drawn over and over, and strangers' text
//! made harmless to it.

use std::io::{self, IsTerminal, Write};

use clap::ColorChoice;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, size as terminal_size,
};
use crossterm::{execute, queue};

/// What a terminal that does not tell its size is taken for.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Whether standard output gets colour. `auto`: on a terminal, as `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM` have it.
pub(super) fn colored(choice: ColorChoice) -> bool {
    let colored = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
        }
    };
    // The decision is made here: `--color always` outweighs NO_COLOR.
    crossterm::style::force_color_output(colored);
    colored
}

/// Whether standard output is a terminal on which the cursor can be moved.
pub(super) fn is_drawable() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns and rows of the terminal that standard output is; none when it is something else.
pub(super) fn size() -> Option<(u16, u16)> {
    let told = || terminal_size().ok().filter(|(width, _)| *width > 0);
    io::stdout()
        .is_terminal()
        .then(|| told().unwrap_or(USUAL_SIZE))
}

/// The terminal's other screen, from [`Screen::open`] until it is dropped: what stood there before comes back.
pub(super) struct Screen {
    out: io::Stdout,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // Made first, so that a half-done beginning is undone.
        let mut screen = Self { out: io::stdout() };
        execute!(screen.out, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws `text` over what was drawn before. What does not fit is cut off at the bottom, and said.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        let (_, rows) = size().unwrap_or(USUAL_SIZE);
        // The last row is left to the progress.
        let rows = usize::from(rows.saturating_sub(1)).max(1);
        let lines: Vec<&str> = text.lines().collect();
        let shown = if lines.len() > rows {
            rows - 1
        } else {
            lines.len()
        };
        let mut out = self.out.lock();
        queue!(out, MoveTo(0, 0))?;
        for line in &lines[..shown] {
            queue!(
                out,
                Print(line),
                Clear(ClearType::UntilNewLine),
                Print("\r\n")
            )?;
        }
        if shown < lines.len() {
            let more = format!("… {} more lines\r\n", lines.len() - shown);
            queue!(out, Clear(ClearType::UntilNewLine), Print(more))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        drop(execute!(self.out, Show, LeaveAlternateScreen));
    }
}

/// `text` as it may go to a terminal: one line, what controls or cannot be seen escaped, cut to `longest` characters.
pub(super) fn harmless(text: &str, longest: usize) -> String {
    let mut clean = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == longest {
            clean.push('…');
            break;
        }
        if matches!(c, '"' | '\'' | '\\') {
            clean.push(c);
        } else {
            clean.extend(c.escape_debug());
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_or_turns_its_text_around_is_escaped() {
        let hostile = "a\u{1b}[31m\r\n\u{9b}2J\u{202e}b\u{2066}\u{200b}\u{2028} it's \"é\" \\";
        assert_eq!(
            harmless(hostile, 100),
            "a\\u{1b}[31m\\r\\n\\u{9b}2J\\u{202e}b\\u{2066}\\u{200b}\\u{2028} it's \"é\" \\"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(harmless(&"x".repeat(1_000_000), 3), "xxx…");
        assert_eq!(harmless("xyz", 3), "xyz");
    }
}
