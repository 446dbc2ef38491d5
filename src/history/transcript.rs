//! Transcripts of polls for humans: requests, answers and errors. Made on demand from the
//! observation of a poll.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use convex_client::{
    Attempt, ORDER_LEVELS, POLL_QUERY, PollAnswer, Status, Transport, is_deceptive,
};
use serde::Serialize;

use crate::config::Peer;
use crate::fleet::{EndpointObservation, Observation};

use super::time::unix_millis;

/// Largest size of a transcript as JSON, in bytes.
pub const MAX_TRANSCRIPT_BYTES: usize = 4096;

const MAX_URL_BYTES: usize = 120;
const MAX_REPLY_BYTES: usize = 620;
const MAX_ERROR_BYTES: usize = 340;

/// The transcript of one poll. Its JSON has at most [`MAX_TRANSCRIPT_BYTES`]; text from the peer
/// contains no control characters and no characters that change the direction of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transcript {
    /// When the poll began, in milliseconds since the epoch.
    pub at_ms: u64,
    /// One transcript per configured endpoint.
    pub endpoints: Vec<EndpointTranscript>,
}

/// The transcript of one endpoint. If there were retries, the last try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointTranscript {
    /// `http` or `tcp`.
    pub transport: &'static str,
    /// The endpoint.
    pub url: String,
    /// Time from the start of the first try to the end of the last one, in microseconds.
    pub took_us: u64,
    /// Number of tries after the first.
    pub retries: u32,
    /// Number of open connections that turned out to be closed and were replaced.
    pub reconnects: u32,
    /// Size of the answers in bytes.
    pub response_bytes: usize,
    /// Phases of connecting, if a new connection was made.
    pub phases: Vec<ConnectPhase>,
    /// Requests with their answers, in order.
    pub answers: Vec<TranscriptAnswer>,
    /// Reason and message, if the endpoint failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A phase of connecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectPhase {
    /// `resolve`, `connect` or `tls`.
    pub phase: &'static str,
    /// Duration in microseconds.
    pub took_us: u64,
}

/// A request with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TranscriptAnswer {
    /// `status`, `ping` or `query`.
    pub request: &'static str,
    /// The request as it was sent.
    pub sent: &'static str,
    /// Time from the first byte of the request to the last byte of the answer, in microseconds.
    pub took_us: u64,
    /// The decoded answer.
    pub reply: String,
}

impl Transcript {
    /// Makes the transcript of a poll of `peer`.
    #[must_use]
    pub fn from_observation(peer: &Peer, observation: &Observation) -> Self {
        let endpoints = peer.endpoints.iter().zip(&observation.endpoints);
        let began = observation.endpoints.iter().map(|probed| probed.began);
        Self {
            at_ms: unix_millis(began.min().unwrap_or(SystemTime::UNIX_EPOCH)),
            endpoints: endpoints
                .map(|(endpoint, probed)| {
                    EndpointTranscript::from_probe(&endpoint.to_string(), probed)
                })
                .collect(),
        }
    }
}

impl EndpointTranscript {
    fn from_probe(url: &str, probed: &EndpointObservation) -> Self {
        let attempt = &probed.attempt;
        let phases = [
            ("resolve", attempt.phases.resolve),
            ("connect", attempt.phases.connect),
            ("tls", attempt.phases.tls),
        ];
        let connect_phase = |(phase, took): (&'static str, Option<Duration>)| {
            let took_us = micros(took?);
            Some(ConnectPhase { phase, took_us })
        };
        let took = probed.ended.duration_since(probed.began);
        Self {
            transport: probed.transport.as_str(),
            url: sanitize(url, MAX_URL_BYTES),
            took_us: micros(took.unwrap_or_default()),
            retries: probed.retries,
            reconnects: attempt.reconnects,
            response_bytes: attempt.response_bytes,
            phases: phases.into_iter().filter_map(connect_phase).collect(),
            answers: answers(probed.transport, attempt),
            error: probed
                .failure
                .as_ref()
                .map(|failure| sanitize(&failure.to_string(), MAX_ERROR_BYTES)),
        }
    }
}

fn answers(transport: Transport, attempt: &Attempt) -> Vec<TranscriptAnswer> {
    let over_tcp = transport == Transport::Tcp;
    let status = attempt.status.as_ref().map(|answered| TranscriptAnswer {
        request: "status",
        sent: if over_tcp { "[:SR id]" } else { "GET status" },
        took_us: micros(answered.took),
        reply: sanitize(&format_status(&answered.value), MAX_REPLY_BYTES),
    });
    // Over HTTP the clock comes from a header of another answer.
    let clock = attempt.clock.as_ref().filter(|_| over_tcp);
    let ping = clock.map(|answered| TranscriptAnswer {
        request: "ping",
        sent: "[:PING id]",
        took_us: micros(answered.took),
        reply: format!(
            "clock {:+.6} s, uncertainty {:.6} s",
            answered.value.skew, answered.value.uncertainty
        ),
    });
    let query = attempt.query.as_ref().map(|answered| TranscriptAnswer {
        request: "query",
        sent: POLL_QUERY.source(),
        took_us: micros(answered.took),
        reply: match &answered.value {
            Ok(answer) => sanitize(&format_query_answer(answer), MAX_REPLY_BYTES),
            Err(error) => sanitize(
                &format!(":{} {}", error.code, error.message),
                MAX_REPLY_BYTES,
            ),
        },
    });
    [status, ping, query].into_iter().flatten().collect()
}

fn format_status(status: &Status) -> String {
    let mut text = format!("genesis {}, peer {}", status.genesis, status.peer_key);
    for (level, points) in ORDER_LEVELS.iter().zip(status.order.by_level()) {
        append_field(&mut text, level, Some(points));
    }
    text
}

fn format_query_answer(answer: &PollAnswer) -> String {
    let mut text = String::new();
    append_field(&mut text, "block", answer.state_block);
    append_field(&mut text, "state", answer.state_hash);
    append_field(&mut text, "timestamp", answer.timestamp_ms);
    append_field(&mut text, "accounts", answer.accounts);
    append_field(&mut text, "registered peers", answer.registered_peers);
    append_field(&mut text, "fees", answer.fees_copper);
    append_field(&mut text, "juice price", answer.juice_price_copper);
    append_field(&mut text, "memory pool bytes", answer.memory_pool_bytes);
    append_field(&mut text, "memory pool copper", answer.memory_pool_copper);
    append_field(&mut text, "memory price", answer.memory_price_copper);
    append_field(&mut text, "coin supply", answer.coin_supply_copper);
    let protocol = answer.protocol.as_ref();
    append_field(&mut text, "protocol version", protocol.map(|it| it.version));
    if text.is_empty() {
        text.push_str("no known values");
    }
    text
}

/// Appends a name and a value, if there is one.
fn append_field(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{name} {value}").expect("writing to a String cannot fail");
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Replaces characters that could break or reorder displayed text, and truncates `text` to
/// `max_bytes` as encoded in JSON.
fn sanitize(text: &str, max_bytes: usize) -> String {
    let mut left = max_bytes.saturating_sub('…'.len_utf8());
    let mut sanitized = String::new();
    for c in text.chars() {
        let c = if is_deceptive(c) { '\u{fffd}' } else { c };
        let escape = usize::from(matches!(c, '"' | '\\'));
        let Some(after) = left.checked_sub(c.len_utf8() + escape) else {
            sanitized.push('…');
            break;
        };
        left = after;
        sanitized.push(c);
    }
    sanitized
}

#[cfg(test)]
mod tests {
    use cad3::Hash;
    use convex_client::{
        ClockSample, ErrorReply, FailureReason, OrderPoints, Phases, ProtocolState, Timed,
    };

    use tokio::time::Instant;

    use super::*;
    use crate::failure::{Failure, Reason};

    fn peer() -> Peer {
        let text = format!(
            "peers: [{{ name: a, endpoints: ['http://192.0.2.1:8080/{}', 'tcp://192.0.2.1:18888'] }}]\n",
            "long/".repeat(90)
        );
        let config = crate::config::parse(&text, "t", std::path::Path::new(""), &|_| None);
        Peer::clone(&config.unwrap().peers[0])
    }

    fn observation(answer: convex_client::Answer, failure: &Failure) -> Observation {
        let took = Duration::from_micros(u64::MAX);
        let attempt = Attempt {
            phases: Phases {
                resolve: Some(took),
                connect: Some(took),
                tls: Some(took),
            },
            reconnects: u32::MAX,
            response_bytes: usize::MAX,
            status: Some(Timed {
                value: Status {
                    genesis: Hash::new([0xab; 32]),
                    peer_key: Hash::new([0xcd; 32]),
                    order: OrderPoints {
                        block: i64::MAX,
                        proposal: i64::MAX,
                        consensus: i64::MAX,
                        finality: i64::MAX,
                    },
                    state: None,
                    protocol: None,
                },
                took,
            }),
            query: Some(Timed {
                value: answer,
                took,
            }),
            clock: Some(Timed {
                value: ClockSample {
                    skew: -1e9,
                    uncertainty: 1e9,
                },
                took,
            }),
            ..Attempt::default()
        };
        let probed = |transport| EndpointObservation {
            transport,
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(9),
            ended: SystemTime::UNIX_EPOCH + Duration::from_secs(10),
            retries: u32::MAX,
            attempt: attempt.clone(),
            took: None,
            failure: Some(failure.clone()),
        };
        Observation {
            asked: Instant::now(),
            endpoints: Transport::ALL.map(probed).into(),
        }
    }

    #[test]
    fn a_transcript_is_small_and_harmless_whatever_a_peer_sends() {
        let longest = Some(i64::MIN);
        let largest = PollAnswer {
            state_hash: Some(Hash::new([0xef; 32])),
            state_block: longest,
            timestamp_ms: longest,
            fees_copper: longest,
            juice_price_copper: longest,
            memory_pool_bytes: longest,
            memory_pool_copper: longest,
            accounts: longest,
            registered_peers: longest,
            memory_price_copper: Some(-f64::MAX),
            coin_supply_copper: longest,
            protocol: Some(ProtocolState {
                version: i64::MAX,
                activations_ms: Vec::new(),
            }),
        };
        for character in ["\"", "\\", "\u{202e}", "\n", "😀", "<script>"] {
            let text = character.repeat(1_000_000);
            let error = ErrorReply {
                code: text.clone(),
                message: text.clone(),
            };
            for answer in [Ok(largest.clone()), Err(error)] {
                let failure = Failure::new(Reason::Client(FailureReason::Malformed), text.as_str());
                let transcript =
                    Transcript::from_observation(&peer(), &observation(answer, &failure));
                let json = serde_json::to_string(&transcript).unwrap();
                assert!(json.len() <= MAX_TRANSCRIPT_BYTES, "{} bytes", json.len());
                assert!(!json.contains(['\u{202e}', '\n']) && !json.contains("\\n"));
            }
        }
    }

    #[test]
    fn a_transcript_shows_requests_and_answers() {
        let answer = PollAnswer {
            state_block: Some(6),
            accounts: Some(132),
            ..PollAnswer::default()
        };
        let failure = Failure::new(Reason::Client(FailureReason::Timeout), "no answer came");
        let transcript = Transcript::from_observation(&peer(), &observation(Ok(answer), &failure));
        assert_eq!(transcript.at_ms, 9_000);
        let [http, tcp] = &transcript.endpoints[..] else {
            panic!("{transcript:?}");
        };
        assert_eq!(http.error.as_deref(), Some("timeout: no answer came"));
        let requests: Vec<_> = tcp.answers.iter().map(|answer| answer.request).collect();
        assert_eq!(requests, ["status", "ping", "query"]);
        assert_eq!(tcp.answers[2].reply, "block 6, accounts 132");
        assert!(tcp.answers[2].sent.contains("(coin-supply)"));
        assert_eq!(tcp.took_us, 1_000_000);
    }
}
