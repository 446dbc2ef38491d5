//! One poll told in full, for people: what was asked, what came, what went wrong. Made when somebody looks, from what the poll
//! observed.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use convex_client::{Attempt, ORDER_LEVELS, POLL_QUERY, PollAnswer, Status, Transport};
use serde::Serialize;

use crate::config::Peer;
use crate::fleet::{Observation, Probed};

use super::log::milliseconds;

/// Bytes of a transcript as JSON, at most.
pub const TRANSCRIPT_BYTES: usize = 4096;

const URL_BYTES: usize = 120;
const REPLY_BYTES: usize = 620;
const ERROR_BYTES: usize = 340;

/// One poll. At most [`TRANSCRIPT_BYTES`] as JSON; what a peer said has no control or direction-changing characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transcript {
    /// When the poll began, milliseconds since the epoch.
    pub at_ms: u64,
    /// One a configured endpoint.
    pub endpoints: Vec<Conversation>,
}

/// What was said with one endpoint; of several tries the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// `http` or `tcp`.
    pub transport: &'static str,
    /// The endpoint.
    pub url: String,
    /// From the beginning of the first try to the end of the last one, microseconds.
    pub took_us: u64,
    /// Tries beyond the first.
    pub retries: u32,
    /// Kept connections that were found dead and replaced.
    pub reconnects: u32,
    /// Bytes of the answers.
    pub response_bytes: usize,
    /// The steps of connecting, where a connection was made.
    pub phases: Vec<Step>,
    /// What was answered, in the order asked.
    pub answers: Vec<Answer>,
    /// Reason and message, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A step of connecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `resolve`, `connect` or `tls`.
    pub phase: &'static str,
    /// How long it took, microseconds.
    pub took_us: u64,
}

/// A request with what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `status`, `ping` or `query`.
    pub request: &'static str,
    /// What was sent.
    pub sent: &'static str,
    /// From the first byte of the request to the last byte of the answer, microseconds.
    pub took_us: u64,
    /// The answer as it was understood.
    pub reply: String,
}

impl Transcript {
    /// What `observation` saw of `peer`.
    #[must_use]
    pub fn of(peer: &Peer, observation: &Observation) -> Self {
        let endpoints = peer.endpoints.iter().zip(&observation.endpoints);
        let began = observation.endpoints.iter().map(|probed| probed.began);
        Self {
            at_ms: milliseconds(began.min().unwrap_or(SystemTime::UNIX_EPOCH)),
            endpoints: endpoints
                .map(|(endpoint, probed)| Conversation::of(&endpoint.to_string(), probed))
                .collect(),
        }
    }
}

impl Conversation {
    fn of(url: &str, probed: &Probed) -> Self {
        let attempt = &probed.attempt;
        let phases = [
            ("resolve", attempt.phases.resolve),
            ("connect", attempt.phases.connect),
            ("tls", attempt.phases.tls),
        ];
        let step = |(phase, took): (&'static str, Option<Duration>)| {
            let took_us = micros(took?);
            Some(Step { phase, took_us })
        };
        let took = probed.ended.duration_since(probed.began);
        Self {
            transport: probed.transport.as_str(),
            url: clean(url, URL_BYTES),
            took_us: micros(took.unwrap_or_default()),
            retries: probed.retries,
            reconnects: attempt.reconnects,
            response_bytes: attempt.response_bytes,
            phases: phases.into_iter().filter_map(step).collect(),
            answers: answers(probed.transport, attempt),
            error: probed
                .failure
                .as_ref()
                .map(|failure| clean(&failure.to_string(), ERROR_BYTES)),
        }
    }
}

fn answers(transport: Transport, attempt: &Attempt) -> Vec<Answer> {
    let over_tcp = transport == Transport::Tcp;
    let status = attempt.status.as_ref().map(|answered| Answer {
        request: "status",
        sent: if over_tcp { "[:SR id]" } else { "GET status" },
        took_us: micros(answered.took),
        reply: clean(&told_status(&answered.value), REPLY_BYTES),
    });
    // The HTTP transport reads the clock from a header of another answer.
    let clock = attempt.clock.as_ref().filter(|_| over_tcp);
    let ping = clock.map(|answered| Answer {
        request: "ping",
        sent: "[:PING id]",
        took_us: micros(answered.took),
        reply: format!(
            "clock {:+.6} s, exact to {:.6} s",
            answered.value.skew, answered.value.uncertainty
        ),
    });
    let query = attempt.query.as_ref().map(|answered| Answer {
        request: "query",
        sent: POLL_QUERY.source(),
        took_us: micros(answered.took),
        reply: match &answered.value {
            Ok(figures) => clean(&told_figures(figures), REPLY_BYTES),
            Err(error) => clean(&format!(":{} {}", error.code, error.message), REPLY_BYTES),
        },
    });
    [status, ping, query].into_iter().flatten().collect()
}

fn told_status(status: &Status) -> String {
    let mut text = format!("genesis {}, peer {}", status.genesis, status.peer_key);
    for (level, points) in ORDER_LEVELS.iter().zip(status.order.by_level()) {
        told(&mut text, level, Some(points));
    }
    text
}

fn told_figures(figures: &PollAnswer) -> String {
    let mut text = String::new();
    told(&mut text, "block", figures.state_block);
    told(&mut text, "state", figures.state_hash);
    told(&mut text, "timestamp", figures.timestamp_ms);
    told(&mut text, "accounts", figures.accounts);
    told(&mut text, "registered peers", figures.registered_peers);
    told(&mut text, "fees", figures.fees_copper);
    told(&mut text, "juice price", figures.juice_price_copper);
    told(&mut text, "memory pool bytes", figures.memory_pool_bytes);
    told(&mut text, "memory pool copper", figures.memory_pool_copper);
    told(&mut text, "memory price", figures.memory_price_copper);
    told(&mut text, "coin supply", figures.coin_supply_copper);
    if text.is_empty() {
        text.push_str("nothing that was asked for");
    }
    text
}

/// Adds a figure, if it is there.
fn told(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{name} {value}").expect("a text takes everything");
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// `text` on one line, harmless, and at most `bytes` long as it stands in JSON.
fn clean(text: &str, bytes: usize) -> String {
    let mut left = bytes.saturating_sub('…'.len_utf8());
    let mut clean = String::new();
    for c in text.chars() {
        let harmful = c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let c = if harmful { '\u{fffd}' } else { c };
        let escape = usize::from(matches!(c, '"' | '\\'));
        let Some(after) = left.checked_sub(c.len_utf8() + escape) else {
            clean.push('…');
            break;
        };
        left = after;
        clean.push(c);
    }
    clean
}

#[cfg(test)]
mod tests {
    use cad3::Hash;
    use convex_client::{ClockSample, ErrorReply, FailureReason, OrderPoints, Phases, Timed};

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

    fn observation(answer: convex_client::Answer, failure: Option<Failure>) -> Observation {
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
        let probed = |transport| Probed {
            transport,
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(9),
            ended: SystemTime::UNIX_EPOCH + Duration::from_secs(10),
            retries: u32::MAX,
            attempt: attempt.clone(),
            took: None,
            failure: failure.clone(),
        };
        Observation {
            endpoints: Transport::ALL.map(probed).into(),
        }
    }

    #[test]
    fn a_transcript_is_small_and_harmless_whatever_a_peer_says() {
        let all = Some(i64::MIN);
        let largest = PollAnswer {
            state_hash: Some(Hash::new([0xef; 32])),
            state_block: all,
            timestamp_ms: all,
            fees_copper: all,
            juice_price_copper: all,
            memory_pool_bytes: all,
            memory_pool_copper: all,
            accounts: all,
            registered_peers: all,
            memory_price_copper: Some(-f64::MAX),
            coin_supply_copper: all,
        };
        for evil in ["\"", "\\", "\u{202e}", "\n", "😀", "<script>"] {
            let said = evil.repeat(1_000_000);
            let error = ErrorReply {
                code: said.clone(),
                message: said.clone(),
            };
            for answer in [Ok(largest.clone()), Err(error)] {
                let failure = Failure::new(Reason::Client(FailureReason::Malformed), said.as_str());
                let transcript = Transcript::of(&peer(), &observation(answer, Some(failure)));
                let json = serde_json::to_string(&transcript).unwrap();
                assert!(json.len() <= TRANSCRIPT_BYTES, "{} bytes", json.len());
                assert!(!json.contains(['\u{202e}', '\n']) && !json.contains("\\n"));
            }
        }
    }

    #[test]
    fn a_transcript_tells_what_was_asked_and_what_came() {
        let figures = PollAnswer {
            state_block: Some(6),
            accounts: Some(132),
            ..PollAnswer::default()
        };
        let failure = Failure::new(Reason::Client(FailureReason::Timeout), "no answer came");
        let transcript = Transcript::of(&peer(), &observation(Ok(figures), Some(failure)));
        assert_eq!(transcript.at_ms, 9_000);
        let [http, tcp] = &transcript.endpoints[..] else {
            panic!("{transcript:?}");
        };
        assert_eq!(http.error.as_deref(), Some("timeout: no answer came"));
        let asked: Vec<_> = tcp.answers.iter().map(|answer| answer.request).collect();
        assert_eq!(asked, ["status", "ping", "query"]);
        assert_eq!(tcp.answers[2].reply, "block 6, accounts 132");
        assert!(tcp.answers[2].sent.contains("(coin-supply)"));
        assert_eq!(tcp.took_us, 1_000_000);
    }
}
