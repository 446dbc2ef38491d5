//! Filtering and sorting: the peers that a view of the fleet page shows, in order.

use std::cmp::Ordering;
use std::time::SystemTime;

use convex_client::seconds_since_epoch;

use crate::config::Role;
use crate::fleet::{Health, PeerRecord, Snapshot};

use super::format::push_fmt;
use super::labels;
use super::view::{FleetView, Sort};

impl FleetView {
    /// Returns the indices of the matching peers in the snapshot, in display order.
    pub(super) fn select(&self, snapshot: &Snapshot) -> Vec<usize> {
        let words: Vec<String> = self
            .search
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let matches = |record: &PeerRecord| {
            let network_matches = self.network.is_empty() || record.peer.network == self.network;
            self.health.matches(record.health) && network_matches && contains_all(record, &words)
        };
        let mut found: Vec<(String, SortKey, usize)> = snapshot
            .peers
            .iter()
            .enumerate()
            .filter(|(_, record)| matches(record))
            .map(|(i, record)| (self.group_of(record), self.sort_key(record, snapshot), i))
            .collect();
        found.sort_by(|(a_group, a, _), (b_group, b, _)| {
            a_group.cmp(b_group).then_with(|| match self.sort {
                Sort::Name if self.reversed => b.name.cmp(&a.name),
                _ => a.cmp(b, self.reversed),
            })
        });
        found.into_iter().map(|(.., i)| i).collect()
    }

    /// Returns the heading of the group of a peer; empty if peers are not grouped.
    pub(super) fn group_of(&self, record: &PeerRecord) -> String {
        match self.group.strip_prefix("label:") {
            _ if self.group == "network" => record.peer.network.clone(),
            Some(label) => match record.peer.labels.get(label) {
                Some(value) => format!("{label}: {value}"),
                None => format!("without {label}"),
            },
            None => String::new(),
        }
    }

    fn sort_key(&self, record: &PeerRecord, snapshot: &Snapshot) -> SortKey {
        let now = snapshot.now;
        let value = match self.sort {
            Sort::Severity => Some(severity(record, snapshot)),
            Sort::Name => None,
            Sort::Latency => {
                let timings = record.endpoints.iter();
                let took =
                    timings.filter_map(|it| Some(record.timings(it, now)?.took.as_secs_f64()));
                took.reduce(f64::min)
            }
            Sort::Order => record.order(now).map(|order| as_f64(order.finality)),
            Sort::Lag => record.lag(now).map(|lag| as_f64(lag.blocks)),
            Sort::State => record
                .comparison
                .diverged()
                .map(|diverged| f64::from(u8::from(diverged))),
            Sort::Stake => {
                let stake = record.stake.as_ref();
                stake.map(|stake| as_f64(stake.registered.own_copper))
            }
            Sort::Clock => record.clock(now).map(|clock| clock.skew.abs()),
            Sort::Certificate => {
                let ends = record
                    .endpoints
                    .iter()
                    .filter_map(|it| it.certificate.as_ref());
                ends.map(|it| seconds_since_epoch(it.ends))
                    .reduce(f64::min)
                    .map(|ends| -ends)
            }
            Sort::Success => last_success(record).map(|at| -seconds_since_epoch(at)),
        };
        SortKey {
            value,
            name: natural_key(&record.peer.name),
        }
    }
}

/// Returns when an endpoint of the peer was last polled successfully.
pub(super) fn last_success(record: &PeerRecord) -> Option<SystemTime> {
    let successes = record.endpoints.iter();
    successes.filter_map(|endpoint| endpoint.last_success).max()
}

/// Returns how severe the problems of a peer are: by health, then peers in maintenance last, then
/// own peers before references, then by number of conditions.
fn severity(record: &PeerRecord, snapshot: &Snapshot) -> f64 {
    let health = match record.health {
        Health::Down => 3,
        Health::Degraded => 2,
        Health::Unknown => 1,
        Health::Up => 0,
    };
    let is_own = u8::from(record.peer.role == Role::Own);
    let not_in_maintenance = u8::from(!record.in_maintenance(snapshot.wall));
    let conditions = u8::try_from(record.conditions.len().min(63)).unwrap_or(63);
    f64::from(health) * 256.0
        + f64::from(not_in_maintenance) * 128.0
        + f64::from(is_own) * 64.0
        + f64::from(conditions)
}

/// Whether each of the words, in lower case, is part of something that the row shows.
fn contains_all(record: &PeerRecord, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let peer = &record.peer;
    let mut text = format!(
        "{}\n{}\n{}\n{}\n",
        peer.name,
        peer.network,
        peer.role.as_str(),
        record.health.as_str()
    );
    let mut add = |more: &str| {
        text.push_str(more);
        text.push('\n');
    };
    for condition in &record.conditions {
        add(condition.as_str());
        add(labels::condition(*condition));
    }
    for endpoint in &record.endpoints {
        add(&endpoint.url);
    }
    for (name, value) in &peer.labels {
        add(&format!("{name}={value}"));
    }
    if let Some(key) = record.identity.key {
        add(&key.to_string());
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}

/// What rows are sorted by: the greatest value first, unknown values last, then by name.
struct SortKey {
    value: Option<f64>,
    name: String,
}

impl SortKey {
    fn cmp(&self, other: &Self, reversed: bool) -> Ordering {
        let values = match (self.value, other.value) {
            (Some(a), Some(b)) if reversed => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        values.then_with(|| self.name.cmp(&other.name))
    }
}

/// Returns a name with its numbers padded to equal length, so that `sim-2` sorts before `sim-10`.
fn natural_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 20);
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            push_fmt(&mut key, format_args!("{digits:0>20}"));
            digits.clear();
        }
        key.push(c);
    }
    key
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the value is only used for sorting"
)]
fn as_f64(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_sorted_by_value() {
        let mut names = ["sim-10", "sim-2", "sim-1", "b", "sim-2a"];
        names.sort_by_key(|name| natural_key(name));
        assert_eq!(names, ["b", "sim-1", "sim-2", "sim-2a", "sim-10"]);
    }
}
