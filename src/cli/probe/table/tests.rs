//! Whole tables at several widths.

use std::sync::Arc;

use cad3::Hash;
use convex_client::{
    Api, CertificateEnd, ClockSample, Endpoint, FailureReason, OrderPoints, Phases, Status, Timed,
    Transport,
};

use crate::config::Peer;
use crate::failure::Failure;
use crate::fleet::Observation;

use super::*;

/// An attempt and its outcome.
type Ended = (Attempt, Result<Duration, Failure>);

const MS: Duration = Duration::from_millis(1);

fn answers(tenths: u32) -> Ended {
    let took = MS / 10 * tenths;
    let order = OrderPoints {
        block: 120_412,
        proposal: 120_411,
        consensus: 120_411,
        finality: 120_410,
    };
    let answer = PollAnswer {
        state_block: Some(120_409),
        accounts: Some(13_200),
        ..PollAnswer::default()
    };
    let attempt = Attempt {
        phases: Phases {
            resolve: None,
            connect: Some(MS / 5),
            tls: None,
        },
        response_bytes: 347,
        status: Some(Timed {
            value: Status {
                genesis: Hash::new([0x5c; 32]),
                peer_key: Hash::new([0x0c; 32]),
                order,
                state: None,
                protocol: None,
            },
            took: took / 2,
        }),
        query: Some(Timed {
            value: Ok(answer),
            took,
        }),
        api: Some(Api::V0_8_3),
        ..Attempt::default()
    };
    (attempt, Ok(took))
}

fn fails(reason: FailureReason, message: &str) -> Ended {
    let attempt = Attempt {
        phases: Phases {
            connect: Some(MS),
            ..Phases::default()
        },
        ..Attempt::default()
    };
    (attempt, Err(Failure::new(reason, message)))
}

fn result(name: &str, urls: &[&str], attempts: Vec<Ended>) -> PollResult {
    let endpoints: Vec<Endpoint> = urls
        .iter()
        .map(|url| Endpoint::parse(url).unwrap())
        .collect();
    let mut peer = Peer::from_endpoint(endpoints[0].clone());
    name.clone_into(&mut peer.name);
    peer.genesis = Some(Hash::new([0x5c; 32]));
    peer.polling.down_after = 1;
    peer.polling.up_after = 1;
    let probed = endpoints
        .iter()
        .zip(attempts)
        .map(|(endpoint, (attempt, outcome))| {
            let times = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
            EndpointObservation::new(endpoint.transport(), times, attempt, outcome)
        });
    let observation = Observation {
        asked: Instant::now(),
        endpoints: probed.collect(),
    };
    peer.endpoints = endpoints;
    let mut record = PeerRecord::new(Arc::new(peer));
    record.record_poll(&observation, Instant::now(), SystemTime::UNIX_EPOCH);
    PollResult {
        record,
        observation,
        times: (Instant::now(), SystemTime::UNIX_EPOCH),
    }
}

/// A peer of each kind.
fn fleet() -> Vec<PollResult> {
    const BOTH: [&str; 2] = ["https://convex.example", "tcp://convex.example:18888"];
    let mut over_tls = answers(1623);
    over_tls.0.phases.resolve = Some(MS * 12);
    over_tls.0.phases.tls = Some(MS * 81);
    over_tls.0.certificate = Some(Arc::new(CertificateEnd {
        begins: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        ends: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        subject: "CN=convex.example".to_owned(),
    }));
    let mut late = answers(83);
    late.0.clock = Some(Timed {
        value: ClockSample {
            skew: -5.0,
            uncertainty: 0.004,
        },
        took: MS * 8,
    });
    let mut refuses = answers(90);
    if let Some(query) = &mut refuses.0.query {
        query.value = Err(ErrorReply {
            code: "JUICE".to_owned(),
            message: "no \u{1b}[2J\u{202e}juice".to_owned(),
        });
    }
    vec![
        result("gateway", &BOTH, vec![over_tls, answers(83)]),
        result("late", &BOTH[1..], vec![late]),
        result(
            "tcp://peer-number-seven.convex.example:18888",
            &BOTH[1..],
            vec![refuses],
        ),
        result(
            "half",
            &BOTH,
            vec![
                fails(FailureReason::Refused, "nobody listens at 192.0.2.7:443"),
                answers(75),
            ],
        ),
        result(
            "gone",
            &BOTH,
            vec![
                fails(FailureReason::Timeout, "connected, but no answer came"),
                fails(FailureReason::Timeout, "connected, but no answer came"),
            ],
        ),
    ]
}

fn drawn(fleet: &[PollResult], width: Option<usize>, colored: bool) -> String {
    let fleet: Vec<&PollResult> = fleet.iter().collect();
    table(&fleet, width, colored, Instant::now())
}

#[test]
fn the_table_at_60_columns() {
    insta::assert_snapshot!(drawn(&fleet(), Some(60), false));
}

#[test]
fn the_table_at_80_columns() {
    insta::assert_snapshot!(drawn(&fleet(), Some(80), false));
}

#[test]
fn the_table_at_80_columns_of_peers_with_short_names() {
    let fleet: Vec<PollResult> = fleet()
        .into_iter()
        .filter(|result| result.record.peer.name.len() < 12)
        .collect();
    insta::assert_snapshot!(drawn(&fleet, Some(80), false));
}

#[test]
fn the_table_at_160_columns() {
    insta::assert_snapshot!(drawn(&fleet(), Some(160), false));
}

#[test]
fn the_table_on_a_pipe_has_a_line_for_each_endpoint() {
    let table = drawn(&fleet(), None, false);
    assert_eq!(table.lines().count(), 1 + 8);
    insta::assert_snapshot!(table);
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    for fleet in [
        fleet(),
        fleet().drain(..2).collect(),
        fleet().drain(..1).collect(),
    ] {
        for width in 48..200 {
            for line in drawn(&fleet, Some(width), false).lines() {
                assert!(line.chars().count() <= width, "at {width}: {line:?}");
            }
        }
    }
}

#[test]
fn every_width_shows_the_same_values() {
    let words = |text: &str| {
        let mut words: Vec<String> = text
            .split(|c: char| c.is_whitespace() || c == ';' || c == ',')
            .map(str::to_owned)
            .collect();
        words.sort();
        words.dedup();
        words
    };
    let all = words(&drawn(&fleet()[..2], None, false));
    for width in [48, 60, 80, 100, 120, 160] {
        let here = words(&drawn(&fleet()[..2], Some(width), false));
        for value in all
            .iter()
            .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        {
            assert!(here.contains(value), "{value:?} is missing at {width}");
        }
    }
}

#[test]
fn an_evidence_column_is_below_its_heading() {
    let gone = &fleet()[4..];
    for width in [100, 110, 130, 160] {
        let table = drawn(gone, Some(width), false);
        let at = |line: usize, text: &str| table.lines().nth(line).and_then(|line| line.find(text));
        let heading = at(0, "EVIDENCE");
        assert!(heading.is_some(), "at {width}:\n{table}");
        assert_eq!(at(1, "timeout:"), heading, "at {width}:\n{table}");
    }
}

#[test]
fn colour_changes_no_text_and_is_used_only_if_requested() {
    let plain = drawn(&fleet(), Some(80), false);
    let colored = drawn(&fleet(), Some(80), true);
    assert!(!plain.contains('\u{1b}') && colored.contains("\u{1b}["));
    let mut screen = vt100::Parser::default();
    screen
        .screen_mut()
        .set_size(100.try_into().unwrap(), 100.try_into().unwrap());
    screen.process(colored.replace('\n', "\r\n").as_bytes());
    let shown = screen.screen().contents();
    let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(shown, plain.lines().collect::<Vec<_>>());
}

#[test]
fn each_row_has_the_transport_of_its_endpoint() {
    let rows: Vec<Row> = fleet()
        .iter()
        .flat_map(|result| rows(result, Instant::now()))
        .collect();
    assert_eq!(rows[0].cells[2], Transport::Http.to_string());
    assert_eq!(rows[1].cells[2], Transport::Tcp.to_string());
}
