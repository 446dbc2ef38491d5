//! `/api/v1/peers/{name}/transcripts`: the last successful and the last failed poll of a peer in
//! detail.

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

/// The last successful and the last failed poll of a peer. One that was not kept is absent.
#[derive(Debug, Serialize, ToSchema)]
struct TranscriptsReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<TranscriptReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<TranscriptReport<'a>>,
}

/// One poll in detail, for people to read. Durations are seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TranscriptReport<'a> {
    /// When it started, seconds since the epoch.
    at: f64,
    /// One entry for each configured endpoint.
    endpoints: Vec<ConversationReport<'a>>,
}

/// The exchange with one endpoint; if it was retried, the last attempt.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationReport<'a> {
    transport: &'static str,
    url: &'a str,
    /// From the start of the first attempt to the end of the last one.
    duration_seconds: f64,
    /// Number of attempts after the first.
    retries: u32,
    /// Number of reused connections that turned out to be dead and were replaced.
    reconnects: u32,
    response_bytes: usize,
    /// The phases of connecting, if a new connection was made.
    phases: Vec<StepReport>,
    /// Requests with their replies, in the order sent.
    answers: Vec<AnswerReport<'a>>,
    /// Reason and message of the failure, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A phase of connecting: `resolve`, `connect` or `tls`.
#[derive(Debug, Serialize, ToSchema)]
struct StepReport {
    phase: &'static str,
    duration_seconds: f64,
}

/// A request with its reply.
#[derive(Debug, Serialize, ToSchema)]
struct AnswerReport<'a> {
    /// `status`, `ping` or `query`.
    request: &'static str,
    /// The request as text.
    sent: &'static str,
    /// From the first byte of the request to the last byte of the reply.
    duration_seconds: f64,
    /// The decoded reply.
    reply: &'a str,
}

fn seconds(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64()
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
    fn new(endpoint: &'a EndpointTranscript) -> Self {
        let phase = |phase: &ConnectPhase| StepReport {
            phase: phase.phase,
            duration_seconds: seconds(phase.took_us),
        };
        Self {
            transport: endpoint.transport,
            url: &endpoint.url,
            duration_seconds: seconds(endpoint.took_us),
            retries: endpoint.retries,
            reconnects: endpoint.reconnects,
            response_bytes: endpoint.response_bytes,
            phases: endpoint.phases.iter().map(phase).collect(),
            answers: endpoint.answers.iter().map(AnswerReport::new).collect(),
            error: endpoint.error.as_deref(),
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

/// The last successful and the last failed poll of a peer in detail.
#[utoipa::path(
    get,
    path = "/api/v1/peers/{name}/transcripts",
    tag = "history",
    params(("name" = String, Path, description = "The peer's name.")),
    responses(
        (status = 200, description = "The transcripts.", body = TranscriptsReport, headers(("ETag" = String, description = "Send it as `If-None-Match` to get 304 if nothing has changed."))),
        (status = 304, description = "Not modified since the response with this ETag."),
        (status = 400, description = "The path is not valid UTF-8.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No watched peer has this name.", body = Problem, content_type = "application/problem+json"),
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
