//! `notify-test`: sends a page that is marked as a test through a receiver.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::agent::Source;
use crate::alerting::delivery::send_test_page;
use crate::config;

use super::args::NotifyTestArgs;
use super::terminal::escape;
use super::{BAD_CONFIG, print, runtime};

/// Longest text of a receiver that is printed, characters.
const MAX_CHARS: usize = 1_000;

/// Sends a test page.
pub(super) fn notify_test(args: NotifyTestArgs) -> anyhow::Result<ExitCode> {
    let source = Source {
        file: args.config.or_else(config::find),
        ..Source::default()
    };
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => {
            writeln!(io::stderr(), "{errors}")?;
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    let name = &args.receiver;
    let result = runtime()?.block_on(send_test_page(&config, name));
    let Some(result) = result else {
        let file = source.file.map_or_else(
            || "the built-in configuration".to_owned(),
            |file| file.display().to_string(),
        );
        let known: Vec<&str> = config.notify.receivers().collect();
        let advice = match known.as_slice() {
            [] => "it has none; add one under `notify`".to_owned(),
            known => format!("it has {}", known.join(", ")),
        };
        writeln!(
            io::stderr(),
            "convex-peer-monitor: {file} has no receiver {name:?}; {advice}"
        )?;
        return Ok(ExitCode::from(BAD_CONFIG));
    };
    let mut report = format!("receiver: {name} ({})\n", result.kind);
    for answer in &result.answers {
        writeln!(report, "answer: {}", escape(answer, MAX_CHARS))?;
    }
    match result.failure {
        None => {
            report.push_str("the test page was delivered\n");
            print(&report)
        }
        Some(why) => {
            print(&report)?;
            let why = escape(&why, MAX_CHARS);
            writeln!(
                io::stderr(),
                "convex-peer-monitor: the test page was not delivered: {why}"
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}
