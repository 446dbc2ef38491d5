//! The page of one peer: its problems and their likely cause, history, events, endpoints, details,
//! and its last polls.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use askama::Template;

use crate::failure::Failure;
use crate::fleet::{EndpointRecord, Health, PeerRecord, Snapshot};
use crate::history::{self, Event, EventKind, Transcript};
use crate::web::AppState;

use super::alerts::{AlertsSection, Scope};
use super::diagnosis::{Diagnosis, diagnose};
use super::facts::{Group, groups};
use super::format::{Markup, TimeFormat, Timestamp, count, latency, sanitize};
use super::history_panel::HistoryPanel;
use super::icon::icon_url;
use super::row::{ConditionLink, condition_links};
use super::sparklines::poll_bar;
use super::vantages::VantagesSection;
use super::{Content, Section, Shell, labels, runbook};

/// Maximum number of events shown.
const MAX_EVENTS: usize = 50;

#[derive(Template)]
#[template(path = "pages/peer.html")]
pub(super) struct PeerPage<'a> {
    pub(super) shell: Shell<'a>,
    pub(super) content: Content,
    pub(super) name: &'a str,
    pub(super) network: &'a str,
    pub(super) live: String,
    pub(super) history: HistoryPanel,
}

#[derive(Template)]
#[template(path = "pages/verdict.html")]
struct Verdict<'a> {
    prefix: &'a str,
    name: &'a str,
    health: &'static str,
    since: Option<Timestamp>,
    maintenance: bool,
    diagnosis: Diagnosis,
    problems: Vec<Problem>,
    poll_bar: Markup,
}

/// A condition of the peer, with the text of its runbook.
struct Problem {
    condition: ConditionLink,
    runbook: Option<Markup>,
}

#[derive(Template)]
#[template(path = "pages/endpoints.html")]
struct Endpoints<'a> {
    endpoints: Vec<EndpointDetails<'a>>,
}

struct EndpointDetails<'a> {
    transport: &'static str,
    url: &'a str,
    latency: Option<String>,
    /// Phases of the last poll with their durations.
    phases: Vec<(&'static str, String)>,
    bytes: Option<String>,
    attempts: String,
    failures: String,
    consecutive_failures: u32,
    last_attempt: Option<Timestamp>,
    last_success: Option<Timestamp>,
    /// Reason and message.
    failure: Option<(&'static str, String)>,
    /// The same of the last connection that was to replace an old one.
    new_connection_failure: Option<(&'static str, String)>,
    certificate: Option<CertificateDetails>,
}

/// The certificate that ends first in the chain of an endpoint.
struct CertificateDetails {
    ends: Timestamp,
    subject: String,
}

#[derive(Template)]
#[template(path = "pages/facts.html")]
struct Facts {
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "pages/transcripts.html")]
struct Transcripts {
    polls: Vec<PollTranscript>,
}

/// The last successful or failed poll; without conversations if none is kept.
struct PollTranscript {
    title: &'static str,
    at: Option<Timestamp>,
    conversations: Vec<EndpointTranscript>,
}

struct EndpointTranscript {
    transport: &'static str,
    url: String,
    took: String,
    attempts: u32,
    reconnects: u32,
    bytes: usize,
    phases: Vec<(&'static str, String)>,
    answers: Vec<Exchange>,
    error: Option<String>,
}

struct Exchange {
    request: &'static str,
    sent: &'static str,
    took: String,
    reply: String,
}

#[derive(Template)]
#[template(path = "pages/events.html")]
struct Events {
    events: Vec<EventLine>,
    /// Whether there may be older events.
    has_more: bool,
}

struct EventLine {
    at: Timestamp,
    text: String,
}

/// Draws the parts of the page that are updated live.
pub(super) fn content(
    state: &AppState,
    record: &PeerRecord,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<Content> {
    let name = &record.peer.name;
    let events = state.history.peer_events(name, MAX_EVENTS);
    let problems = condition_links(record, times)
        .into_iter()
        .map(|condition| Problem {
            runbook: runbook::embedded(condition.alert, &state.prefix).map(Markup),
            condition,
        });
    let verdict = Verdict {
        prefix: &state.prefix,
        name,
        health: record.health.as_str(),
        since: health_changed(&events).map(|at| times.lasting(at)),
        maintenance: record.in_maintenance(snapshot.wall),
        diagnosis: diagnose(record, snapshot),
        problems: problems.collect(),
        poll_bar: poll_bar(&state.history.recent(name).unwrap_or_default()),
    };
    let details = |endpoint| EndpointDetails::new(record, endpoint, snapshot, times);
    let endpoints = Endpoints {
        endpoints: record.endpoints.iter().map(details).collect(),
    };
    let facts = Facts {
        groups: groups(record, snapshot, times),
    };
    let transcripts = state.history.transcripts(name);
    let (success, failure) = transcripts.map_or((None, None), |it| (it.success, it.failure));
    let transcripts = Transcripts {
        polls: vec![
            PollTranscript::new("Last successful poll", success, times),
            PollTranscript::new("Last failed poll", failure, times),
        ],
    };
    let vantages = VantagesSection::on_peer(record, snapshot, times);
    let scope = Scope::Peer {
        peer: name,
        network: &record.peer.network,
    };
    let alerts = AlertsSection::new(state, scope, times);
    let events = Events {
        has_more: events.len() == MAX_EVENTS,
        events: events
            .iter()
            .map(|event| EventLine {
                at: times.at(event.at()),
                text: sanitize(&event.kind.to_string()),
            })
            .collect(),
    };
    Ok(Content {
        title: format!("{} is {} · Convex peers", name, record.health.as_str()),
        icon: icon_url(&state.prefix, record.health, None),
        sections: vec![
            Section::new("verdict", verdict.render()?),
            Section::new("alerts", alerts.render()?),
            Section::new("vantages", vantages.render()?),
            Section::new("endpoints", endpoints.render()?),
            Section::new("facts", facts.render()?),
            Section::new("events", events.render()?),
            Section::new("transcripts", transcripts.render()?),
        ],
        rows: Vec::new(),
    })
}

/// Returns when the health of the peer last changed, if that is among its events.
fn health_changed(events: &[Arc<Event>]) -> Option<SystemTime> {
    let is_change = |event: &&Arc<Event>| matches!(event.kind, EventKind::HealthChanged { .. });
    events.iter().find(is_change).map(|event| event.at())
}

impl<'a> EndpointDetails<'a> {
    fn new(
        record: &PeerRecord,
        endpoint: &'a EndpointRecord,
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let timings = record.timings(endpoint, snapshot.now);
        let mut phases = Vec::new();
        if let Some(timings) = timings {
            let connecting = [
                ("resolve", timings.phases.resolve),
                ("connect", timings.phases.connect),
                ("tls", timings.phases.tls),
            ];
            let all = connecting.into_iter().chain(timings.requests);
            phases.extend(all.filter_map(|(phase, took)| Some((phase, latency(took?)))));
        }
        let timestamp = |at: Option<SystemTime>| at.map(|at| times.at(at));
        let failure =
            |failure: &Failure| (labels::reason(failure.reason), sanitize(&failure.message));
        Self {
            transport: endpoint.transport.as_str(),
            url: &endpoint.url,
            latency: timings.map(|timings| latency(timings.took)),
            phases,
            bytes: timings
                .map(|timings| count(u64::try_from(timings.response_bytes).unwrap_or(u64::MAX))),
            attempts: count(endpoint.tally.attempts),
            failures: count(endpoint.tally.total_failures()),
            consecutive_failures: endpoint.consecutive_failures,
            last_attempt: timestamp(endpoint.last_attempt),
            last_success: timestamp(endpoint.last_success),
            failure: endpoint.last_failure.as_ref().map(failure),
            new_connection_failure: endpoint.new_connection_failure.as_ref().map(failure),
            certificate: endpoint.certificate.as_ref().map(|it| CertificateDetails {
                ends: times.at(it.ends),
                subject: it.subject.clone(),
            }),
        }
    }
}

impl PollTranscript {
    fn new(title: &'static str, transcript: Option<Transcript>, times: TimeFormat) -> Self {
        let Some(transcript) = transcript else {
            return Self {
                title,
                at: None,
                conversations: Vec::new(),
            };
        };
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(transcript.at_ms));
        let conversations = transcript.endpoints.iter();
        Self {
            title,
            at: at.map(|at| times.at(at)),
            conversations: conversations.map(EndpointTranscript::new).collect(),
        }
    }
}

impl EndpointTranscript {
    fn new(conversation: &history::EndpointTranscript) -> Self {
        let micros = |took_us: u64| latency(Duration::from_micros(took_us));
        Self {
            transport: conversation.transport,
            url: sanitize(&conversation.url),
            took: micros(conversation.took_us),
            attempts: conversation.retries.saturating_add(1),
            reconnects: conversation.reconnects,
            bytes: conversation.response_bytes,
            phases: conversation
                .phases
                .iter()
                .map(|step| (step.phase, micros(step.took_us)))
                .collect(),
            answers: conversation
                .answers
                .iter()
                .map(|answer| Exchange {
                    request: answer.request,
                    sent: answer.sent,
                    took: micros(answer.took_us),
                    reply: sanitize(&answer.reply),
                })
                .collect(),
            error: conversation.error.as_deref().map(sanitize),
        }
    }
}

impl Verdict<'_> {
    fn is_up(&self) -> bool {
        self.health == Health::Up.as_str()
    }
}
