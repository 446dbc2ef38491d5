//! Query text: a form that is read can be encoded, and reading its printed form does not panic.
#![no_main]

use cad3::{Limits, decode_message, encode_message, reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(form) = reader::read(text) else { return };
    let message = decode_message(&encode_message(&form), &Limits::default()).expect("an encoded form decodes");
    assert_eq!(message.top, form);
    let _ = reader::read(&form.printed(4096).to_string());
});
