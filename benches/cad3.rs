//! Cost of the codec for the messages of a poll and for a complete state.

use std::hint::black_box;
use std::path::Path;

use cad3::{Cell, Limits, decode_message, encode_message, reader, vlq};
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

criterion_group!(benches, decode, encode);
criterion_main!(benches);
