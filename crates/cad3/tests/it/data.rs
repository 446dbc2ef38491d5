//! The files under `tests/vectors`.

use std::path::Path;

use cad3::{Cell, Limits, Message, decode_message, vlq};
use serde_json::Value;

/// Reads a file of test vectors.
pub(super) fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Returns the rows under a key.
pub(super) fn rows(file: &Value, key: &str) -> Vec<Value> {
    file[key].as_array().unwrap().clone()
}

pub(super) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is not a text in {row}"))
}

pub(super) fn bytes(row: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(row, key)).unwrap()
}

/// Returns the content of a frame.
pub(super) fn content(frame: &[u8]) -> &[u8] {
    let (size, len) = vlq::read(frame).unwrap();
    assert_eq!(
        u64::try_from(frame.len() - len).unwrap(),
        size,
        "the frame has the length of its content"
    );
    &frame[len..]
}

pub(super) fn message(content: &[u8]) -> Message {
    decode_message(content, &Limits::default()).unwrap_or_else(|error| {
        panic!(
            "{}: {error}",
            hex::encode(&content[..content.len().min(100)])
        )
    })
}

/// Decodes a message that contains all branches.
pub(super) fn whole(content: &[u8]) -> Cell {
    let message = message(content);
    assert!(message.is_complete(), "{:?} are missing", message.missing);
    message.top
}
