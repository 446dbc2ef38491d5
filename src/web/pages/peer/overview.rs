//! The head of the page of a peer, and its overview: what is wrong and what to do, whose trouble it
//! is, the most important figures and the last events.

use askama::Template;

use crate::fleet::{PeerRecord, Snapshot};
use crate::history::{Event, EventKind};
use crate::web::AppState;
use crate::web::pages::Section;
use crate::web::pages::alerts::{AlertsSection, Scope};
use crate::web::pages::conditions::condition_texts;
use crate::web::pages::diagnosis::{Diagnosis, diagnose};
use crate::web::pages::facts::{Entry, key_figures};
use crate::web::pages::format::{Markup, TimeFormat, Timestamp};
use crate::web::pages::runbook_commands::{AgentAddress, RunbookNames};
use crate::web::pages::sparklines::poll_bar;
use crate::web::pages::vantages::VantagesSection;

use super::Tab;
use super::events::{EventLine, lines};
use super::problems::Problems;

/// Number of events on the overview.
const LAST_EVENTS: usize = 5;

/// The head of all parts of the page.
#[derive(Template)]
#[template(path = "pages/peer/verdict.html")]
pub(super) struct Verdict<'a> {
    prefix: &'a str,
    name: &'a str,
    health: &'static str,
    since: Option<Timestamp>,
    maintenance: bool,
    /// The most severe condition.
    trouble: Option<&'static str>,
    /// Number of other conditions.
    more: usize,
    /// Why a failed poll does not count.
    excuse: Option<String>,
    poll_bar: Markup,
    /// The part of the page to return to after a poll.
    tab: Tab,
}

#[derive(Template)]
#[template(path = "pages/peer/diagnosis.html")]
struct DiagnosisSection {
    diagnosis: Diagnosis,
}

#[derive(Template)]
#[template(path = "pages/peer/figures.html")]
struct Figures {
    figures: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "pages/peer/last_events.html")]
struct LastEvents {
    events: Vec<EventLine>,
}

impl<'a> Verdict<'a> {
    pub(super) fn new(
        state: &'a AppState,
        record: &'a PeerRecord,
        snapshot: &Snapshot,
        tab: Tab,
        times: TimeFormat,
    ) -> Self {
        let name = &record.peer.name;
        let conditions = condition_texts(record);
        let is_change = |event: &Event| {
            event.peer.as_ref() == Some(name)
                && matches!(event.kind, EventKind::HealthChanged { .. })
        };
        let changes = state.history.newest_events(is_change, 1);
        Self {
            prefix: &state.prefix,
            name,
            health: record.health.as_str(),
            since: changes.first().map(|event| times.lasting(event.at())),
            maintenance: record.in_maintenance(snapshot.wall),
            trouble: conditions.first().copied(),
            more: conditions.len().saturating_sub(1),
            excuse: record.excuse.map(|excuse| excuse.to_string()),
            poll_bar: poll_bar(&state.history.recent(name).unwrap_or_default()),
            tab,
        }
    }
}

/// Draws the sections of the overview.
pub(super) fn sections(
    state: &AppState,
    record: &PeerRecord,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<[Section; 6]> {
    let name = &record.peer.name;
    let agent = AgentAddress::of(&state.active_config.get().config);
    let names = RunbookNames::new(record, snapshot, agent);
    let problems = Problems::new(record, &names, &state.prefix, times);
    let scope = Scope::Peer {
        peer: name,
        network: &record.peer.network,
    };
    let alerts = AlertsSection::new(state, scope, times);
    let diagnosis = DiagnosisSection {
        diagnosis: diagnose(record, snapshot),
    };
    let vantages = VantagesSection::on_peer(record, snapshot, times);
    let figures = Figures {
        figures: key_figures(record, snapshot, times),
    };
    let events = LastEvents {
        events: lines(&state.history.peer_events(name, LAST_EVENTS), times),
    };
    Ok([
        Section::new("problems", problems.render()?),
        Section::new("alerts", alerts.render()?),
        Section::new("diagnosis", diagnosis.render()?),
        Section::new("vantages", vantages.render()?),
        Section::new("figures", figures.render()?),
        Section::new("last-events", events.render()?),
    ])
}
