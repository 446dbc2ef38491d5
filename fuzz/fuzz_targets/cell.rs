//! A cell without branches: it is encoded to the same bytes, and nothing that uses it panics.
#![no_main]

use cad3::{Limits, decode_message, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = decode_message(bytes, &Limits::default()) else { return };
    let top = encode(&message.top);
    assert!(bytes.starts_with(&top), "encoded to other bytes");
    let again = decode_message(&top, &Limits::default()).expect("an encoded cell decodes");
    assert_eq!(again.top, message.top);
    assert_eq!(again.top.hash(), message.top.hash());
    let _ = message.top.printed(4096).to_string();
    if let Some(elements) = message.top.as_elements() {
        let _ = elements.get(elements.len() / 2);
        assert!(elements.iter().take(100).count() <= elements.len());
    }
});
