//! What operators say about incidents. Notes are events of the history, so they are kept with the
//! incidents and as long as those.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alerting::operator_actions::{MAX_NAME_CHARS, check_line};
use crate::history::{Event, EventKind};

/// Longest note, in characters.
pub(in crate::web) const MAX_NOTE_CHARS: usize = 1_000;

/// What an operator says about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Note {
    pub(in crate::web) text: String,
    pub(in crate::web) created_by: String,
    /// When it was written, in milliseconds since the epoch.
    pub(in crate::web) at: u64,
}

/// Why a note was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::web) enum NoteRefused {
    /// There is no page that would show it.
    #[error("there is no status page; add `status` to the configuration")]
    NoPage,
    /// It would be lost at the next restart.
    #[error("nothing would be left of it after a restart; set `state_dir` in the configuration")]
    NotKept,
    /// A text is wrong.
    #[error("{0}")]
    Invalid(String),
    /// No incident has this id.
    #[error("no incident of the status page has the id {0}; /api/v1/incidents lists all of them")]
    NoSuchIncident(u64),
}

/// Checks a note and the name of its author.
pub(super) fn check(text: Option<&str>, created_by: &str) -> Result<(), NoteRefused> {
    let text = text.map_or(Ok(()), |text| check_line("text", text, MAX_NOTE_CHARS));
    text.and_then(|()| check_line("created_by", created_by, MAX_NAME_CHARS))
        .map_err(NoteRefused::Invalid)
}

/// Returns the last note on each incident.
pub(super) fn notes(events: &[Arc<Event>]) -> HashMap<u64, Note> {
    let mut notes = HashMap::new();
    for event in events {
        let EventKind::IncidentNoted {
            incident,
            text,
            created_by,
        } = &event.kind
        else {
            continue;
        };
        match text {
            Some(text) => {
                let note = Note {
                    text: text.clone(),
                    created_by: created_by.clone(),
                    at: event.at_ms,
                };
                notes.insert(*incident, note);
            }
            None => drop(notes.remove(incident)),
        }
    }
    notes
}
