//! Shared state of one network.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

use convex_client::Transport;
use tokio::time::Instant;

use crate::fleet::Tally;

use super::watch::NetworkWatch;

/// Everything known about one network.
#[derive(Debug, Default)]
pub(in crate::fleet) struct NetworkRecord {
    /// Counters of all endpoints by transport; they outlive the peers.
    pub(in crate::fleet) tallies: Mutex<[Tally; Transport::ALL.len()]>,
    pub(in crate::fleet) watch: Mutex<NetworkWatch>,
    /// Custom queries by name.
    pub(in crate::fleet) queries: Mutex<BTreeMap<String, QueryRecord>>,
}

/// Results of a custom query in one network.
#[derive(Clone, Debug, Default)]
pub struct QueryRecord {
    /// The last value, and when it was obtained.
    pub value: Option<(f64, Instant)>,
    /// Whether the last execution succeeded.
    pub success: bool,
    /// When it last succeeded.
    pub last_success: Option<SystemTime>,
}
