//! Which peers the fleet page shows, in which order: what the address asks for, and addresses that ask for something else.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::SystemTime;

use convex_client::seconds_since_epoch;
use url::form_urlencoded;

use crate::config::Role;
use crate::fleet::{Health, PeerRecord, Snapshot};
use crate::web::pages::format::push;
use crate::web::pages::labels;

/// Rows of one page.
pub(super) const ROWS: usize = 100;

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What is worst comes first.
    #[default]
    Badness,
    /// By name, numbers in it by their size.
    Name,
    /// The slowest first.
    Latency,
    /// The highest finality first.
    Order,
    /// The furthest behind first.
    Lag,
    /// Those with another state first.
    State,
    /// The heaviest first.
    Stake,
    /// The furthest off first.
    Clock,
    /// What ends next first.
    Certificate,
    /// Those not heard for longest first.
    Success,
}

impl Sort {
    /// Every order.
    const ALL: [Self; 10] = [
        Self::Badness,
        Self::Name,
        Self::Latency,
        Self::Order,
        Self::Lag,
        Self::State,
        Self::Stake,
        Self::Clock,
        Self::Certificate,
        Self::Success,
    ];

    /// Its name in an address.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Badness => "badness",
            Self::Name => "name",
            Self::Latency => "latency",
            Self::Order => "order",
            Self::Lag => "lag",
            Self::State => "state",
            Self::Stake => "stake",
            Self::Clock => "clock",
            Self::Certificate => "certificate",
            Self::Success => "success",
        }
    }
}

/// Which peers are shown by their health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Which {
    /// Whatever their health is.
    #[default]
    All,
    /// Those that are not up.
    Amiss,
    /// Those with this health.
    Only(Health),
}

impl Which {
    /// Every choice.
    pub(super) const ALL: [Self; 6] = [
        Self::All,
        Self::Amiss,
        Self::Only(Health::Down),
        Self::Only(Health::Degraded),
        Self::Only(Health::Unknown),
        Self::Only(Health::Up),
    ];

    /// Its name in an address.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Amiss => "amiss",
            Self::Only(health) => health.as_str(),
        }
    }

    const fn fits(self, health: Health) -> bool {
        match self {
            Self::All => true,
            Self::Amiss => !matches!(health, Health::Up),
            Self::Only(only) => only as u8 == health as u8,
        }
    }
}

/// What is asked for. Whatever an address asks that there is not is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Words that a row must have, each of them.
    pub(super) text: String,
    pub(super) which: Which,
    /// Only peers of this network, where not empty.
    pub(super) network: String,
    pub(super) sort: Sort,
    /// The other way round.
    pub(super) reversed: bool,
    /// Empty, `network`, or a label's name after `label:`.
    pub(super) group: String,
    /// From 0.
    pub(super) page: usize,
}

/// The longest text that is looked for, characters.
const TEXT: usize = 200;

impl View {
    /// Reads the query of an address.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut view = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "q" => view.text = value.trim().chars().take(TEXT).collect(),
                "health" => view.which = named(&Which::ALL, Which::as_str, &value),
                "network" => view.network = value.into_owned(),
                "sort" => {
                    let name = value.strip_prefix('-');
                    view.reversed = name.is_some();
                    view.sort = named(&Sort::ALL, Sort::as_str, name.unwrap_or(&value));
                }
                "group" => view.group = value.into_owned(),
                "page" => {
                    let page = value.parse::<usize>();
                    view.page = page.map_or(0, |page| page.saturating_sub(1));
                }
                _ => {}
            }
        }
        view
    }

    /// The query that asks for this; with its question mark, empty where nothing is asked.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        };
        add("q", &self.text);
        if self.which != Which::All {
            add("health", self.which.as_str());
        }
        add("network", &self.network);
        add("group", &self.group);
        if self.sort != Sort::Badness || self.reversed {
            let sign = if self.reversed { "-" } else { "" };
            add("sort", &format!("{sign}{}", self.sort.as_str()));
        }
        if self.page > 0 {
            add("page", &(self.page + 1).to_string());
        }
        let query = query.finish();
        if query.is_empty() {
            query
        } else {
            format!("?{query}")
        }
    }

    /// The same ordered by `sort`, or the other way round where it is already.
    pub(super) fn sorted(&self, sort: Sort) -> Self {
        Self {
            sort,
            reversed: sort == self.sort && !self.reversed,
            page: 0,
            ..self.clone()
        }
    }

    /// Positions of the peers that are asked for, in order.
    pub(super) fn select(&self, snapshot: &Snapshot) -> Vec<usize> {
        let words: Vec<String> = self
            .text
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let fits = |record: &PeerRecord| {
            let network = self.network.is_empty() || record.peer.network == self.network;
            self.which.fits(record.health) && network && has(record, &words)
        };
        let mut found: Vec<(String, Key, usize)> = snapshot
            .peers
            .iter()
            .enumerate()
            .filter(|(_, record)| fits(record))
            .map(|(i, record)| (self.group_of(record), self.key(record, snapshot), i))
            .collect();
        found.sort_by(|(a_group, a, _), (b_group, b, _)| {
            a_group.cmp(b_group).then_with(|| match self.sort {
                Sort::Name if self.reversed => b.name.cmp(&a.name),
                _ => a.cmp(b, self.reversed),
            })
        });
        found.into_iter().map(|(.., i)| i).collect()
    }

    /// The group that a peer is in; empty without groups.
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

    fn key(&self, record: &PeerRecord, snapshot: &Snapshot) -> Key {
        let now = snapshot.now;
        let size = match self.sort {
            Sort::Badness => Some(badness(record, snapshot)),
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
                .diverged
                .map(|diverged| f64::from(u8::from(diverged))),
            Sort::Stake => {
                let stake = record.stake.as_ref();
                stake.map(|stake| as_f64(stake.registered.own_copper))
            }
            Sort::Clock => record.clock(now).map(|clock| clock.skew.abs()),
            Sort::Certificate => {
                let ends = record.endpoints.iter().filter_map(|it| it.certificate_ends);
                ends.map(seconds_since_epoch)
                    .reduce(f64::min)
                    .map(|ends| -ends)
            }
            Sort::Success => last_success(record).map(|at| -seconds_since_epoch(at)),
        };
        Key {
            size,
            name: natural(&record.peer.name),
        }
    }
}

/// When an endpoint of the peer last answered as it should.
pub(super) fn last_success(record: &PeerRecord) -> Option<SystemTime> {
    let successes = record.endpoints.iter();
    successes.filter_map(|endpoint| endpoint.last_success).max()
}

/// Names of the labels that some peer has.
pub(super) fn labels(snapshot: &Snapshot) -> BTreeSet<&str> {
    let peers = snapshot.peers.iter();
    peers
        .flat_map(|record| record.peer.labels.keys().map(String::as_str))
        .collect()
}

/// How bad it is: by health, own peers before references, those in maintenance last of their kind, then by how much is in force.
fn badness(record: &PeerRecord, snapshot: &Snapshot) -> f64 {
    let health = match record.health {
        Health::Down => 3,
        Health::Degraded => 2,
        Health::Unknown => 1,
        Health::Up => 0,
    };
    let own = u8::from(record.peer.role == Role::Own);
    let paged = u8::from(!record.in_maintenance(snapshot.wall));
    let conditions = u8::try_from(record.conditions.len().min(63)).unwrap_or(63);
    f64::from(health) * 256.0
        + f64::from(paged) * 128.0
        + f64::from(own) * 64.0
        + f64::from(conditions)
}

/// Whether each of the words, in lower case, stands in something that the row shows.
fn has(record: &PeerRecord, words: &[String]) -> bool {
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
        add(labels::of_condition(*condition));
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

/// What a row is ordered by: the greatest first, the unknown last, and equal ones by name.
struct Key {
    size: Option<f64>,
    name: String,
}

impl Key {
    fn cmp(&self, other: &Self, reversed: bool) -> Ordering {
        let sizes = match (self.size, other.size) {
            (Some(a), Some(b)) if reversed => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        sizes.then_with(|| self.name.cmp(&other.name))
    }
}

/// A name with its numbers as long as each other, so that `sim-2` comes before `sim-10`.
fn natural(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 20);
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            push(&mut key, format_args!("{digits:0>20}"));
            digits.clear();
        }
        key.push(c);
    }
    key
}

#[expect(clippy::cast_precision_loss, reason = "only an order is made of it")]
fn as_f64(value: i64) -> f64 {
    value as f64
}

fn named<T: Copy + Default>(all: &[T], label: fn(T) -> &'static str, name: &str) -> T {
    let found = all.iter().find(|it| label(**it) == name);
    found.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_shown_and_is_made_again_of_it() {
        let query = "?q=eu+1&health=down&network=main&group=label%3Aregion&sort=-lag&page=3";
        let view = View::parse(query.strip_prefix('?'));
        assert_eq!(
            (view.text.as_str(), view.which, view.page),
            ("eu 1", Which::Only(Health::Down), 2)
        );
        assert_eq!((view.sort, view.reversed), (Sort::Lag, true));
        assert_eq!(view.query(), query);
        assert_eq!(
            view.sorted(Sort::Lag).query(),
            query.replace("-lag&page=3", "lag")
        );
        assert_eq!(View::default().query(), "");
    }

    #[test]
    fn an_address_that_asks_for_nonsense_shows_everything() {
        let view = View::parse(Some("health=%3Cscript%3E&sort=-nothing&page=-1&x=y&%ff"));
        assert_eq!(
            view,
            View {
                reversed: true,
                ..View::default()
            }
        );
    }

    #[test]
    fn numbers_in_names_are_ordered_by_size() {
        let mut names = ["sim-10", "sim-2", "sim-1", "b", "sim-2a"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["b", "sim-1", "sim-2", "sim-2a", "sim-10"]);
    }
}
