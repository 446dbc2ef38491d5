//! Fleets without tasks and networks: what they know comes from the test.

use std::path::Path;

use convex_peer_monitor::config::{self, Config};
use convex_peer_monitor::fleet::Fleet;

/// Reads a valid configuration without environment variables and files.
pub(crate) fn config(text: &str) -> Config {
    config::parse(text, "test.yml", Path::new(""), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}

/// Makes a fleet of the configured peers, none of which has been polled.
pub(crate) fn fleet(text: &str) -> Fleet {
    let fleet = Fleet::default();
    fleet.apply(&config(text));
    fleet
}
