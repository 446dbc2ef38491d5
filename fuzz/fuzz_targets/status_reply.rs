//! A reply to STATUS, over either transport: a status or a failure with a message.
#![no_main]

use cad3::{Limits, decode_message};
use convex_client::{FailureReason, Reply, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = decode_message(bytes, &Limits::default()) else { return };
    // A Result, or the map itself, which 0.8.6 sends over REST.
    let value = match Reply::from_cell(&message.top) {
        Some(Reply { outcome: Ok(value), .. }) => value,
        Some(_) => return,
        None => message.top,
    };
    match Status::from_cell(&value) {
        Ok(status) => {
            let [block, .., finality] = status.order.by_level();
            assert!(status.state.is_none_or(|state| state.block >= -1));
            assert_eq!(status.order.pending(), block.saturating_sub(finality));
        }
        Err(failure) => {
            assert_eq!(failure.reason, FailureReason::Malformed);
            assert!(!failure.message.is_empty() && failure.message.len() < 1000);
        }
    }
});
