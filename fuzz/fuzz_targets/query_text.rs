//! Query text: what is read is a cell that encodes, and its printed form reads as the same cell where it is text.
#![no_main]

use cad3::{Limits, decode_message, encode_message, reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(form) = reader::read(text) else { return };
    let message = decode_message(&encode_message(&form), &Limits::default()).expect("what was read encodes");
    assert_eq!(message.top, form);
    let _ = reader::read(&form.printed(4096).to_string());
});
