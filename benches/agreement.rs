//! What it costs to judge who agrees with whom, with 64 blocks of each of many peers: in unison, and with forks.

use std::hint::black_box;

use cad3::Hash;
use convex_peer_monitor::fleet::{Agreement, Ring, Sightings, WeightedRing};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Rings of `peers` that each were polled every tenth block of a second each; the first `apart` are on a fork of their own.
fn rings(peers: usize, apart: usize) -> Vec<Ring> {
    let ring = |peer: usize| {
        let mut ring = Ring::default();
        for poll in 0..64_i64 {
            let block = poll * 10 + i64::try_from(peer % 10).unwrap_or_default();
            let state = [u8::from(peer < apart); 32];
            ring.add(block, Hash::new(state).into());
        }
        ring
    };
    (0..peers).map(ring).collect()
}

fn agreement(c: &mut Criterion) {
    let mut group = c.benchmark_group("agreement");
    group.sample_size(10);
    for peers in [1_000, 10_000] {
        for (fork, apart) in [
            ("in unison", 0),
            ("one apart", 1),
            ("1 % apart", peers / 100),
            ("half apart", peers / 2),
        ] {
            let rings = rings(peers, apart);
            let voices: Vec<WeightedRing<'_>> = rings
                .iter()
                .map(|ring| WeightedRing { ring, weight: 1 })
                .collect();
            let mut sightings = Sightings::default();
            for sighting in rings.iter().flat_map(Ring::newest_first) {
                sightings.add(sighting);
            }
            group.bench_function(BenchmarkId::new(fork, peers), |b| {
                b.iter(|| Agreement::of(black_box(&voices), &sightings, 0));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, agreement);
criterion_main!(benches);
