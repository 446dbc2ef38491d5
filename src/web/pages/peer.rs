//! The page of one peer: what is wrong and whose trouble it is, everything known, what was, and its last polls in full.

use std::time::{Duration, SystemTime};

use askama::Template;
use convex_client::Transport;

use crate::fleet::{EndpointRecord, Health, PeerRecord, Snapshot};
use crate::history::{Event, Transcript};
use crate::web::pages::diagnosis::{self, Answer};
use crate::web::pages::format::{Clock, Markup, When, count, latency, visible};
use crate::web::pages::history_panel::Past;

use super::super::{Site, runbook};
use super::facts::{Group, groups};
use super::row::{LoadedConfig, in_force};
use super::spark::poll_bar;
use super::{Content, Section, Shell, icon, labels};

/// Events that are shown.
const EVENTS: usize = 50;

#[derive(Template)]
#[template(path = "pages/peer.html")]
pub(super) struct PeerPage<'a> {
    pub(super) shell: Shell<'a>,
    pub(super) content: Content,
    pub(super) name: &'a str,
    pub(super) network: &'a str,
    pub(super) live: String,
    pub(super) past: Past,
}

#[derive(Template)]
#[template(path = "pages/verdict.html")]
struct Verdict<'a> {
    prefix: &'a str,
    name: &'a str,
    health: &'static str,
    since: Option<When>,
    maintenance: bool,
    answer: Answer,
    wrong: Vec<Wrong>,
    polls: Markup,
}

/// What is in force, with what to do about it.
struct Wrong {
    it: LoadedConfig,
    runbook: Option<Markup>,
}

#[derive(Template)]
#[template(path = "pages/endpoints.html")]
struct Endpoints<'a> {
    endpoints: Vec<EndpointFacts<'a>>,
}

struct EndpointFacts<'a> {
    transport: &'static str,
    url: &'a str,
    latency: Option<String>,
    parts: Vec<(&'static str, String)>,
    bytes: Option<String>,
    attempts: String,
    failures: String,
    running: u32,
    attempt: Option<When>,
    success: Option<When>,
    failure: Option<(&'static str, String)>,
    certificate: Option<When>,
}

#[derive(Template)]
#[template(path = "pages/facts.html")]
struct Facts {
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "pages/transcripts.html")]
struct Transcripts {
    told: Vec<Told>,
}

/// A poll in full.
struct Told {
    title: &'static str,
    at: Option<When>,
    conversations: Vec<Said>,
}

struct Said {
    transport: &'static str,
    url: String,
    took: String,
    tries: u32,
    reconnects: u32,
    bytes: usize,
    phases: Vec<(&'static str, String)>,
    answers: Vec<Timed>,
    error: Option<String>,
}

struct Timed {
    request: &'static str,
    sent: &'static str,
    took: String,
    reply: String,
}

#[derive(Template)]
#[template(path = "pages/events.html")]
struct Events {
    events: Vec<Happened>,
    more: bool,
}

struct Happened {
    at: When,
    what: String,
}

/// What of the page is drawn anew while it is looked at.
pub(super) fn content(
    site: &Site,
    record: &PeerRecord,
    snapshot: &Snapshot,
    clock: Clock,
) -> askama::Result<Content> {
    let name = &record.peer.name;
    let events = site.history.events_of(name, EVENTS);
    let wrong = in_force(record).into_iter().map(|it| Wrong {
        runbook: runbook::embedded(it.alert, &site.prefix).map(Markup),
        it,
    });
    let verdict = Verdict {
        prefix: &site.prefix,
        name,
        health: record.health.as_str(),
        since: since(&events).map(|at| clock.when(at)),
        maintenance: record.in_maintenance(snapshot.wall),
        answer: diagnosis::answer(record, snapshot),
        wrong: wrong.collect(),
        polls: poll_bar(&site.history.recent(name).unwrap_or_default()),
    };
    let of_endpoint = |endpoint| EndpointFacts::new(record, endpoint, snapshot, clock);
    let endpoints = Endpoints {
        endpoints: record.endpoints.iter().map(of_endpoint).collect(),
    };
    let facts = Facts {
        groups: groups(record, snapshot, clock),
    };
    let transcripts = site.history.transcripts(name);
    let (success, failure) = transcripts.map_or((None, None), |it| (it.success, it.failure));
    let transcripts = Transcripts {
        told: vec![
            Told::new("Last successful poll", success, clock),
            Told::new("Last failed poll", failure, clock),
        ],
    };
    let events = Events {
        more: events.len() == EVENTS,
        events: events
            .iter()
            .map(|event| Happened {
                at: clock.when(event.at()),
                what: visible(&event.what.to_string()),
            })
            .collect(),
    };
    Ok(Content {
        title: format!("{} is {} · Convex peers", name, record.health.as_str()),
        icon: icon(&site.prefix, record.health, None),
        sections: vec![
            Section::new("verdict", verdict.render()?),
            Section::new("endpoints", endpoints.render()?),
            Section::new("facts", facts.render()?),
            Section::new("events", events.render()?),
            Section::new("transcripts", transcripts.render()?),
        ],
        rows: Vec::new(),
    })
}

/// When the peer's health became what it is, as far as is remembered.
fn since(events: &[std::sync::Arc<Event>]) -> Option<SystemTime> {
    let changed = |event: &&std::sync::Arc<Event>| {
        matches!(event.what, crate::history::EventKind::HealthChanged { .. })
    };
    events.iter().find(changed).map(|event| event.at())
}

impl<'a> EndpointFacts<'a> {
    fn new(
        record: &PeerRecord,
        endpoint: &'a EndpointRecord,
        snapshot: &Snapshot,
        clock: Clock,
    ) -> Self {
        let timings = record.timings(endpoint, snapshot.now);
        let mut parts = Vec::new();
        if let Some(timings) = timings {
            let phases = timings.phases;
            let connecting = [
                ("resolve", phases.resolve),
                ("connect", phases.connect),
                ("tls", phases.tls),
            ];
            let all = connecting.into_iter().chain(timings.requests);
            parts.extend(all.filter_map(|(part, took)| Some((part, latency(took?)))));
        }
        let when = |at: Option<SystemTime>| at.map(|at| clock.when(at));
        Self {
            transport: endpoint.transport.as_str(),
            url: &endpoint.url,
            latency: timings.map(|timings| latency(timings.took)),
            parts,
            bytes: timings
                .map(|timings| count(u64::try_from(timings.response_bytes).unwrap_or(u64::MAX))),
            attempts: count(endpoint.tally.attempts),
            failures: count(endpoint.tally.failed_in_all()),
            running: endpoint.consecutive_failures,
            attempt: when(endpoint.last_attempt),
            success: when(endpoint.last_success),
            failure: endpoint
                .last_failure
                .as_ref()
                .map(|failure| (labels::of_reason(failure.reason), visible(&failure.message))),
            certificate: when(endpoint.certificate_ends)
                .filter(|_| endpoint.transport == Transport::Http),
        }
    }
}

impl Told {
    fn new(title: &'static str, transcript: Option<Transcript>, clock: Clock) -> Self {
        let Some(transcript) = transcript else {
            return Self {
                title,
                at: None,
                conversations: Vec::new(),
            };
        };
        let micros = |took_us: u64| latency(Duration::from_micros(took_us));
        let conversations = transcript.endpoints.into_iter().map(|it| Said {
            transport: it.transport,
            url: visible(&it.url),
            took: micros(it.took_us),
            tries: it.retries.saturating_add(1),
            reconnects: it.reconnects,
            bytes: it.response_bytes,
            phases: it
                .phases
                .iter()
                .map(|step| (step.phase, micros(step.took_us)))
                .collect(),
            answers: it
                .answers
                .iter()
                .map(|answer| Timed {
                    request: answer.request,
                    sent: answer.sent,
                    took: micros(answer.took_us),
                    reply: visible(&answer.reply),
                })
                .collect(),
            error: it.error.as_deref().map(visible),
        });
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(transcript.at_ms));
        Self {
            title,
            at: at.map(|at| clock.when(at)),
            conversations: conversations.collect(),
        }
    }
}

impl Verdict<'_> {
    fn is_up(&self) -> bool {
        self.health == Health::Up.as_str()
    }
}
