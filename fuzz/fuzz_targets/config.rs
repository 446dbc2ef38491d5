//! A configuration: it is taken, and then can be shown, or refused with a place in the text for each problem.
#![no_main]

use std::path::Path;

use convex_peer_monitor::config::{parse, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text, "fuzzed.yml", Path::new("/nonexistent"), &|_| None) {
        Ok(config) => assert!(!render(&config).is_empty()),
        Err(errors) => {
            assert!(!errors.problems().is_empty());
            // All that breaks a line in YAML; what is missing at the end is told of the line below it.
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            let lines = text.matches(breaks).count() + 2;
            for problem in errors.problems() {
                assert!(!problem.message.is_empty());
                assert!(problem.position.is_none_or(|at| (1..=lines).contains(&at.line)), "{problem}");
            }
        }
    }
});
