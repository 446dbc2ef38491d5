//! The incidents of the status page as an Atom feed.

use askama::Template;

use super::model::{PublicIncident, PublicStatus};
use super::page::{Moment, note_text};
use super::{State, sanitize};

#[derive(Template)]
#[template(path = "status/feed.xml", escape = "html")]
struct Feed {
    title: String,
    /// Stays the same as long as the title does.
    id: String,
    updated: String,
    entries: Vec<Entry>,
}

struct Entry {
    id: u64,
    title: String,
    published: String,
    updated: String,
    text: String,
}

/// Returns the feed.
pub(super) fn atom(status: &PublicStatus) -> askama::Result<String> {
    let updated = status.incidents.iter().map(last_change).max();
    let feed = Feed {
        title: sanitize(&status.title),
        id: hex::encode(&status.title),
        updated: Moment(updated.unwrap_or(0)).rfc3339(),
        entries: status.incidents.iter().map(Entry::new).collect(),
    };
    feed.render()
}

/// Returns when an incident last changed.
fn last_change(incident: &PublicIncident) -> u64 {
    let note = incident.note.as_ref().map(|note| note.at);
    let last = note.max(incident.ends_at);
    last.unwrap_or(0).max(incident.begins_at)
}

impl Entry {
    fn new(incident: &PublicIncident) -> Self {
        let is_over = incident.ends_at.is_some();
        let verb = if is_over { "was" } else { "is" };
        let state = match incident.state {
            State::Down => "down",
            _ => "degraded",
        };
        let mut text = format!("{}.", sanitize(&incident.cause));
        if let Some(note) = &incident.note {
            text.push(' ');
            text.push_str(&note_text(&note.text));
        }
        Self {
            id: incident.id,
            title: format!("{} {verb} {state}", sanitize(&incident.component)),
            published: Moment(incident.begins_at).rfc3339(),
            updated: Moment(last_change(incident)).rfc3339(),
            text,
        }
    }
}
