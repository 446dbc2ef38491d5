//! When a peer's operator works on it: its data stays, nobody is paged.

use std::time::SystemTime;

use humantime::format_rfc3339;

use super::keys::WINDOW;
use super::scalar::{line, time};
use super::section::{Refused, Section};

/// A stretch of planned work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first instant.
    pub from: SystemTime,
    /// The instant when it is over; after `from`.
    pub to: SystemTime,
    /// What is done, for people.
    pub comment: Option<String>,
}

impl Window {
    /// Whether work goes on at `now`.
    #[must_use]
    pub fn covers(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.to
    }
}

/// The peer's `maintenance`.
pub(super) fn maintenance(peer: &Section) -> Result<Vec<Window>, Refused> {
    let items = peer.list("maintenance")?.into_iter().flatten();
    let windows: Vec<_> = items
        .map(|(path, node)| {
            Section::open(peer.source, path, node, &WINDOW).and_then(|section| window(&section))
        })
        .collect();
    windows.into_iter().collect()
}

fn window(section: &Section) -> Result<Window, Refused> {
    let from = section.need("from", time);
    let to = section.need("to", time);
    let comment = section.read("comment", line);
    let (from, to) = (from?, to?);
    if to <= from {
        let position = section.value_position("to").unwrap_or(section.position);
        let message = format!(
            "{} is not after `from`, {}; set it later",
            format_rfc3339(to),
            format_rfc3339(from)
        );
        return Err(section.report(position, "to", message));
    }
    Ok(Window {
        from,
        to,
        comment: comment?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_window_covers_its_first_instant_and_not_the_one_when_it_is_over() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let window = Window {
            from: at(10),
            to: at(20),
            comment: None,
        };
        let covered: Vec<_> = [9, 10, 19, 20].map(|s| window.covers(at(s))).into();
        assert_eq!(covered, [false, true, true, false]);
    }
}
