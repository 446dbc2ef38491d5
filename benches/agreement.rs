//! Cost of comparing the last 64 blocks of many peers, without and with forks.
//!
//! Peers that are polled at the same times show the same blocks. If every peer is polled at times
//! of its own, nearly every ring is another one: the most expensive case.
//!
//! `BENCH_SHORT` leaves out the large network.

use std::hint::black_box;

use cad3::Hash;
use convex_peer_monitor::fleet::{Agreement, BlockStateCounts, Ring, Shown, WeightedRing};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::time::Instant;

/// Number of blocks that a peer shows.
const POLLS: u64 = 64;

/// Mean number of blocks between two polls of a peer.
const GAP: u64 = 15;

/// When the peers are polled.
#[derive(Clone, Copy)]
enum Polls {
    /// Each at every fifteenth block, so that there are fifteen different rings on each side.
    Regular,
    /// Each at blocks of its own.
    Irregular,
}

impl Polls {
    fn blocks(self, peer: u64) -> Vec<u64> {
        match self {
            Self::Regular => (0..POLLS).map(|poll| poll * GAP + peer % GAP).collect(),
            Self::Irregular => {
                let gap = |poll| 1 + scramble(peer * POLLS + poll) % (2 * GAP - 1);
                let next = |block: &mut u64, poll| {
                    *block += gap(poll);
                    Some(*block)
                };
                (0..POLLS).scan(0, next).collect()
            }
        }
    }
}

/// Scrambles a number, always in the same way.
const fn scramble(number: u64) -> u64 {
    let mixed = number
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

/// Makes the rings of peers, of which the first `apart` are on a fork.
fn rings(peers: u64, apart: u64, polls: Polls) -> Vec<Ring> {
    let ring = |peer: u64| {
        let mut ring = Ring::default();
        for block in polls.blocks(peer) {
            let mut state = [u8::from(peer < apart); 32];
            state[..8].copy_from_slice(&scramble(block).to_be_bytes());
            let state = (block.cast_signed(), Hash::new(state).into());
            let at = Instant::now();
            ring.add(Shown { state, at }, |_| {});
        }
        ring
    };
    (0..peers).map(ring).collect()
}

fn agreement(c: &mut Criterion) {
    let sizes: &[u64] = match std::env::var_os("BENCH_SHORT") {
        Some(_) => &[1_000],
        None => &[1_000, 10_000],
    };
    for (name, polls) in [
        ("agreement, regular polls", Polls::Regular),
        ("agreement, irregular polls", Polls::Irregular),
    ] {
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for peers in sizes {
            for (fork, apart) in [
                ("in unison", 0),
                ("one apart", 1),
                ("1 % apart", peers / 100),
                ("half apart", peers / 2),
            ] {
                let rings = rings(*peers, apart, polls);
                let voices: Vec<WeightedRing<'_>> = rings
                    .iter()
                    .map(|ring| WeightedRing { ring, weight: 1 })
                    .collect();
                let mut counts = BlockStateCounts::default();
                for state in rings.iter().flat_map(Ring::newest_first) {
                    counts.add(state);
                }
                group.bench_function(BenchmarkId::new(fork, peers), |b| {
                    let registered = Some(u128::from(*peers));
                    b.iter(|| Agreement::compare(black_box(&voices), &counts, registered));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, agreement);
criterion_main!(benches);
