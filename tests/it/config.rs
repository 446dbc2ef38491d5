//! Reading configurations: what is valid, and how invalid input is reported.

mod canary;
mod check;
mod defaults;
mod errors;
mod peers;
mod queries;
mod receivers;
mod reference;
mod round_trip;
mod schema;
mod secrets;
mod status;
mod syntax;
mod web;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use convex_peer_monitor::cli::check_config;
use convex_peer_monitor::config::{self, Config, Errors};

const PEER: &str = "peers:\n  - name: a\n    endpoints: [http://a]\n";

fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("peer.example".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "BAD_TOKEN" => Some("s3cret with blanks".to_owned()),
        _ => None,
    }
}

fn parse_in(dir: &Path, text: &str) -> Result<Config, Errors> {
    config::parse(text, "c.yml", dir, &environment)
}

fn parse(text: &str) -> Result<Config, Errors> {
    parse_in(Path::new("/nonexistent"), text)
}

fn errors(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn valid(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}

/// A configuration with one peer, whose entry also has these lines.
fn with_peer(lines: &str) -> String {
    let mut text = PEER.to_owned();
    for line in lines.lines() {
        writeln!(text, "    {line}").unwrap();
    }
    text
}

/// Runs `check-config`, and returns its result, output and errors.
fn check(files: &[PathBuf], options: check_config::Options) -> (bool, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let series = |config: &Config| config.peers.len() as u64 * 50;
    let ok =
        check_config::run(files, options, &series, &mut out, &mut err).expect("writing to a Vec");
    (
        ok,
        String::from_utf8(out).expect("UTF-8"),
        String::from_utf8(err).expect("UTF-8"),
    )
}
