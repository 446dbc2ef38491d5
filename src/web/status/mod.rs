//! The status page for the public. It is made in two steps: `collect` takes from the agent what may
//! be published, with words of a closed set only, and [`render`] makes files of that. Nothing else
//! of the agent gets into the files.

mod availability;
mod cause;
mod collect;
mod feed;
mod incidents;
mod look;
mod model;
mod notes;
mod page;
mod server;
mod state;
mod style;
#[cfg(test)]
mod tests;

use crate::web::pages::format::sanitize;

pub use model::{
    Component, PublicBars, PublicIncident, PublicLink, PublicMaintenance, PublicNote,
    PublicPalette, PublicStatus, PublicTheme,
};
pub use page::{DATA_FILE, File, render};
pub use server::StatusServer;
pub use state::State;

pub(in crate::web) use collect::{Incident, StatusSource};
pub(in crate::web) use notes::{MAX_NOTE_CHARS, NoteRefused};
