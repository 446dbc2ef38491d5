//! A cell without branches: it is encoded to the same bytes, and nothing that uses it panics. As
//! the command of a transaction it is signed, kept and read again, and as stored bytes it is a
//! whole transaction or an error.
#![no_main]

use std::sync::LazyLock;

use cad3::{Limits, decode_message, encode};
use convex_client::transaction::{AccountKey, Invoke, SignedTransaction};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<AccountKey> = LazyLock::new(|| AccountKey::from_seed(&[7; 32]));

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
    if let Ok(kept) = SignedTransaction::decode(bytes) {
        assert_eq!(SignedTransaction::decode(kept.encoded()), Ok(kept));
    }
    let invoke = Invoke { origin: 13, sequence: 1, command: message.top };
    let signed = invoke.sign(&KEY);
    // Refused if a branch is missing, or if it is too large or too deep.
    if let Ok(kept) = SignedTransaction::decode(signed.encoded()) {
        assert_eq!(kept, signed);
    }
});
