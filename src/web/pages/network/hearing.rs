//! Who hears whom, as a matrix: a row for each peer whose belief was read, a column for each
//! registered peer.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use askama::Template;
use cad3::Hash;

use crate::fleet::{Heard, Hearing, HearingCell};
use crate::web::pages::format::{Markup, percent};
use crate::web::pages::peer_link::PeerLink;

use super::{NetworkView, matrix};

/// Maximum number of rows and of columns of a table; more are drawn as a picture.
const MAX_TABLE_PEERS: usize = 64;

/// Maximum number of rows and of columns of the picture: about as many as orders are read of.
const MAX_DRAWN_PEERS: usize = 256;

/// Maximum number of peers that are named beside one that lacks their orders.
const MAX_NAMED_PEERS: usize = 6;

/// The titles of more columns than this are turned.
const MAX_WIDE_COLUMNS: usize = 8;

#[derive(Template)]
#[template(path = "pages/hearing.html")]
pub(super) struct HearingSection<'a> {
    prefix: &'a str,
    is_empty: bool,
    /// The table; empty if there are too many peers for one.
    columns: Vec<PeerLink>,
    rows: Vec<HearingRow>,
    large: Option<LargeMatrix>,
}

/// The matrix of too many peers for a table: a picture of all, and the rows of those that lack
/// orders.
struct LargeMatrix {
    picture: Markup,
    rows: usize,
    columns: usize,
    /// Numbers of those that are not drawn.
    more_rows: usize,
    more_columns: usize,
    lacking: Vec<LackingRow>,
    more_lacking: usize,
}

/// A peer that lacks orders which it should have, or is isolated or unheard.
struct LackingRow {
    peer: PeerLink,
    heard: Option<String>,
    is_isolated: bool,
    is_unheard: bool,
    /// Number of peers whose newest orders it lacks, and the heaviest of them.
    missing: usize,
    shown: Vec<PeerLink>,
    more: usize,
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
        let place = |hearing: &Hearing| keys.iter().position(|key| *key == hearing.key);
        let mut hearing: Vec<&Hearing> = consensus.hearing.iter().collect();
        hearing.sort_by_cached_key(|it| (place(it).unwrap_or(usize::MAX), it.name.clone()));
        let is_large = keys.len().max(hearing.len()) > MAX_TABLE_PEERS;
        let large = is_large.then(|| LargeMatrix::new(&hearing, &keys, view));
        if is_large {
            hearing.clear();
        }
        let shown = if is_large { &[] } else { keys.as_slice() };
        let columns: Vec<PeerLink> = shown
            .iter()
            .map(|key| PeerLink::new(key, &view.names))
            .collect();
        // Those with trouble first.
        hearing.sort_by_key(|it| !it.is_isolated && !it.is_unheard);
        let rows = hearing.iter().map(|hearing| {
            let marks = shown.iter().zip(&columns).map(|(key, column)| {
                let cell = hearing.cells.get(key).copied();
                Mark::new(&hearing.name, column, cell, hearing.key == *key)
            });
            HearingRow {
                marks: marks.collect(),
                peer: PeerLink::named(&hearing.name, view.snapshot),
                heard: hearing.heard_stake.map(percent),
                is_isolated: hearing.is_isolated,
                is_unheard: hearing.is_unheard,
            }
        });
        Self {
            prefix: view.prefix,
            is_empty: consensus.hearing.is_empty(),
            rows: rows.collect(),
            columns,
            large,
        }
    }

    fn has_turned_titles(&self) -> bool {
        self.columns.len() > MAX_WIDE_COLUMNS
    }
}

impl LargeMatrix {
    fn new(hearing: &[&Hearing], keys: &[Hash], view: &NetworkView<'_>) -> Self {
        let drawn = &hearing[..hearing.len().min(MAX_DRAWN_PEERS)];
        let columns = &keys[..keys.len().min(MAX_DRAWN_PEERS)];
        let lacking = hearing.iter().map(|it| LackingRow::new(it, keys, view));
        let mut lacking: Vec<LackingRow> = lacking
            .filter(|row| row.is_isolated || row.is_unheard || row.missing > 0)
            .collect();
        lacking.sort_by_key(|row| (!row.is_isolated && !row.is_unheard, Reverse(row.missing)));
        let more_lacking = lacking.len().saturating_sub(MAX_TABLE_PEERS);
        lacking.truncate(MAX_TABLE_PEERS);
        Self {
            picture: matrix::draw(drawn, columns),
            rows: hearing.len(),
            columns: keys.len(),
            more_rows: hearing.len() - drawn.len(),
            more_columns: keys.len() - columns.len(),
            lacking,
            more_lacking,
        }
    }
}

impl LackingRow {
    fn new(hearing: &Hearing, keys: &[Hash], view: &NetworkView<'_>) -> Self {
        let is_missing = |key: &&Hash| {
            let cell = hearing.cells.get(key).filter(|_| **key != hearing.key);
            cell.is_some_and(|cell| match cell.heard {
                Heard::Current | Heard::Unread => false,
                Heard::Older | Heard::Nothing => cell.is_judged,
                Heard::Invalid => true,
            })
        };
        let missing: Vec<&Hash> = keys.iter().filter(is_missing).collect();
        let named = missing.iter().take(MAX_NAMED_PEERS);
        Self {
            peer: PeerLink::named(&hearing.name, view.snapshot),
            heard: hearing.heard_stake.map(percent),
            is_isolated: hearing.is_isolated,
            is_unheard: hearing.is_unheard,
            shown: named.map(|key| PeerLink::new(key, &view.names)).collect(),
            more: missing.len().saturating_sub(MAX_NAMED_PEERS),
            missing: missing.len(),
        }
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
