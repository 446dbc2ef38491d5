//! Maintenance windows: a peer's data is still recorded, but it does not alert.

use std::time::SystemTime;

use humantime::format_rfc3339;

use super::keys::WINDOW;
use super::scalar::{line, time};
use super::section::Section;
use super::source::Reported;

/// A period of planned work on a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from: SystemTime,
    /// When it ends; after `from`. No longer part of it.
    pub to: SystemTime,
    /// Description of the work.
    pub comment: Option<String>,
}

impl Window {
    /// Whether `now` is in the window.
    #[must_use]
    pub fn covers(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.to
    }
}

/// Reads `maintenance` of a peer.
pub(super) fn maintenance(peer: &Section) -> Result<Vec<Window>, Reported> {
    let items = peer.list("maintenance")?.into_iter().flatten();
    let windows: Vec<_> = items
        .map(|(path, node)| {
            Section::open(peer.source, path, node, &WINDOW).and_then(|section| window(&section))
        })
        .collect();
    windows.into_iter().collect()
}

fn window(section: &Section) -> Result<Window, Reported> {
    let from = section.require("from", time);
    let to = section.require("to", time);
    let comment = section.read("comment", line);
    let (from, to) = (from?, to?);
    if to <= from {
        let message = format!(
            "{} is not after `from`, {}; expected a later time",
            format_rfc3339(to),
            format_rfc3339(from)
        );
        return Err(section.report_value("to", message));
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
    fn a_window_includes_its_start_and_excludes_its_end() {
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
