//! The page of all alerts: those that fire, and those that have ended as far as the events go back.

mod row;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use crate::alerting::{Alert, RULES, without_explained};
use crate::config::Severity;
use crate::history::{Event, EventKind};

use super::format::{TimeFormat, Timestamp};
use super::icon::fleet_icon_url;
use super::list_form::{Choice, ListForm, has_empty, respond, see_other};
use super::navigation::Place;
use super::{Content, Pages, Section, Shell, TableRow, absolute_times, relative_times};
use row::AlertRow;
use view::{AlertState, AlertView, Subject};

#[derive(Template)]
#[template(path = "pages/alert_list.html")]
struct AlertListPage<'a> {
    shell: Shell<'a>,
    content: Content,
    errors: &'a [String],
    form: ListForm<'a>,
    alerts: Vec<Choice<'a>>,
    severities: Vec<Choice<'a>>,
    states: Vec<Choice<'a>>,
    live: String,
}

/// How many alerts there are, and the links to the neighbouring pages.
#[derive(Template)]
#[template(path = "pages/alert_paging.html")]
struct Paging<'a> {
    prefix: &'a str,
    firing: usize,
    ended: usize,
    /// The only state that is shown, if it is only one.
    state: Option<AlertState>,
    /// Positions of the first and the last alert of this page, from 1, unless it shows all.
    part: Option<(usize, usize)>,
    previous: Option<String>,
    next: Option<String>,
    /// The oldest event: alerts that ended before are not known.
    since: Option<Timestamp>,
    is_filtered: bool,
}

/// `GET /alerts`
pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = AlertView::parse(uri.query());
    let state = &pages.state;
    if view.errors.is_empty() && has_empty(uri.query()) {
        return see_other(format!("{}/alerts{}", state.prefix, view.query()));
    }
    let snapshot = state.fleet.snapshot();
    let content = if view.errors.is_empty() {
        content(&pages, &view, relative_times(&snapshot))
    } else {
        Ok(Content {
            title: title(&pages, state.actions.firing().len()),
            icon: fleet_icon_url(&state.prefix, &snapshot),
            ..Content::default()
        })
    };
    let page = content.and_then(|content| {
        AlertListPage {
            shell: Shell::of(state, &content).at(Place::Alerts),
            content,
            errors: &view.errors,
            form: ListForm::new(&view.period, &view.peer, &view.network, &snapshot),
            alerts: alert_choices(&view),
            severities: choices(
                Severity::ALL.iter().rev().map(|it| it.as_str()),
                view.severity.map_or("", Severity::as_str),
            ),
            states: choices(
                AlertState::ALL.map(AlertState::as_str),
                view.state.map_or("", AlertState::as_str),
            ),
            live: format!("{}/alerts/live{}", state.prefix, view.query()),
        }
        .render()
    });
    respond(&view.errors, page)
}

/// `GET /alerts/live`
pub(super) async fn updates(State(pages): State<Pages>, uri: Uri) -> Response {
    let view = AlertView::parse(uri.query());
    let address = format!("/alerts{}", view.query());
    let drawn = pages.clone();
    let draw = move || {
        let snapshot = drawn.state.fleet.snapshot();
        content(&drawn, &view, absolute_times(&snapshot)).ok()
    };
    pages.live(&address, uri.query(), draw)
}

/// Draws the parts of the page that are updated live.
fn content(pages: &Pages, view: &AlertView, times: TimeFormat) -> askama::Result<Content> {
    let state = &pages.state;
    let vantage = state.fleet.vantage();
    let bounds = view.period.bounds(times.now);
    let all_firing = state.actions.firing();
    let begins = state.history.newest_events(
        |event| matches!(event.kind, EventKind::AlertBegan { .. }),
        usize::MAX,
    );
    let begins = begins_by_subject(&begins);
    let mut firing: Vec<&Alert> = all_firing
        .iter()
        .filter(|alert| view.is_about(&Subject::of_alert(alert)))
        .filter(|alert| {
            view.state != Some(AlertState::Ended) && bounds.overlap(alert.starts_at, None)
        })
        .collect();
    row::sort(&mut firing);
    let unexplained = without_explained(&all_firing);
    let is_explained = |alert: &Alert| !unexplained.iter().any(|it| std::ptr::eq(*it, alert));
    let ended = match view.state {
        Some(AlertState::Firing) => Vec::new(),
        Some(AlertState::Ended) | None => state.history.newest_events(
            |event| match (&event.kind, Subject::of_event(event)) {
                (EventKind::AlertEnded { starts_at, .. }, Some(subject)) => {
                    view.is_about(&subject) && bounds.overlap(starts_at.time(), Some(event.at()))
                }
                _ => false,
            },
            usize::MAX,
        ),
    };
    let (count, page) = (firing.len() + ended.len(), view.page);
    let shown = page * view::ROWS_PER_PAGE..count.min((page + 1) * view::ROWS_PER_PAGE);
    let mut rows = Vec::new();
    for at in shown.clone() {
        let row = match firing.get(at) {
            Some(alert) => {
                let event = begins.get(&Subject::of_alert(alert)).copied();
                AlertRow::firing(&state.prefix, alert, &vantage, event, times)
                    .explained(is_explained(alert))
            }
            None => AlertRow::ended(&state.prefix, &ended[at - firing.len()], times),
        };
        rows.push(TableRow {
            key: row.key(),
            html: row.render()?,
        });
    }
    let paging = Paging {
        prefix: &state.prefix,
        firing: firing.len(),
        ended: ended.len(),
        state: view.state,
        part: (shown.len() < count).then_some((shown.start + 1, shown.end)),
        previous: (page > 0).then(|| view.on_page(page - 1).query()),
        next: (shown.end < count).then(|| view.on_page(page + 1).query()),
        since: state
            .history
            .oldest_event()
            .map(|event| times.at(event.at())),
        is_filtered: view.is_filtered(),
    };
    let snapshot = state.fleet.snapshot();
    Ok(Content {
        title: title(pages, all_firing.len()),
        icon: fleet_icon_url(&state.prefix, &snapshot),
        sections: vec![Section::new("paging", paging.render()?)],
        rows,
    })
}

fn title(pages: &Pages, firing: usize) -> String {
    let vantage = &pages.state.active_config.get().config.vantage;
    match firing {
        0 => format!("No alert fires · Alerts · {vantage}"),
        1 => format!("1 alert fires · Alerts · {vantage}"),
        _ => format!("{firing} alerts fire · Alerts · {vantage}"),
    }
}

/// Returns the event with which each alert last began.
fn begins_by_subject(begins: &[Arc<Event>]) -> HashMap<Subject<'_>, u64> {
    let mut by_subject = HashMap::new();
    for event in begins {
        if let Some(subject) = Subject::of_event(event) {
            // The newest comes first.
            by_subject.entry(subject).or_insert(event.id);
        }
    }
    by_subject
}

fn alert_choices(view: &AlertView) -> Vec<Choice<'_>> {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    choices(names, &view.alert)
}

fn choices<'a>(values: impl IntoIterator<Item = &'a str>, chosen: &str) -> Vec<Choice<'a>> {
    let choice = |value: &'a str| Choice {
        value,
        text: value,
        is_chosen: value == chosen,
    };
    values.into_iter().map(choice).collect()
}
