//! `probe`: one poll of each peer, and that one poll is the verdict.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use comfy_table::{CellAlignment, Table, presets};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::agent::Source;
use crate::config::{self, Config, Limits, Peer};
use crate::fleet::{EndpointRecord, Health, PeerRecord};
use crate::peer::HttpClients;
use crate::probe::Prober;
use crate::report::PeerReport;

use super::{BAD_CONFIG, ProbeArgs, print, runtime};

pub(super) fn probe(args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let (mut peers, limits) = if args.endpoints.is_empty() {
        let source = Source {
            file: args.config.or_else(config::find),
            ..Source::default()
        };
        match source.load() {
            Ok(Config { peers, limits, .. }) => (peers, limits),
            Err(errors) => {
                writeln!(io::stderr(), "{errors}")?;
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        }
    } else {
        (
            args.endpoints.into_iter().map(Peer::at).collect(),
            Limits::default(),
        )
    };
    for peer in &mut peers {
        peer.cadence.timeout = args.timeout.unwrap_or(peer.cadence.timeout);
        peer.cadence.down_after = 1;
        peer.cadence.up_after = 1;
    }
    let records = runtime()?.block_on(poll_all(peers, &limits));
    let text = if args.json {
        json(&records)?
    } else {
        table(&records)
    };
    print(&text)?;
    Ok(ExitCode::from(worst(&records)))
}

async fn poll_all(peers: Vec<Peer>, limits: &Limits) -> Vec<PeerRecord> {
    let clients = Arc::new(HttpClients::default());
    let polls = peers.into_iter().map(|peer| {
        let peer = Arc::new(peer);
        let mut prober = Prober::new(Arc::clone(&peer), limits.max_response_bytes, &clients);
        async move {
            let observation = prober.poll().await;
            let mut record = PeerRecord::new(peer);
            record.observe(&observation, None, Instant::now(), SystemTime::now());
            record
        }
    });
    stream::iter(polls)
        .buffered(limits.max_inflight)
        .collect()
        .await
}

fn json(records: &[PeerRecord]) -> anyhow::Result<String> {
    let now = Instant::now();
    let reports: Vec<PeerReport<'_>> = records
        .iter()
        .map(|record| PeerReport::new(record, now))
        .collect();
    Ok(serde_json::to_string_pretty(&reports)? + "\n")
}

/// A row for each endpoint; a peer's name and health stand in its first one.
fn table(records: &[PeerRecord]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "PEER", "HEALTH", "VIA", "LATENCY", "BYTES", "ORDER", "STATE", "ACCOUNTS", "EVIDENCE",
    ]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in [3, 4, 6, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for record in records {
        for (i, endpoint) in record.endpoints.iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            let [latency, bytes] = measured(record, endpoint);
            let [order, state, accounts] = facts(record);
            table.add_row([
                first(record.peer.name.clone()),
                first(record.health.as_str().to_owned()),
                endpoint.transport.to_string(),
                latency,
                bytes,
                first(order),
                first(state),
                first(accounts),
                evidence(record, endpoint),
            ]);
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

fn measured(record: &PeerRecord, endpoint: &EndpointRecord) -> [String; 2] {
    match record.timings(endpoint, Instant::now()) {
        Some(timings) => [
            format!("{:.1} ms", timings.took.as_secs_f64() * 1000.0),
            timings.response_bytes.to_string(),
        ],
        None => ["-".to_owned(), "-".to_owned()],
    }
}

fn facts(record: &PeerRecord) -> [String; 3] {
    let now = Instant::now();
    let number =
        |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let figures = record.figures(now);
    let order = record
        .order(now)
        .map(|order| order.by_level().map(|points| points.to_string()).join("/"));
    [
        order.unwrap_or_else(|| "-".to_owned()),
        number(figures.and_then(|figures| figures.state_block)),
        number(figures.and_then(|figures| figures.accounts)),
    ]
}

/// Why an endpoint is judged as it is.
fn evidence(record: &PeerRecord, endpoint: &EndpointRecord) -> String {
    let mut found = Vec::new();
    if let Some(failure) = &endpoint.last_failure {
        found.push(failure.to_string());
    } else {
        if let Some(key) = record.identity.key {
            found.push(format!("key {}", short(&key.to_string())));
        }
        if let Some(genesis) = record.identity.genesis {
            let pinned = if record.identity.genesis_match == Some(true) {
                " (as pinned)"
            } else {
                ""
            };
            found.push(format!("genesis {}{pinned}", short(&genesis.to_string())));
        }
    }
    if let Some(error) = &record.query_error {
        found.push(format!("query error :{} {}", error.code, error.message));
    }
    found.join(", ")
}

fn short(hash: &str) -> String {
    format!("{}…", &hash[..hash.len().min(10)])
}

/// The exit code of the worst health: down is worse than unknown, unknown than degraded.
fn worst(records: &[PeerRecord]) -> u8 {
    let severity = |health| match health {
        Health::Up => (0, 0),
        Health::Degraded => (1, 1),
        Health::Unknown => (2, 3),
        Health::Down => (3, 2),
    };
    records
        .iter()
        .map(|record| severity(record.health))
        .max()
        .map_or(0, |(_, code)| code)
}
