//! The diagnostics of a peer: its endpoints, every known value, and its last polls.

use std::time::{Duration, SystemTime};

use askama::Template;

use crate::failure::Failure;
use crate::fleet::{EndpointRecord, PeerRecord, Snapshot};
use crate::history::{self, Transcript};
use crate::web::AppState;
use crate::web::pages::event_list::reason_in_words;
use crate::web::pages::facts::{Group, groups};
use crate::web::pages::format::{TimeFormat, Timestamp, count, latency, sanitize};
use crate::web::pages::{Section, labels};

#[derive(Template)]
#[template(path = "pages/peer/endpoints.html")]
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
#[template(path = "pages/peer/facts.html")]
struct Facts {
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "pages/peer/transcripts.html")]
struct Transcripts {
    polls: Vec<PollTranscript>,
}

/// The last successful or failed poll.
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

/// Draws the sections with the diagnostics of a peer.
pub(super) fn sections(
    state: &AppState,
    record: &PeerRecord,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> askama::Result<[Section; 3]> {
    let details = |endpoint| EndpointDetails::new(record, endpoint, snapshot, times);
    let endpoints = Endpoints {
        endpoints: record.endpoints.iter().map(details).collect(),
    };
    let facts = Facts {
        groups: groups(record, snapshot, times),
    };
    let transcripts = state.history.transcripts(&record.peer.name);
    let (success, failure) = transcripts.map_or((None, None), |it| (it.success, it.failure));
    let polls = [
        PollTranscript::new("Last successful poll", success, times),
        PollTranscript::new("Last failed poll", failure, times),
    ];
    let transcripts = Transcripts {
        polls: polls.into_iter().flatten().collect(),
    };
    Ok([
        Section::new("endpoints", endpoints.render()?),
        Section::new("facts", facts.render()?),
        Section::new("transcripts", transcripts.render()?),
    ])
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
    /// Returns none if no such poll is kept.
    fn new(title: &'static str, transcript: Option<Transcript>, times: TimeFormat) -> Option<Self> {
        let transcript = transcript?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(transcript.at_ms));
        let conversations = transcript.endpoints.iter();
        Some(Self {
            title,
            at: at.map(|at| times.at(at)),
            conversations: conversations.map(EndpointTranscript::new).collect(),
        })
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
            error: conversation.error.as_deref().map(|error| {
                let in_words = reason_in_words(error);
                sanitize(in_words.as_deref().unwrap_or(error))
            }),
        }
    }
}
