//! `/api/v1/peers/{name}/transcripts`: what exactly the last good and the last failed poll of a peer saw.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::{ConnectPhase, EndpointTranscript, Transcript, TranscriptAnswer};

use super::Api;
use super::conditional::json;
use super::problem::Problem;

/// The last good and the last failed poll of a peer. One that was not kept is absent.
#[derive(Debug, Serialize, ToSchema)]
struct TranscriptsReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<TranscriptReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<TranscriptReport<'a>>,
}

/// One poll told in full, for people. Durations are seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TranscriptReport<'a> {
    /// When it began, seconds since the epoch.
    at: f64,
    /// One a configured endpoint.
    endpoints: Vec<ConversationReport<'a>>,
}

/// What was said with one endpoint; of several tries the last one.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationReport<'a> {
    transport: &'static str,
    url: &'a str,
    /// From the beginning of the first try to the end of the last one.
    duration_seconds: f64,
    /// Tries beyond the first.
    retries: u32,
    /// Kept connections that were found dead and replaced.
    reconnects: u32,
    response_bytes: usize,
    /// The steps of connecting, where a connection was made.
    phases: Vec<StepReport>,
    /// What was answered, in the order asked.
    answers: Vec<AnswerReport<'a>>,
    /// Reason and message, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A step of connecting: `resolve`, `connect` or `tls`.
#[derive(Debug, Serialize, ToSchema)]
struct StepReport {
    phase: &'static str,
    duration_seconds: f64,
}

/// A request with what came back.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerReport<'a> {
    /// `status`, `ping` or `query`.
    request: &'static str,
    /// What was sent.
    sent: &'static str,
    /// From the first byte of the request to the last byte of the answer.
    duration_seconds: f64,
    /// The answer as it was understood.
    reply: &'a str,
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

impl<'a> TranscriptReport<'a> {
    pub(super) fn new(transcript: &'a Transcript) -> Self {
        let endpoints = transcript.endpoints.iter();
        Self {
            at: Duration::from_millis(transcript.at_ms).as_secs_f64(),
            endpoints: endpoints.map(ConversationReport::new).collect(),
        }
    }
}

impl<'a> ConversationReport<'a> {
    fn new(said: &'a EndpointTranscript) -> Self {
        let step = |step: &ConnectPhase| StepReport {
            phase: step.phase,
            duration_seconds: seconds(step.took_us),
        };
        Self {
            transport: said.transport,
            url: &said.url,
            duration_seconds: seconds(said.took_us),
            retries: said.retries,
            reconnects: said.reconnects,
            response_bytes: said.response_bytes,
            phases: said.phases.iter().map(step).collect(),
            answers: said.answers.iter().map(AnswerReport::new).collect(),
            error: said.error.as_deref(),
        }
    }
}

impl<'a> AnswerReport<'a> {
    fn new(answer: &'a TranscriptAnswer) -> Self {
        Self {
            request: answer.request,
            sent: answer.sent,
            duration_seconds: seconds(answer.took_us),
            reply: &answer.reply,
        }
    }
}

/// What exactly the last good and the last failed poll of a peer saw.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}/transcripts",
    tag = "history",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The transcripts.", body = TranscriptsReport, headers(("ETag" = String, description = "For If-None-Match."))),
        (status = 304, description = "As the client has it already."),
        (status = 400, description = "The path is no text.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No peer has this name.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn transcripts(
    State(api): State<Api>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name?;
    let transcripts = api.history.transcripts(&name);
    let transcripts = transcripts.ok_or_else(|| Problem::no_peer(&name))?;
    let report = TranscriptsReport {
        success: transcripts.success.as_ref().map(TranscriptReport::new),
        failure: transcripts.failure.as_ref().map(TranscriptReport::new),
    };
    json(&headers, &report)
}
