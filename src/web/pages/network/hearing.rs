//! Who hears whom, as a matrix: a row for each peer whose belief was read, a column for each
//! registered peer.

use std::collections::BTreeSet;

use askama::Template;
use cad3::Hash;

use crate::fleet::{Heard, Hearing, HearingCell};
use crate::web::pages::format::percent;
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of rows and of columns; the API has the others.
const MAX_PEERS: usize = 64;

/// The titles of more columns than this are turned.
const MAX_WIDE_COLUMNS: usize = 8;

#[derive(Template)]
#[template(path = "pages/hearing.html")]
pub(super) struct HearingSection<'a> {
    prefix: &'a str,
    columns: Vec<PeerLink>,
    rows: Vec<HearingRow>,
    more_columns: usize,
    more_rows: usize,
}

struct HearingRow {
    peer: PeerLink,
    /// Share of the others' stake that the peer hears.
    heard: Option<String>,
    is_isolated: bool,
    is_unheard: bool,
    marks: Vec<Mark>,
}

/// A cell of the matrix.
struct Mark {
    /// CSS class: how the symbol is coloured.
    class: &'static str,
    symbol: &'static str,
    /// Says what is wrong; empty if nothing is.
    title: String,
}

impl<'a> HearingSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let consensus = &view.network.verdict.consensus;
        let keys = columns(view);
        let shown = &keys[..keys.len().min(MAX_PEERS)];
        let columns: Vec<PeerLink> = shown
            .iter()
            .map(|key| PeerLink::new(key, &view.names))
            .collect();
        let place = |hearing: &Hearing| keys.iter().position(|key| *key == hearing.key);
        let mut hearing: Vec<&Hearing> = consensus.hearing.iter().collect();
        hearing.sort_by_cached_key(|it| {
            let is_sound = !it.is_isolated && !it.is_unheard;
            (is_sound, place(it).unwrap_or(usize::MAX), it.name.clone())
        });
        let rows = hearing.iter().take(MAX_PEERS).map(|hearing| {
            let peer = PeerLink::named(&hearing.name, view.snapshot);
            let marks = shown.iter().zip(&columns).map(|(key, column)| {
                let cell = hearing.cells.get(key).copied();
                Mark::new(&hearing.name, column, cell, hearing.key == *key)
            });
            HearingRow {
                marks: marks.collect(),
                peer,
                heard: hearing.heard_stake.map(percent),
                is_isolated: hearing.is_isolated,
                is_unheard: hearing.is_unheard,
            }
        });
        Self {
            prefix: view.prefix,
            rows: rows.collect(),
            more_rows: hearing.len().saturating_sub(MAX_PEERS),
            more_columns: keys.len() - shown.len(),
            columns,
        }
    }

    fn has_turned_titles(&self) -> bool {
        self.columns.len() > MAX_WIDE_COLUMNS
    }
}

/// Returns the registered peers of which a belief was asked, the heaviest first.
fn columns(view: &NetworkView<'_>) -> Vec<Hash> {
    let consensus = &view.network.verdict.consensus;
    let cells = consensus.hearing.iter().flat_map(|it| it.cells.keys());
    let mut known: BTreeSet<Hash> = cells.copied().collect();
    let votes = consensus.votes.iter().map(|vote| vote.key);
    let mut keys: Vec<Hash> = votes.filter(|key| known.remove(key)).collect();
    keys.extend(known);
    keys
}

impl Mark {
    fn new(row: &str, column: &PeerLink, cell: Option<HearingCell>, is_own: bool) -> Self {
        let untitled = |class, symbol| Self {
            class,
            symbol,
            title: String::new(),
        };
        if is_own {
            return untitled("own", "–");
        }
        let Some(cell) = cell else {
            return untitled("", "");
        };
        let column = column.text();
        let (class, symbol, what) = match cell.heard {
            Heard::Current => return untitled("current", "●"),
            Heard::Older => ("older", "▲", "holds an older order of"),
            Heard::Nothing => ("nothing", "✕", "holds no order of"),
            Heard::Invalid => ("invalid", "!", "holds an invalid order of"),
            Heard::Unread => ("unread", "?", "was not read about"),
        };
        let is_excused = !cell.is_judged && matches!(cell.heard, Heard::Older | Heard::Nothing);
        let (class, excuse) = if is_excused {
            ("excused", ", which proves nothing")
        } else {
            (class, "")
        };
        Self {
            class,
            symbol,
            title: format!("{row} {what} {column}{excuse}"),
        }
    }
}
