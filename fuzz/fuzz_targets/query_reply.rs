//! A reply to the query of a poll: an answer, an error of limited length, or a failure with a
//! message.
#![no_main]

use cad3::Limits;
use convex_client::{FailureReason, PollAnswer, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(reply)) = Reply::decode(bytes, &Limits::default()) else { return };
    match reply.outcome {
        Ok(value) => match PollAnswer::from_cell(&value) {
            Ok(answer) => {
                assert!(answer.memory_price_copper.is_none_or(f64::is_finite));
            }
            Err(failure) => {
                assert_eq!(failure.reason, FailureReason::Malformed);
                assert!(!failure.message.is_empty() && failure.message.len() < 1000);
            }
        },
        // A peer may send any cell as an error.
        Err(error) => assert!(error.code.len() <= 1200 && error.message.len() <= 1200),
    }
});
