//! Cost of the codec for the messages of a poll and for a complete state.

use std::hint::black_box;
use std::path::Path;

use cad3::{Cell, Hash, Limits, decode_message, encode_message, reader, vlq};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

/// Returns the content of the first response in the exchange with this name.
fn response(file: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    let file: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let rows = file["frames"].as_array().expect("frames is an array");
    let row = rows
        .iter()
        .find(|row| row["name"] == name)
        .expect("the exchange is there");
    let frame = row["responses"][0].as_str().expect("it has a response");
    let frame = hex::decode(frame).expect("frames are hex");
    let (_, len) = vlq::read(&frame).expect("frames begin with their length");
    frame[len..].to_vec()
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, file, exchange) in [
        (
            "status reply",
            "frames-0.8.0.json",
            "status, network in work",
        ),
        ("query reply", "frames-0.8.0.json", "all-in-one"),
        ("whole state", "large-0.8.0.json", "whole state"),
    ] {
        let content = response(file, exchange);
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_function(format!("{name}, {} bytes", content.len()), |bencher| {
            bencher.iter(|| decode_message(black_box(&content), &Limits::default()));
        });
    }
    group.finish();
}

/// A message of about 1 MiB with 470 branches full of sets of one-byte keys, which have to be
/// hashed to check their order. Nothing refers to the branches, or the top vector does.
fn hostile(referred: bool) -> Vec<u8> {
    let mut keys: Vec<u8> = vec![0x00, 0x10, 0xb0, 0xb1];
    keys.extend(0xb2..=0xbc);
    keys.sort_by_key(|key| Hash::of(&[*key]));
    let set = [&[0x83, 15][..], &keys].concat();
    let inline = [&[0x80, 8][..], &set.repeat(8)].concat();
    let branches = (0..470_u16).map(|i| {
        let [high, low] = (256 + i).to_be_bytes();
        [&[0x80, 16, 0x12, high, low][..], &inline.repeat(15)].concat()
    });
    let (mut content, mut children) = (Vec::new(), Vec::new());
    let mut add = |branch: Vec<u8>| {
        vlq::write(branch.len() as u64, &mut content);
        content.extend_from_slice(&branch);
        [&[0x20][..], Hash::of(&branch).as_bytes()].concat()
    };
    for branch in branches {
        children.push(add(branch));
    }
    if !referred {
        return [&[0x00][..], &content].concat();
    }
    while children.len() > 16 {
        let nodes = children.chunks(16).map(|chunk| {
            let count = u8::try_from(chunk.len()).expect("at most 16");
            [vec![0x80, count], chunk.concat()].concat()
        });
        children = nodes.map(&mut add).collect();
    }
    let count = u8::try_from(children.len()).expect("at most 16");
    [vec![0x80, count], children.concat(), content].concat()
}

fn refuse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refuse");
    for (name, referred) in [("unused branches", false), ("keys to hash", true)] {
        let content = hostile(referred);
        let error = decode_message(&content, &Limits::default());
        assert!(error.is_err(), "{name}");
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_function(format!("{name}, {} bytes", content.len()), |bencher| {
            bencher.iter(|| decode_message(black_box(&content), &Limits::default()));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let source = "[(count (:accounts *state*)) (count (:peers *state*)) (:globals *state*) *memory-price* (coin-supply)]";
    let form = reader::read(source).expect("the query reads");
    criterion.bench_function("encode status and query request", |bencher| {
        bencher.iter(|| {
            let status = Cell::vector([Cell::keyword("SR"), Cell::integer(black_box(1))]);
            let query = [
                Cell::keyword("Q"),
                Cell::integer(black_box(2)),
                form.clone(),
                Cell::Nil,
            ];
            (
                encode_message(&status),
                encode_message(&Cell::vector(query)),
            )
        });
    });
}

criterion_group!(benches, decode, refuse, encode);
criterion_main!(benches);
