//! The details of one peer: every known value, with how and when it was learned.

mod configuration;
mod consensus;
mod host;
mod polled;
mod protocol;
mod stake;

use std::time::{Duration, SystemTime};

use convex_client::Transport;

use crate::fleet::{Measurement, NetworkSnapshot, PeerRecord, Snapshot};

use super::format::{Markup, TimeFormat};

/// Values that belong together.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// One value.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether the value is a hash or an address, which may break anywhere.
    pub(super) is_code: bool,
    pub(super) is_problem: bool,
    /// How and when the value was learned.
    pub(super) source: Markup,
}

impl Entry {
    fn new(name: &'static str, value: impl Into<String>, source: &Markup) -> Self {
        Self {
            name,
            value: value.into(),
            is_code: false,
            is_problem: false,
            source: source.clone(),
        }
    }

    fn code(self) -> Self {
        Self {
            is_code: true,
            ..self
        }
    }

    fn problem_if(self, is_problem: bool) -> Self {
        Self { is_problem, ..self }
    }
}

/// Returns the groups that have at least one known value.
pub(super) fn groups(record: &PeerRecord, snapshot: &Snapshot, times: TimeFormat) -> Vec<Group> {
    let facts = PeerFacts {
        record,
        snapshot,
        times,
    };
    let groups = [
        ("Identity", facts.identity()),
        ("Order", facts.order()),
        ("State", facts.state()),
        ("Compared with peers", facts.comparison()),
        ("Orders and beliefs", facts.consensus()),
        ("Protocol", facts.protocol()),
        ("Stake on chain", facts.stake()),
        ("Polls", facts.polls()),
        ("Process on this host", facts.process()),
        ("Store on this host", facts.store()),
        ("Configuration", facts.configuration()),
    ];
    groups
        .into_iter()
        .filter(|(_, entries)| !entries.is_empty())
        .map(|(title, entries)| Group { title, entries })
        .collect()
}

/// The names of the most important values, in order.
const KEY_FIGURES: [&str; 11] = [
    "Latency over http",
    "Latency over tcp",
    "Final",
    "Not final yet",
    "Activity",
    "Behind the head",
    "State",
    "Own",
    "Part of the network's weight",
    "Clock",
    "Release",
];

/// Returns the most important of the known values.
pub(super) fn key_figures(
    record: &PeerRecord,
    snapshot: &Snapshot,
    times: TimeFormat,
) -> Vec<Entry> {
    let facts = PeerFacts {
        record,
        snapshot,
        times,
    };
    let known = [
        facts.latencies(),
        facts.order(),
        facts.comparison(),
        facts.state(),
        facts.stake(),
        facts.identity(),
    ];
    let mut figures: Vec<(usize, Entry)> = known
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let place = KEY_FIGURES.iter().position(|name| *name == entry.name)?;
            Some((place, entry))
        })
        .collect();
    figures.sort_by_key(|(place, _)| *place);
    let figures = figures.into_iter().map(|(_, entry)| entry);
    figures
        .map(|entry| {
            // Their group says what these are of; here they stand alone.
            let name = match entry.name {
                "Own" => "Own stake",
                "Final" => "Final blocks",
                "Not final yet" => "Pending blocks",
                name => name,
            };
            Entry { name, ..entry }
        })
        .collect()
}

/// Builds the groups of one peer.
struct PeerFacts<'a> {
    record: &'a PeerRecord,
    snapshot: &'a Snapshot,
    times: TimeFormat,
}

impl PeerFacts<'_> {
    /// Formats how and when `fact` was learned; `http` and `tcp` describe how over each transport.
    fn source(&self, fact: Measurement, http: &str, tcp: &str) -> Markup {
        let Some(learned) = self.record.provenance(fact, self.snapshot.now) else {
            return Markup("earlier".to_owned());
        };
        let how = match learned.via {
            Some(Transport::Http) => http,
            Some(Transport::Tcp) => tcp,
            None => "this monitor",
        };
        Markup(format!("{how}, {}", self.times.ago(learned.age)))
    }

    fn status_source(&self) -> Markup {
        self.source(Measurement::Order, "status over http", "STATUS over tcp")
    }

    fn network(&self) -> Option<&NetworkSnapshot> {
        let mut networks = self.snapshot.networks.iter();
        networks.find(|it| it.name == self.record.peer.network)
    }

    fn chain_source(&self) -> Markup {
        let read = self
            .network()
            .and_then(|network| network.verdict.registry_read);
        let when = read
            .map(|at| format!(", {}", self.times.at(at)))
            .unwrap_or_default();
        Markup(format!("the majority's chain state{when}"))
    }

    fn utc(&self, at: SystemTime) -> String {
        self.times.at(at).utc()
    }
}

/// The source of counters.
fn counter_source() -> Markup {
    Markup("since the agent started or the configuration of the peer changed".to_owned())
}

pub(super) fn time_of_ms(ms: i64) -> Option<SystemTime> {
    let since_epoch = Duration::from_millis(u64::try_from(ms).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}
