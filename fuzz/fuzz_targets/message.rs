//! A message with branches, in which references point to existing branches.
#![no_main]

use cad3::{Hash, Limits, decode_message, encode_message, vlq};
use libfuzzer_sys::fuzz_target;

/// Replaces each `20` that is followed by the number of a branch by the reference to it.
fn link(bytes: &[u8], hashes: &[Hash]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        out.push(*first);
        rest = after;
        if let (0x20, [number, after @ ..]) = (first, after)
            && let Some(hash) = hashes.get(usize::from(*number))
        {
            out.extend(hash.as_bytes());
            rest = after;
        }
    }
    out
}

fuzz_target!(|parts: (Vec<u8>, Vec<Vec<u8>>)| {
    let (top, branches) = parts;
    let (mut hashes, mut content) = (Vec::new(), Vec::new());
    for branch in branches.iter().take(64) {
        let branch = link(branch, &hashes);
        hashes.push(Hash::of(&branch));
        vlq::write(branch.len() as u64, &mut content);
        content.extend(branch);
    }
    let mut message = link(&top, &hashes);
    message.extend(content);

    let limits = Limits { max_bytes: 1 << 16, max_depth: 64, max_cells: 1 << 14, max_key_hashes: 1 << 13 };
    let Ok(read) = decode_message(&message, &limits) else { return };
    let written = encode_message(&read.top);
    assert!(written.len() <= message.len(), "each branch is written once");
    let again = decode_message(&written, &limits).expect("an encoded message decodes");
    assert_eq!(again, read);
    let _ = read.top.printed(4096).to_string();
    let _ = read.top.as_text();
});
