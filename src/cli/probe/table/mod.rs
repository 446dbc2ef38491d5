//! The table of results: a row per endpoint with its values and the evidence for the peer's health.

mod layout;

use std::time::{Duration, SystemTime};

use convex_client::{Attempt, ErrorReply, PollAnswer};
use tokio::time::Instant;

use crate::cli::terminal::escape;
use crate::fleet::{Condition, EndpointObservation, OrderState, PeerRecord};

use super::PollResult;
use super::comparison::Comparison;
use layout::{Row, UNKNOWN};

/// Longest text of a peer in the table, characters.
const MAX_PEER_TEXT_CHARS: usize = 200;

/// Formats a table of at most `width` columns, if given.
pub(super) fn table(
    results: &[&PollResult],
    width: Option<usize>,
    colored: bool,
    now: Instant,
) -> String {
    let rows = results.iter().flat_map(|result| rows(result, now));
    layout::format(rows.collect(), width, colored)
}

/// Formats how the peers of a network compare, in lines of at most `width` columns.
pub(super) fn comparison(comparison: &Comparison, width: Option<usize>, colored: bool) -> String {
    layout::format_note(
        &comparison.to_string(),
        comparison.is_different(),
        width,
        colored,
    )
}

/// Returns a row per endpoint; values of the peer as a whole are in the first one.
fn rows(result: &PollResult, now: Instant) -> Vec<Row> {
    let endpoints = result.observation.endpoints.iter().enumerate();
    endpoints
        .map(|(i, probed)| row(&result.record, probed, i == 0, now))
        .collect()
}

fn row(record: &PeerRecord, probed: &EndpointObservation, first: bool, now: Instant) -> Row {
    let attempt = &probed.attempt;
    let if_first = |text: &str| if first { text } else { "" }.to_owned();
    let if_known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let number = |number: Option<i64>| if_known(number.map(|number| number.to_string()));
    let answer = poll_answer(attempt);
    let bytes = Some(attempt.response_bytes).filter(|bytes| *bytes > 0);
    let mut evidence = Vec::new();
    evidence.extend(probed.failure.as_ref().map(|failure| {
        let message = escape(&failure.message, MAX_PEER_TEXT_CHARS);
        format!("{}: {message}", failure.reason)
    }));
    if first {
        evidence.extend(record.excuse.map(|excuse| excuse.to_string()));
        evidence.extend(conditions(record, now));
    }
    evidence.extend(endpoint_evidence(probed, record));
    Row {
        cells: [
            if_first(&escape(&record.peer.name, MAX_PEER_TEXT_CHARS)),
            if_first(record.health.as_str()),
            probed.transport.to_string(),
            if_known(probed.took.map(|took| format!("{} ms", millis(took)))),
            if_known(order(record, attempt, now)),
            number(answer.and_then(|answer| answer.state_block)),
            number(answer.and_then(|answer| answer.accounts)),
            if_known(bytes.map(|bytes| bytes.to_string())),
            if_known(phases(attempt)),
        ],
        health: record.health,
        failed: probed.failure.is_some(),
        evidence,
    }
}

/// Formats the counts of the order by level, or the one if all are equal, and its state if known.
fn order(record: &PeerRecord, attempt: &Attempt, now: Instant) -> Option<String> {
    let status = attempt.status.as_ref()?;
    let points = status.value.order.by_level();
    let counts = match points {
        [all, others @ ..] if others.iter().all(|points| *points == all) => all.to_string(),
        _ => points.map(|points| points.to_string()).join("/"),
    };
    Some(match record.order_state(now) {
        OrderState::Unknown => counts,
        state => format!("{counts} {}", state.as_str()),
    })
}

fn poll_answer(attempt: &Attempt) -> Option<&PollAnswer> {
    attempt.query.as_ref()?.value.as_ref().ok()
}

/// Formats the durations of the steps of an attempt, which may have failed at a later step.
fn phases(attempt: &Attempt) -> Option<String> {
    let phases = attempt.phases;
    let steps = [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("status", attempt.status.as_ref().map(|status| status.took)),
        ("query", attempt.query.as_ref().map(|query| query.took)),
    ];
    let steps: Vec<String> = steps
        .into_iter()
        .filter_map(|(step, took)| Some(format!("{step} {}", millis(took?))))
        .collect();
    (!steps.is_empty()).then(|| steps.join(", "))
}

fn millis(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() * 1000.0)
}

/// Formats the conditions of a peer, without those that the rows of its endpoints show.
fn conditions(record: &PeerRecord, now: Instant) -> Vec<String> {
    let format = |condition: &Condition| {
        let label = condition.as_str();
        match condition {
            Condition::Failing(_) | Condition::EndpointFailing | Condition::QueryError => None,
            Condition::ClockSkew => Some(match record.clock(now) {
                Some(clock) => format!("{label} {:+.2} s ± {:.2} s", clock.skew, clock.uncertainty),
                None => label.to_owned(),
            }),
            _ => Some(label.to_owned()),
        }
    };
    record.conditions.iter().filter_map(format).collect()
}

/// Formats what the answers of an endpoint show about the peer.
fn endpoint_evidence(probed: &EndpointObservation, record: &PeerRecord) -> Vec<String> {
    let attempt = &probed.attempt;
    let mut evidence = Vec::new();
    if let Some(Err(ErrorReply { code, message })) =
        attempt.query.as_ref().map(|query| &query.value)
    {
        let code = escape(code, MAX_PEER_TEXT_CHARS);
        let message = escape(message, MAX_PEER_TEXT_CHARS);
        evidence.push(format!("query_error: :{code} {message}"));
    }
    if let Some(status) = &attempt.status {
        let pinned = |is_pinned: bool| if is_pinned { " (as pinned)" } else { "" };
        let (key, genesis) = (status.value.peer_key, status.value.genesis);
        evidence.push(format!(
            "key {}{}",
            short(&key.to_string()),
            pinned(record.peer.key == Some(key))
        ));
        evidence.push(format!(
            "genesis {}{}",
            short(&genesis.to_string()),
            pinned(record.peer.genesis == Some(genesis))
        ));
    }
    if let Some(certificate) = &attempt.certificate {
        let until = date(certificate.ends);
        evidence.push(match certificate.subject.as_str() {
            "" => format!("certificate until {until}"),
            subject => format!("certificate until {until} ({subject})"),
        });
    }
    if probed.retries > 0 {
        let retries = if probed.retries == 1 {
            "retry"
        } else {
            "retries"
        };
        evidence.push(format!("after {} {retries}", probed.retries));
    }
    evidence
}

/// Formats the date of a time, in UTC.
fn date(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn short(hash: &str) -> String {
    format!("{}…", &hash[..hash.len().min(10)])
}

#[cfg(test)]
mod tests;
