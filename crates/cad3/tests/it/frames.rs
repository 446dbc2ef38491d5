//! Frames that were captured from running peers.

use cad3::{Cell, Hash, encode, encode_message};
use serde_json::Value;

use super::data::{bytes, content, file, message, rows, text};

#[test]
fn captured_frames_of_0_8_0_decode_and_print_as_in_java() {
    let expected = Tally {
        exchanges: 167,
        broken_requests: 21,
        responses: 131,
        printed: 128,
        cut: 1,
        partial: 5,
        without_nodes: 1,
    };
    assert_eq!(exchanges("frames-0.8.0.json"), expected);
}

#[test]
fn captured_frames_of_0_8_6_decode_and_print_as_in_java() {
    let expected = Tally {
        exchanges: 166,
        broken_requests: 21,
        responses: 156,
        printed: 153,
        cut: 1,
        partial: 5,
        without_nodes: 1,
    };
    assert_eq!(exchanges("frames-0.8.6.json"), expected);
}

/// What was checked in a file, to notice missing rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    exchanges: usize,
    /// Requests that are intentionally not messages.
    broken_requests: usize,
    responses: usize,
    printed: usize,
    /// Printed forms that are truncated in the file.
    cut: usize,
    partial: usize,
    /// Partial messages in which inner nodes of a vector are missing.
    without_nodes: usize,
}

fn exchanges(name: &str) -> Tally {
    let mut tally = Tally::default();
    for row in rows(&file(name), "frames") {
        tally.exchanges += 1;
        let request = bytes(&row, "request");
        if row["request_text"].is_null() {
            tally.broken_requests += 1;
        } else {
            check(content(&request), text(&row, "name"));
        }
        let prints = row["print"].as_array().cloned().unwrap_or_default();
        for (index, response) in row["responses"].as_array().unwrap().iter().enumerate() {
            tally.responses += 1;
            let frame = hex::decode(response.as_str().unwrap()).unwrap();
            check_reply(
                content(&frame),
                prints.get(index),
                &mut tally,
                text(&row, "name"),
            );
        }
    }
    tally
}

/// A message that is written again has the same top cell and length, though maybe another order of
/// branches.
fn check(content: &[u8], name: &str) {
    let message = message(content);
    let top = encode(&message.top);
    assert_eq!(content[..top.len()], top, "{name}");
    assert_eq!(encode_message(&message.top).len(), content.len(), "{name}");
    let again = super::data::message(&encode_message(&message.top));
    assert_eq!(again, message, "{name}");
}

fn check_reply(content: &[u8], print: Option<&Value>, tally: &mut Tally, name: &str) {
    check(content, name);
    let message = message(content);
    tally.partial += usize::from(!message.is_complete());
    let Some(print) = print.and_then(Value::as_str) else {
        return;
    };
    if print.contains("#[partial vec]") {
        // The Java library prints only this; the codec also prints the elements that are present.
        tally.without_nodes += 1;
        let printed = message.to_string();
        assert!(
            printed.contains("[#[missing b442b0ed] #AccountStatus {"),
            "{name}: {printed}"
        );
        return;
    }
    let printed = message.to_string();
    tally.printed += 1;
    if print.len() == 6000 {
        tally.cut += 1;
        assert_eq!(printed[..6000], *print, "{name}");
    } else {
        assert_eq!(printed, print, "{name}");
    }
}

#[test]
fn a_complete_state_decodes_and_has_the_hash_of_the_status() {
    for name in ["large-0.8.0.json", "large-0.8.6.json"] {
        let frames = rows(&file(name), "frames");
        assert_eq!(frames.len(), 1);
        let row = &frames[0];
        check(content(&bytes(row, "request")), name);
        let frame = hex::decode(row["responses"][0].as_str().unwrap()).unwrap();
        let content = content(&frame);
        assert_eq!(
            frame.len() as u64,
            row["shape"]["frame_bytes"].as_u64().unwrap()
        );
        check(content, name);
        let message = message(content);
        assert!(message.is_complete());

        let state = message.top.record_fields(0xdd).unwrap().get(1).unwrap();
        let expected: Hash = text(&row["checks"], "state_hash").parse().unwrap();
        assert_eq!(state.hash(), expected);
        // Computed from the values alone, not from the hashes found while decoding.
        assert_eq!(rebuilt(state).hash(), expected);
        let fields = state.record_fields(0xd5).unwrap();
        let accounts = fields.get(0).unwrap().as_elements().unwrap();
        assert_eq!(
            accounts.len() as u64,
            row["checks"]["accounts"].as_u64().unwrap()
        );
        assert_eq!(accounts.iter().count(), accounts.len());
        assert_eq!(
            fields.get(1).unwrap().count(),
            row["checks"]["peers"].as_u64()
        );
        let core = accounts
            .get(8)
            .unwrap()
            .record_fields(0xd8)
            .unwrap()
            .get(6)
            .unwrap();
        assert_eq!(
            core.count(),
            row["checks"]["core_environment_entries"].as_u64()
        );
        assert_eq!(core.get("no-such-keyword"), None);
        assert_eq!(
            core.entries().unwrap().count() as u64,
            core.count().unwrap()
        );
    }
}

/// Copies a record without its cached hash.
fn rebuilt(record: &Cell) -> Cell {
    let fields = record.record_fields(record.tag()).unwrap();
    Cell::record(record.tag(), fields.iter().cloned())
}
