//! Fleets without tasks and networks: what they know comes from the test.

use std::path::Path;

use cad3::Hash;
use convex_client::chain::economics::MINIMUM_OWN_STAKE_COPPER;
use convex_client::chain::{RegisteredPeer, Registry};
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

/// The registered peers with these keys, all of which have the same stake.
pub(crate) fn equal_stakes(keys: impl IntoIterator<Item = Hash>) -> Registry {
    let peer = RegisteredPeer {
        controller: None,
        own_copper: 10 * MINIMUM_OWN_STAKE_COPPER,
        delegated_copper: 0,
        shares: 1,
        last_block_ms: None,
        url: None,
    };
    Registry::complete(0, keys.into_iter().map(|key| (key, peer.clone())))
}
