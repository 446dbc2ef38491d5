//! The fleet page: a card for each network, then a table of peers, by default the most severe
//! problems first.

use std::collections::BTreeSet;

use askama::Template;

use crate::config::Mode;
use crate::fleet::{Evidence, Health, PeerRecord, Snapshot};
use crate::web::AppState;

use super::alerts::{AlertsSection, Scope};
use super::diagnosis::{Diagnosis, diagnose};
use super::format::TimeFormat;
use super::icon::fleet_icon_url;
use super::network_card::{HealthCount, NetworkCard, health_counts};
use super::row::Row;
use super::view::{FleetView, HealthFilter, ROWS_PER_PAGE, Sort};
use super::{Content, Section, Shell, TableRow};

/// The columns of the table, with the sort order of each.
const COLUMNS: [(&str, Option<Sort>); 11] = [
    ("Peer", Some(Sort::Name)),
    ("Health", Some(Sort::Severity)),
    ("Last polls", None),
    ("Latency", Some(Sort::Latency)),
    ("Order: final +", Some(Sort::Order)),
    ("Lag", Some(Sort::Lag)),
    ("State", Some(Sort::State)),
    ("Stake, CVM", Some(Sort::Stake)),
    ("Clock", Some(Sort::Clock)),
    ("Certificate", Some(Sort::Certificate)),
    ("Last success", Some(Sort::Success)),
];

#[derive(Template)]
#[template(path = "pages/fleet.html")]
pub(super) struct FleetPage<'a> {
    pub(super) shell: Shell<'a>,
    pub(super) content: Content,
    view: &'a FleetView,
    columns: Vec<Column>,
    networks: Vec<&'a str>,
    labels: Vec<LabelChoice<'a>>,
    live: String,
}

struct Column {
    title: &'static str,
    /// The value of `aria-sort`; empty if the rows are not sorted by this column.
    aria_sort: &'static str,
    /// The query string that sorts by this column.
    query: Option<String>,
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
    counts: Vec<HealthCount>,
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
    networks: Vec<NetworkCard<'a>>,
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
        let columns = COLUMNS.into_iter().map(|(title, sort)| Column {
            title,
            aria_sort: match sort {
                Some(sort) if sort == view.sort => {
                    // These columns are ascending by default, the others descending.
                    let ascends = matches!(sort, Sort::Name | Sort::Certificate | Sort::Success);
                    if ascends == view.reversed {
                        "descending"
                    } else {
                        "ascending"
                    }
                }
                _ => "",
            },
            query: sort.map(|sort| view.sorted_by(sort).query()),
        });
        Self {
            columns: columns.collect(),
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

/// Draws the parts of the page that are updated live.
pub(super) fn content(
    state: &AppState,
    view: &FleetView,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Content> {
    let loaded = state.active_config.get();
    let selected = view.select(snapshot);
    let pages = selected.len().div_ceil(ROWS_PER_PAGE).max(1);
    let page = view.page.min(pages - 1);
    let first = (page * ROWS_PER_PAGE).min(selected.len());
    let end = (first + ROWS_PER_PAGE).min(selected.len());
    let on_page = &selected[first..end];
    let mut rows = Vec::with_capacity(on_page.len());
    let mut group = String::new();
    for index in on_page {
        let record = &snapshot.peers[*index];
        let group_of_row = view.group_of(record);
        if group_of_row != group {
            rows.push(TableRow {
                key: format!("group {group_of_row}"),
                html: GroupRow {
                    name: &group_of_row,
                    columns: COLUMNS.len(),
                }
                .render()?,
            });
            group = group_of_row;
        }
        rows.push(peer_row(state, record, snapshot, times)?);
    }
    let page_query = |page: usize| {
        FleetView {
            page,
            ..view.clone()
        }
        .query()
    };
    let paging = Paging {
        prefix: state.prefix.to_string(),
        matching: selected.len(),
        all: snapshot.peers.len(),
        first: (first + 1).min(selected.len()),
        last: end,
        previous: (page > 0).then(|| page_query(page - 1)),
        next: (page + 1 < pages).then(|| page_query(page + 1)),
        is_unfiltered: view.search.is_empty()
            && view.network.is_empty()
            && view.health == HealthFilter::All,
    };
    let sidecar_peers = snapshot
        .peers
        .iter()
        .filter(|record| record.peer.sidecar.is_some() && loaded.config.mode == Mode::Sidecar);
    let summary = Summary {
        prefix: &state.prefix,
        counts: health_counts(snapshot, ""),
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
    let networks = Networks {
        prefix: &state.prefix,
        networks: snapshot
            .networks
            .iter()
            .map(|it| NetworkCard::new(it, snapshot, times))
            .collect(),
    };
    Ok(Content {
        title: title(snapshot, &loaded.config.vantage),
        icon: fleet_icon_url(&state.prefix, snapshot),
        sections: vec![
            Section::new("summary", summary.render()?),
            Section::new(
                "alerts",
                AlertsSection::new(state, Scope::Fleet, times).render()?,
            ),
            Section::new("networks", networks.render()?),
            Section::new("paging", paging.render()?),
        ],
        rows,
    })
}

fn peer_row(
    state: &AppState,
    record: &PeerRecord,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<TableRow> {
    let polls = state.history.recent(&record.peer.name).unwrap_or_default();
    let row = Row::new(&state.prefix, record, &polls, snapshot, times);
    Ok(TableRow {
        key: record.peer.name.clone(),
        html: row.render()?,
    })
}

/// Returns the names of all labels of peers.
fn label_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let peers = snapshot.peers.iter();
    peers
        .flat_map(|record| record.peer.labels.keys().map(String::as_str))
        .collect()
}

/// Returns the title of the page: it starts with the number of unhealthy peers, so that a
/// background tab shows problems.
fn title(snapshot: &Snapshot, vantage: &str) -> String {
    let (down, degraded) = (
        snapshot.count(Health::Down),
        snapshot.count(Health::Degraded),
    );
    let mut counts = Vec::new();
    if down > 0 {
        counts.push(format!("{down} down"));
    }
    if degraded > 0 {
        counts.push(format!("{degraded} degraded"));
    }
    if counts.is_empty() {
        counts.push(format!("{} up", snapshot.count(Health::Up)));
    }
    format!("{} · Convex peers · {vantage}", counts.join(", "))
}
