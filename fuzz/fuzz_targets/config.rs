//! A configuration: it is valid and can be printed, or each error has a position in the text.
#![no_main]

use std::path::Path;

use convex_peer_monitor::config::{parse, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text, "fuzzed.yml", Path::new("/nonexistent"), &|_| None) {
        Ok(config) => assert!(!render(&config).is_empty()),
        Err(errors) => {
            assert!(!errors.problems().is_empty());
            // The line breaks of YAML. What is missing at the end is reported on the next line.
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            let lines = text.matches(breaks).count() + 2;
            for problem in errors.problems() {
                assert!(!problem.message.is_empty());
                assert!(problem.position.is_none_or(|at| (1..=lines).contains(&at.line)), "{problem}");
            }
        }
    }
});
