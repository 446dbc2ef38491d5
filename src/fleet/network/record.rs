//! Shared state of one network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cad3::Hash;
use convex_client::Transport;
use convex_client::chain::Registry;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::Slo;
use crate::fleet::service::ServiceRecord;
use crate::fleet::{CanaryRecord, Round, SavedRegistrations, Tally, lock};

use super::throughput::{ExecutedWatch, Throughput, ThroughputSource};
use super::verdict::{Judgement, NetworkVerdict};
use super::watch::NetworkWatch;

/// Everything known about one network.
#[derive(Debug, Default)]
pub(in crate::fleet) struct NetworkRecord {
    /// Counters of all endpoints by transport; they outlive the peers.
    pub(in crate::fleet) tallies: Mutex<[Tally; Transport::ALL.len()]>,
    /// Custom queries by name.
    pub(in crate::fleet) queries: Mutex<BTreeMap<String, QueryRecord>>,
    /// The service level that is configured.
    pub(in crate::fleet) slo: Mutex<Slo>,
    /// For how long each service was seen, by name.
    pub(in crate::fleet) services: Mutex<BTreeMap<String, ServiceRecord>>,
    /// How many transactions were executed, where orders do not tell.
    pub(in crate::fleet) executed: Mutex<ExecutedWatch>,
    /// What the canary found; none without a canary.
    pub(in crate::fleet) canary: Mutex<Option<Arc<CanaryRecord>>>,
    /// What the verdict does not include yet, beside the polls.
    pub(in crate::fleet) unjudged: Mutex<UnjudgedNetwork>,
    /// Locked while the network is judged, which can take long: nothing else waits for it.
    pub(in crate::fleet) watch: Mutex<NetworkWatch>,
    pub(in crate::fleet) judgement: watch::Sender<Arc<Judgement>>,
    /// Notified when there is something to judge.
    pub(in crate::fleet) changed: Notify,
}

/// Records of a network that its last verdict does not include.
#[derive(Debug, Default)]
pub(in crate::fleet) struct UnjudgedNetwork {
    /// The registry as last read.
    pub(in crate::fleet) registry: Option<RegistryReading>,
    /// Whether the last query of the registry failed.
    pub(in crate::fleet) query_error: Option<bool>,
    /// When finality was seen to grow before the agent started.
    pub(in crate::fleet) finality_advanced: Option<SystemTime>,
    /// The genesis hash that the peers showed before the agent started.
    pub(in crate::fleet) genesis: Option<Hash>,
    /// Rounds of walks, the oldest first.
    pub(in crate::fleet) rounds: Vec<Arc<Round>>,
    /// Which others each peer had in its own state before the agent started.
    pub(in crate::fleet) registered_in: Vec<SavedRegistrations>,
}

/// A registry as read from a peer of the majority.
#[derive(Debug)]
pub(in crate::fleet) struct RegistryReading {
    pub(in crate::fleet) registry: Registry,
    /// Name of the peer that it was read from.
    pub(in crate::fleet) reader: String,
    /// Whether no other peer could have been read.
    pub(in crate::fleet) only_reader: bool,
    /// When it was read.
    pub(in crate::fleet) read: SystemTime,
}

impl NetworkRecord {
    /// Returns the last judgement.
    pub(in crate::fleet) fn judgement(&self) -> Arc<Judgement> {
        Arc::clone(&self.judgement.borrow())
    }

    /// Returns the last verdict.
    pub(in crate::fleet) fn verdict(&self) -> Arc<NetworkVerdict> {
        Arc::clone(&self.judgement.borrow().verdict)
    }

    /// Returns the transactions a second that the final blocks of orders show.
    pub(in crate::fleet) fn throughput_of_orders(&self) -> Option<Throughput> {
        let verdict = self.verdict();
        let production = verdict.consensus.production.as_ref()?;
        Some(Throughput {
            transactions_per_second: production.transactions_per_second?,
            source: ThroughputSource::Orders,
        })
    }

    /// Returns the transactions a second: by orders, else by accounts.
    pub(in crate::fleet) fn throughput(&self, now: Instant) -> Option<Throughput> {
        self.throughput_of_orders().or_else(|| {
            Some(Throughput {
                transactions_per_second: lock(&self.executed).per_second(now)?,
                source: ThroughputSource::Sequences,
            })
        })
    }

    /// Records something that the next verdict has to include.
    pub(in crate::fleet) fn record(&self, change: impl FnOnce(&mut UnjudgedNetwork)) {
        change(&mut lock(&self.unjudged));
        self.changed.notify_one();
    }
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
