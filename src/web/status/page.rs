//! The files of the status page. They need no script, no other site and no server that knows them.

use std::time::{Duration, SystemTime};

use askama::Template;

use crate::web::api::badge::{AMBER, Badge, GREEN, GREY, RED};
use crate::web::pages::availability::Availability;
use crate::web::pages::format::short_duration;

use super::availability::Period;
use super::model::{
    Component, PublicIncident, PublicLink, PublicMaintenance, PublicPalette, PublicStatus,
};
use super::state::State;
use super::{feed, sanitize, style};

/// A file of the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the directory of the page.
    pub path: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: String,
}

const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The file with everything that the page shows.
pub const DATA_FILE: &str = "status.json";

#[derive(Template)]
#[template(path = "status/page.html")]
struct Page<'a> {
    status: &'a PublicStatus,
    title: String,
    summary: String,
    description: Option<String>,
    at: Moment,
    period: Period,
    groups: Vec<Group>,
    maintenance: Vec<MaintenanceItem>,
    incidents: Vec<IncidentItem>,
    links: Vec<PublicLink>,
}

struct Group {
    title: &'static str,
    items: Vec<Item>,
}

struct Item {
    name: String,
    state: State,
    cause: Option<String>,
    availability: Option<std::sync::Arc<Availability>>,
}

struct MaintenanceItem {
    names: String,
    begin: Moment,
    end: Moment,
    has_begun: bool,
}

struct IncidentItem {
    id: u64,
    name: String,
    state: State,
    cause: String,
    begin: Moment,
    end: Option<Moment>,
    lasted: String,
    recurrences: u32,
    note: Option<(String, Moment)>,
}

/// A time, in seconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    pub(super) fn time(self) -> SystemTime {
        // The end of the year 9999, the last one that RFC 3339 can express.
        let seconds = self.0.min(253_402_300_799);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Formats the time for programs.
    pub(super) fn rfc3339(self) -> String {
        humantime::format_rfc3339_seconds(self.time()).to_string()
    }

    /// Formats the time for people, to the minute.
    fn utc(self) -> String {
        let rfc = self.rfc3339();
        format!("{} {} UTC", &rfc[..10], &rfc[11..16])
    }
}

/// Makes the files of the page.
///
/// # Errors
/// A template fails, which none does.
pub fn render(status: &PublicStatus) -> Result<Vec<File>, askama::Error> {
    let mut files = Vec::new();
    let mut add = |path: String, media_type, content| {
        files.push(File {
            path,
            media_type,
            content,
        });
    };
    for period in Period::ALL {
        add(
            period.file().to_owned(),
            HTML,
            Page::new(status, period).render()?,
        );
    }
    add(
        "style.css".to_owned(),
        "text/css; charset=utf-8",
        style::css(&status.theme)?,
    );
    add("icon.svg".to_owned(), SVG, icon(status));
    add(
        "feed.xml".to_owned(),
        "application/atom+xml; charset=utf-8",
        feed::atom(status)?,
    );
    let data =
        serde_json::to_string(status).map_err(|error| askama::Error::Custom(error.into()))?;
    add(DATA_FILE.to_owned(), "application/json", data);
    for component in status.components() {
        let badge = state_badge(component).render()?;
        add(format!("badge/{}.svg", component.id), SVG, badge);
        if let Some(bars) = &component.bars {
            let uptime = bars.total(Period::Quarter, Moment(status.at).time());
            let badge = Badge::for_uptime(&sanitize(&component.name), &uptime).render()?;
            add(format!("uptime/{}.svg", component.id), SVG, badge);
        }
    }
    Ok(files)
}

impl<'a> Page<'a> {
    fn new(status: &'a PublicStatus, period: Period) -> Self {
        let at = Moment(status.at);
        let items = |components: &[Component]| {
            let items = components.iter();
            items
                .map(|it| Item::new(it, period, at))
                .collect::<Vec<_>>()
        };
        let groups = [
            Group {
                title: "Networks",
                items: items(&status.networks),
            },
            Group {
                title: "Peers",
                items: items(&status.peers),
            },
        ];
        let first = status.at.saturating_sub(period.seconds());
        let incidents = status.incidents.iter();
        let incidents = incidents.filter(|it| it.ends_at.is_none_or(|end| end >= first));
        let links = status.links.iter().map(|link| PublicLink {
            text: sanitize(&link.text),
            url: link.url.clone(),
        });
        Self {
            status,
            title: sanitize(&status.title),
            summary: sanitize(&status.summary),
            description: status.description.as_deref().map(sanitize),
            at,
            period,
            groups: groups
                .into_iter()
                .filter(|it| !it.items.is_empty())
                .collect(),
            maintenance: status
                .maintenance
                .iter()
                .map(|it| MaintenanceItem::new(it, at))
                .collect(),
            incidents: incidents.map(|it| IncidentItem::new(it, at)).collect(),
            links: links.collect(),
        }
    }
}

impl Item {
    fn new(component: &Component, period: Period, at: Moment) -> Self {
        let bars = component.bars.as_ref();
        Self {
            name: sanitize(&component.name),
            state: component.state,
            cause: component.cause.as_deref().map(sanitize),
            availability: bars.map(|bars| bars.draw(period, at.time())),
        }
    }
}

impl MaintenanceItem {
    fn new(planned: &PublicMaintenance, at: Moment) -> Self {
        let names: Vec<String> = planned.components.iter().map(|it| sanitize(it)).collect();
        Self {
            names: names.join(", "),
            begin: Moment(planned.begins_at),
            end: Moment(planned.ends_at),
            has_begun: planned.begins_at <= at.0,
        }
    }
}

impl IncidentItem {
    fn new(incident: &PublicIncident, at: Moment) -> Self {
        let end = incident.ends_at.unwrap_or(at.0);
        let lasted = Duration::from_secs(end.saturating_sub(incident.begins_at));
        let note = incident.note.as_ref();
        Self {
            id: incident.id,
            name: sanitize(&incident.component),
            state: incident.state,
            cause: sanitize(&incident.cause),
            begin: Moment(incident.begins_at),
            end: incident.ends_at.map(Moment),
            lasted: short_duration(lasted),
            recurrences: incident.recurrences,
            note: note.map(|note| (note_text(&note.text), Moment(note.at))),
        }
    }
}

/// Returns a note ready to show, which may be longer than the names that [`sanitize`] is for.
pub(super) fn note_text(text: &str) -> String {
    let chars: Vec<char> = text.chars().take(super::MAX_NOTE_CHARS).collect();
    let parts = chars
        .chunks(300)
        .map(|part| part.iter().collect::<String>());
    parts.map(|part| sanitize(&part)).collect()
}

fn state_badge(component: &Component) -> Badge {
    let colour = match component.state {
        State::Operational => GREEN,
        State::Degraded => AMBER,
        State::Down => RED,
        State::Maintenance | State::Unknown => GREY,
    };
    let (name, state) = (sanitize(&component.name), component.state.as_str());
    Badge::new(name, state.to_owned(), String::new(), colour)
}

/// Draws the icon of the page: its shape says the state too.
fn icon(status: &PublicStatus) -> String {
    let PublicPalette {
        up,
        degraded,
        down,
        quiet,
        ..
    } = &status.theme.light;
    let (colour, shape) = match status.state {
        State::Operational => (up, r#"<circle cx="8" cy="8" r="7"/>"#),
        State::Degraded => (degraded, r#"<path d="M8 1l7 14H1z"/>"#),
        State::Down => (
            down,
            r#"<path d="M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z"/>"#,
        ),
        State::Maintenance | State::Unknown => (
            quiet,
            r#"<path fill-rule="evenodd" d="M8 1a7 7 0 1 0 .1 0zM8 4a4 4 0 1 1-.1 0z"/>"#,
        ),
    };
    let colour = if style::is_colour(colour) {
        colour
    } else {
        "gray"
    };
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="{colour}">{shape}</svg>"#
    )
}
