//! The fleet page: one sentence about everything, what fires now, a strip for each network, then a
//! table of peers, by default the most severe problems first.

use std::collections::BTreeSet;

use askama::Template;

use crate::config::Mode;
use crate::fleet::{Evidence, PeerRecord, Snapshot};
use crate::web::AppState;

use super::alerts::{AlertsSection, Scope};
use super::columns::{Column, Columns};
use super::diagnosis::{Diagnosis, diagnose};
use super::format::TimeFormat;
use super::headline::{self, Part};
use super::icon::fleet_icon_url;
use super::network_strip::NetworkStrip;
use super::row::{Row, RowContext};
use super::view::{BarSpan, FleetView, HealthFilter, ROWS_PER_PAGE, Sort};
use super::{Content, Pages, Section, Shell, TableRow};

#[derive(Template)]
#[template(path = "pages/fleet.html")]
pub(super) struct FleetPage<'a> {
    pub(super) shell: Shell<'a>,
    pub(super) content: Content,
    view: &'a FleetView,
    networks: Vec<&'a str>,
    labels: Vec<LabelChoice<'a>>,
    live: String,
}

/// The titles of the columns.
#[derive(Template)]
#[template(path = "pages/table_head.html")]
struct TableHead<'a> {
    prefix: &'a str,
    titles: Vec<ColumnTitle>,
    /// The times that bars of availability can cover.
    spans: Vec<SpanChoice>,
}

struct ColumnTitle {
    column: Column,
    /// The value of `aria-sort`; empty if the rows are not sorted by this column.
    aria_sort: &'static str,
    /// The query string that sorts by this column.
    query: Option<String>,
}

struct SpanChoice {
    text: &'static str,
    query: String,
    is_current: bool,
}

/// A label to group by.
struct LabelChoice<'a> {
    value: String,
    name: &'a str,
}

#[derive(Template)]
#[template(path = "pages/summary.html")]
struct Summary<'a> {
    prefix: &'a str,
    parts: Vec<Part>,
    failing_checks: Vec<&'static str>,
    sidecar_peers: Vec<SidecarPeer<'a>>,
}

/// A peer on the agent's own host.
struct SidecarPeer<'a> {
    name: &'a str,
    diagnosis: Diagnosis,
}

#[derive(Template)]
#[template(path = "pages/networks.html")]
struct Networks<'a> {
    prefix: &'a str,
    networks: Vec<NetworkStrip<'a>>,
}

#[derive(Template)]
#[template(path = "pages/paging.html")]
struct Paging {
    prefix: String,
    /// Number of peers that match the view.
    matching: usize,
    /// Number of all peers.
    all: usize,
    /// Positions of the first and the last row of this page, from 1.
    first: usize,
    last: usize,
    /// Query strings of the neighbouring pages.
    previous: Option<String>,
    next: Option<String>,
    is_unfiltered: bool,
}

#[derive(Template)]
#[template(path = "pages/group.html")]
struct GroupRow<'a> {
    name: &'a str,
    columns: usize,
}

impl<'a> FleetPage<'a> {
    pub(super) fn new(
        state: &'a AppState,
        view: &'a FleetView,
        snapshot: &'a Snapshot,
        shell: Shell<'a>,
        content: Content,
    ) -> Self {
        Self {
            networks: snapshot
                .networks
                .iter()
                .map(|it| it.name.as_str())
                .collect(),
            labels: label_names(snapshot)
                .into_iter()
                .map(|name| LabelChoice {
                    value: format!("label:{name}"),
                    name,
                })
                .collect(),
            live: format!("{}/live{}", state.prefix, view.query()),
            shell,
            content,
            view,
        }
    }
}

impl<'a> TableHead<'a> {
    fn new(prefix: &'a str, view: &FleetView, columns: &Columns) -> Self {
        let title = |column: Column| ColumnTitle {
            column,
            aria_sort: match column.sort() {
                Some(sort) if sort == view.sort => {
                    // These columns are ascending by default, the others descending.
                    let ascends = matches!(sort, Sort::Name | Sort::Certificate);
                    if ascends == view.reversed {
                        "descending"
                    } else {
                        "ascending"
                    }
                }
                _ => "",
            },
            query: column.sort().map(|sort| view.sorted_by(sort).query()),
        };
        let span = |bars: BarSpan| SpanChoice {
            text: bars.text(),
            query: FleetView {
                bars,
                ..view.clone()
            }
            .query(),
            is_current: bars == view.bars,
        };
        Self {
            prefix,
            titles: columns.iter().map(title).collect(),
            spans: BarSpan::ALL.into_iter().map(span).collect(),
        }
    }
}

/// The peers that a view shows, by page.
struct Selection {
    /// Indices of all peers that match.
    matching: Vec<usize>,
    page: usize,
    pages: usize,
    /// Positions of the first row of the page, and of the one after the last.
    first: usize,
    end: usize,
}

impl Selection {
    fn new(view: &FleetView, snapshot: &Snapshot) -> Self {
        let matching = view.select(snapshot);
        let pages = matching.len().div_ceil(ROWS_PER_PAGE).max(1);
        let page = view.page.min(pages - 1);
        let first = (page * ROWS_PER_PAGE).min(matching.len());
        let end = (first + ROWS_PER_PAGE).min(matching.len());
        Self {
            matching,
            page,
            pages,
            first,
            end,
        }
    }

    fn on_page<'a>(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a PeerRecord> {
        let rows = self.matching[self.first..self.end].iter();
        rows.map(|index| snapshot.peers[*index].as_ref())
    }
}

impl Paging {
    fn new(prefix: &str, view: &FleetView, selection: &Selection, all: usize) -> Self {
        let page_query = |page: usize| {
            FleetView {
                page,
                ..view.clone()
            }
            .query()
        };
        Self {
            prefix: prefix.to_owned(),
            matching: selection.matching.len(),
            all,
            first: (selection.first + 1).min(selection.end),
            last: selection.end,
            previous: selection.page.checked_sub(1).map(page_query),
            next: Some(selection.page + 1)
                .filter(|next| *next < selection.pages)
                .map(page_query),
            is_unfiltered: view.search.is_empty()
                && view.network.is_empty()
                && view.health == HealthFilter::All,
        }
    }
}

/// Draws the parts of the page that are updated live.
pub(super) fn content(
    pages: &Pages,
    view: &FleetView,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Content> {
    let state = &pages.state;
    let loaded = state.active_config.get();
    let columns = Columns::of(snapshot);
    let selection = Selection::new(view, snapshot);
    let mut rows = Vec::with_capacity(selection.end - selection.first);
    let context = RowContext {
        prefix: &state.prefix,
        columns: &columns,
        snapshot,
        times,
    };
    let mut group = String::new();
    for record in selection.on_page(snapshot) {
        let group_of_row = view.group_of(record);
        if group_of_row != group {
            rows.push(TableRow {
                key: format!("group {group_of_row}"),
                html: GroupRow {
                    name: &group_of_row,
                    columns: columns.len(),
                }
                .render()?,
            });
            group = group_of_row;
        }
        let name = &record.peer.name;
        let polls = state.history.recent(name).unwrap_or_default();
        let availability = pages.availability.get(name, view.bars.bars());
        rows.push(TableRow {
            key: name.clone(),
            html: Row::new(&context, record, &polls, availability).render()?,
        });
    }
    let sidecar_peers = snapshot
        .peers
        .iter()
        .filter(|record| record.peer.sidecar.is_some() && loaded.config.mode == Mode::Sidecar);
    let summary = Summary {
        prefix: &state.prefix,
        parts: headline::parts(snapshot),
        failing_checks: snapshot
            .checks
            .healthy()
            .filter(|(_, healthy)| !healthy)
            .map(|(check, _)| check.as_str())
            .collect(),
        sidecar_peers: sidecar_peers
            .map(|record| SidecarPeer {
                name: &record.peer.name,
                diagnosis: diagnose(record, snapshot),
            })
            .collect(),
    };
    let paging = Paging::new(&state.prefix, view, &selection, snapshot.peers.len());
    let head = TableHead::new(&state.prefix, view, &columns);
    Ok(Content {
        title: format!(
            "{} · Convex peers · {}",
            headline::title(snapshot),
            loaded.config.vantage
        ),
        icon: fleet_icon_url(&state.prefix, snapshot),
        sections: vec![
            Section::new("summary", summary.render()?),
            Section::new(
                "alerts",
                AlertsSection::new(state, Scope::Fleet, times).render()?,
            ),
            networks_section(&state.prefix, snapshot, times)?,
            Section::new("table-head", head.render()?),
            Section::new("paging", paging.render()?),
        ],
        rows,
    })
}

/// Draws a strip for each network.
pub(super) fn networks_section(
    prefix: &str,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Section> {
    let networks = Networks {
        prefix,
        networks: snapshot
            .networks
            .iter()
            .map(|it| NetworkStrip::new(it, snapshot, times))
            .collect(),
    };
    Ok(Section::new("networks", networks.render()?))
}

/// Returns the names of all labels of peers.
fn label_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let peers = snapshot.peers.iter();
    peers
        .flat_map(|record| record.peer.labels.keys().map(String::as_str))
        .collect()
}
