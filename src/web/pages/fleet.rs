//! The fleet page: networks with their verdicts, then peers, the worst first.

use askama::Template;

use crate::config::Mode;
use crate::fleet::{Health, PeerRecord, Snapshot};
use crate::web::pages::diagnosis::{self, Answer};
use crate::web::pages::format::Clock;

use super::super::Site;
use super::network::{HealthCount, NetworkCard, counts};
use super::row::Row;
use super::view::{ROWS, Sort, View, Which, labels};
use super::{Content, Piece, Section, Shell, summary_icon};

/// The columns of the table, and what the rows can be ordered by.
const COLUMNS: [(&str, Option<Sort>); 11] = [
    ("Peer", Some(Sort::Name)),
    ("Health", Some(Sort::Badness)),
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
    view: &'a View,
    columns: Vec<Column>,
    networks: Vec<&'a str>,
    labels: Vec<LabelChoice<'a>>,
    live: String,
}

struct Column {
    title: &'static str,
    /// As `aria-sort` has it; empty where the rows are not ordered by it.
    sorted: &'static str,
    query: Option<String>,
}

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
    beside: Vec<Beside<'a>>,
}

/// A peer on the agent's own host, and whose trouble it is.
struct Beside<'a> {
    name: &'a str,
    answer: Answer,
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
    found: usize,
    all: usize,
    first: usize,
    last: usize,
    before: Option<String>,
    after: Option<String>,
    everything: bool,
}

#[derive(Template)]
#[template(path = "pages/group.html")]
struct GroupRow<'a> {
    name: &'a str,
    columns: usize,
}

impl<'a> FleetPage<'a> {
    pub(super) fn new(
        site: &'a Site,
        view: &'a View,
        snapshot: &'a Snapshot,
        shell: Shell<'a>,
        content: Content,
    ) -> Self {
        let columns = COLUMNS.into_iter().map(|(title, sort)| Column {
            title,
            sorted: match sort {
                Some(sort) if sort == view.sort => {
                    // These grow downwards, the others fall.
                    let grows = matches!(sort, Sort::Name | Sort::Certificate | Sort::Success);
                    if grows == view.reversed {
                        "descending"
                    } else {
                        "ascending"
                    }
                }
                _ => "",
            },
            query: sort.map(|sort| view.sorted(sort).query()),
        });
        Self {
            columns: columns.collect(),
            networks: snapshot
                .networks
                .iter()
                .map(|it| it.name.as_str())
                .collect(),
            labels: labels(snapshot)
                .into_iter()
                .map(|name| LabelChoice {
                    value: format!("label:{name}"),
                    name,
                })
                .collect(),
            live: format!("{}/live{}", site.prefix, view.query()),
            shell,
            content,
            view,
        }
    }
}

/// What of the page is drawn anew while it is looked at.
pub(super) fn content(
    site: &Site,
    view: &View,
    snapshot: &Snapshot,
    clock: Clock,
) -> askama::Result<Content> {
    let in_force = site.current.get();
    let selected = view.select(snapshot);
    let pages = selected.len().div_ceil(ROWS).max(1);
    let page = view.page.min(pages - 1);
    let shown =
        &selected[(page * ROWS).min(selected.len())..((page + 1) * ROWS).min(selected.len())];
    let mut rows = Vec::with_capacity(shown.len());
    let mut group = String::new();
    for position in shown {
        let record = &snapshot.peers[*position];
        let of = view.group_of(record);
        if of != group {
            rows.push(Piece {
                key: format!("group {of}"),
                html: GroupRow {
                    name: &of,
                    columns: COLUMNS.len(),
                }
                .render()?,
            });
            group = of;
        }
        rows.push(row(site, record, snapshot, clock)?);
    }
    let to_page = |page: usize| {
        View {
            page,
            ..view.clone()
        }
        .query()
    };
    let paging = Paging {
        prefix: site.prefix.to_string(),
        found: selected.len(),
        all: snapshot.peers.len(),
        first: (page * ROWS + 1).min(selected.len()),
        last: page * ROWS + shown.len(),
        before: (page > 0).then(|| to_page(page - 1)),
        after: (page + 1 < pages).then(|| to_page(page + 1)),
        everything: view.text.is_empty() && view.network.is_empty() && view.which == Which::All,
    };
    let beside = snapshot
        .peers
        .iter()
        .filter(|record| record.peer.sidecar.is_some() && in_force.config.mode == Mode::Sidecar);
    let summary = Summary {
        prefix: &site.prefix,
        counts: counts(snapshot, ""),
        failing_checks: snapshot
            .checks
            .healthy()
            .filter(|(_, healthy)| !healthy)
            .map(|(check, _)| check.as_str())
            .collect(),
        beside: beside
            .map(|record| Beside {
                name: &record.peer.name,
                answer: diagnosis::answer(record, snapshot),
            })
            .collect(),
    };
    let networks = Networks {
        prefix: &site.prefix,
        networks: snapshot
            .networks
            .iter()
            .map(|it| NetworkCard::new(it, snapshot, clock))
            .collect(),
    };
    Ok(Content {
        title: title(snapshot, &in_force.config.vantage),
        icon: summary_icon(&site.prefix, snapshot),
        sections: vec![
            Section::new("summary", summary.render()?),
            Section::new("networks", networks.render()?),
            Section::new("paging", paging.render()?),
        ],
        rows,
    })
}

fn row(
    site: &Site,
    record: &PeerRecord,
    snapshot: &Snapshot,
    clock: Clock,
) -> askama::Result<Piece> {
    let polls = site.history.recent(&record.peer.name).unwrap_or_default();
    let row = Row::new(&site.prefix, record, &polls, snapshot, clock);
    Ok(Piece {
        key: record.peer.name.clone(),
        html: row.render()?,
    })
}

/// The counts of what is amiss, for a tab that nobody looks at.
fn title(snapshot: &Snapshot, vantage: &str) -> String {
    let (down, degraded) = (
        snapshot.count(Health::Down),
        snapshot.count(Health::Degraded),
    );
    let mut amiss = Vec::new();
    if down > 0 {
        amiss.push(format!("{down} down"));
    }
    if degraded > 0 {
        amiss.push(format!("{degraded} degraded"));
    }
    if amiss.is_empty() {
        amiss.push(format!("{} up", snapshot.count(Health::Up)));
    }
    format!("{} · Convex peers · {vantage}", amiss.join(", "))
}
