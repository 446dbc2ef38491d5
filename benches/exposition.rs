//! Cost of a scrape: the exposition of many peers, as text and compressed.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that fails ends, like a test"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use convex_client::{Endpoint, TlsSettings};
use convex_peer_monitor::config::{self, Config, Mode, Peer};
use convex_peer_monitor::fleet::Observation;
use convex_peer_monitor::fleet::{Fleet, Snapshot};
use convex_peer_monitor::metrics::{self, AgentFacts, Format};
use convex_peer_monitor::poller::Prober;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::Registry;
use tokio::runtime::Builder;

#[path = "../tests/support/fake.rs"]
#[expect(dead_code, reason = "the faults are for tests")]
mod fake;

use fake::{FakePeer, Script};

/// Returns the result of a good poll over TCP.
fn observation() -> Observation {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let peer = FakePeer::start(Script::default()).await;
        let endpoint = Endpoint::parse(&format!("tcp://{}", peer.tcp)).unwrap();
        let mut prober = Prober::new(
            Arc::new(Peer::from_endpoint(endpoint)),
            1 << 20,
            &TlsSettings::default(),
        );
        prober.poll().await
    })
}

fn config(peers: usize, detail: &str) -> Config {
    let mut text =
        format!("metrics: {{ detail: {detail} }}\nnetworks: [{{ name: simulated }}]\npeers:\n");
    for peer in 1..=peers {
        writeln!(
            text,
            "- {{ name: sim-{peer}, network: simulated, endpoints: [\"tcp://127.0.0.1:{peer}\"] }}"
        )
        .unwrap();
    }
    config::parse(&text, "fleet.yml", Path::new(""), &|_| None).unwrap()
}

fn snapshot(config: &Config) -> Snapshot {
    let fleet = Fleet::default();
    fleet.apply(config);
    let observation = observation();
    for slot in fleet.slots() {
        for _ in 0..2 {
            fleet.record(&slot, &observation);
        }
    }
    fleet.judge_all();
    fleet.snapshot()
}

fn expositions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exposition");
    group.sample_size(10);
    for (peers, detail) in [(1_000, "full"), (10_000, "lean"), (10_000, "full")] {
        let config = config(peers, detail);
        let snapshot = snapshot(&config);
        let registry = Registry::new();
        let facts = AgentFacts {
            vantage: "bench".to_owned(),
            mode: Mode::Central,
            url: None,
            shard: (1, 1),
            reload_successful: true,
            loaded: SystemTime::now(),
        };
        let scrape = |out: &mut dyn FnMut(&str)| {
            metrics::write_exposition(
                Format::Text,
                &snapshot,
                &facts,
                config.detail,
                &registry,
                out,
            )
        };
        group.throughput(Throughput::Elements(scrape(&mut |_| ())));
        group.bench_function(BenchmarkId::new(format!("text, {detail}"), peers), |b| {
            b.iter(|| scrape(&mut |text| _ = black_box(text)));
        });
        group.bench_function(BenchmarkId::new(format!("gzip, {detail}"), peers), |b| {
            b.iter(|| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                scrape(&mut |text| encoder.write_all(text.as_bytes()).unwrap());
                encoder.finish().unwrap().len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, expositions);
criterion_main!(benches);
