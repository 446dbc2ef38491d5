//! The terminal: colour, size, a screen that is redrawn in place, and escaping of untrusted text.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ColorChoice;
use convex_client::is_deceptive;
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthChar;

/// Columns and rows of a terminal that does not report its size.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

// Control sequences of ECMA-48 and, for the alternate screen and the cursor, of xterm.
const ENTER_ALTERNATE_SCREEN: &str = "\x1b[?1049h";
const LEAVE_ALTERNATE_SCREEN: &str = "\x1b[?1049l";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const MOVE_TO_TOP_LEFT: &str = "\x1b[H";
/// Clears the rest of the line.
pub(super) const CLEAR_LINE: &str = "\x1b[K";
/// Clears the rest of the screen.
const CLEAR_SCREEN: &str = "\x1b[J";

/// Whether to use colour on standard output. `auto`: on a terminal, subject to `NO_COLOR`,
/// `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`.
pub(super) fn use_color(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
        }
    }
}

/// Whether `stream` is a terminal on which the cursor can be moved.
pub(super) fn is_drawable(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns columns and rows of the terminal that `stream` is; `None` if it is not a terminal.
pub(super) fn size(stream: &(impl IsTerminal + AsFd)) -> Option<(usize, usize)> {
    let reported = || {
        let size = tcgetwinsize(stream).ok().filter(|size| size.ws_col > 0)?;
        Some((usize::from(size.ws_col), usize::from(size.ws_row)))
    };
    stream
        .is_terminal()
        .then(|| reported().unwrap_or(DEFAULT_SIZE))
}

/// The alternate screen of the terminal on standard output; when dropped, the normal screen
/// returns.
pub(super) struct Screen {
    out: io::Stdout,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // Created first, so that a failure halfway is undone.
        let mut screen = Self { out: io::stdout() };
        write!(screen.out, "{ENTER_ALTERNATE_SCREEN}{HIDE_CURSOR}")?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Replaces what is on the screen by `text`. Lines that do not fit are replaced by their
    /// number.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        let (_, rows) = size(&self.out).unwrap_or(DEFAULT_SIZE);
        // The last row is for the progress.
        let rows = rows.saturating_sub(1).max(1);
        let lines: Vec<&str> = text.lines().collect();
        let shown = if lines.len() > rows {
            rows - 1
        } else {
            lines.len()
        };
        let mut out = self.out.lock();
        write!(out, "{MOVE_TO_TOP_LEFT}")?;
        for line in &lines[..shown] {
            write!(out, "{line}{CLEAR_LINE}\r\n")?;
        }
        if shown < lines.len() {
            let more = lines.len() - shown;
            write!(out, "{CLEAR_LINE}… {more} more lines\r\n")?;
        }
        write!(out, "{CLEAR_SCREEN}")?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Fails only if the terminal is gone.
        drop(write!(self.out, "{SHOW_CURSOR}{LEAVE_ALTERNATE_SCREEN}"));
        drop(self.out.flush());
    }
}

/// Makes untrusted text safe to print: one line, control and invisible characters escaped, cut to
/// `max_chars` characters.
pub(super) fn escape(text: &str, max_chars: usize) -> String {
    let mut escaped = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == max_chars {
            escaped.push('…');
            break;
        }
        if matches!(c, '"' | '\'' | '\\') {
            escaped.push(c);
        } else if is_deceptive(c) && !c.is_control() {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.extend(c.escape_debug());
        }
    }
    escaped
}

/// Returns the beginning of `text` that fits into `columns`, and the rest.
pub(super) fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let mut width = 0;
    let end = text.char_indices().find(|(_, c)| {
        width += c.width().unwrap_or(0);
        width > columns
    });
    text.split_at(end.map_or(text.len(), |(index, _)| index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_controls_a_terminal_or_reverses_its_text_is_escaped() {
        let hostile = "a\u{1b}[31m\r\n\u{9b}2J\u{202e}b\u{2066}\u{200b}\u{2028} it's \"é\" \\";
        assert_eq!(
            escape(hostile, 100),
            "a\\u{1b}[31m\\r\\n\\u{9b}2J\\u{202e}b\\u{2066}\\u{200b}\\u{2028} it's \"é\" \\"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(escape(&"x".repeat(1_000_000), 3), "xxx…");
        assert_eq!(escape("xyz", 3), "xyz");
    }

    #[test]
    fn a_text_is_split_by_the_columns_that_it_takes() {
        assert_eq!(split_at_width("abc", 2), ("ab", "c"));
        assert_eq!(split_at_width("abc", 3), ("abc", ""));
        assert_eq!(split_at_width("漢字", 3), ("漢", "字"));
        assert_eq!(split_at_width("e\u{301}x", 1), ("e\u{301}", "x"));
    }
}
