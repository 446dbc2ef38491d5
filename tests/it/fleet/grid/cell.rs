//! One network of the grid: what is simulated, and what the agent has to find.

use std::collections::BTreeSet;
use std::time::Duration;

use convex_peer_monitor::fleet::{Comparison, Condition, Evidence, OrderState, Snapshot};
use convex_simulator::{Options, PeerSet, Registered};
use tokio::time::sleep;

use crate::support::simulated::options;

use super::watched::{Scope, Watched};

/// A fault is found within this time after it shows, if a cell gives no other.
const FOUND_WITHIN: Duration = Duration::from_secs(120);

/// How long a verdict then has to hold.
const HOLDS_FOR: Duration = Duration::from_secs(45);

/// How often the verdicts are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The conditions that accuse a peer of what only a comparison shows.
const ACCUSATIONS: [Condition; 11] = [
    Condition::Forked,
    Condition::Isolated,
    Condition::Unheard,
    Condition::DuplicateKey,
    Condition::Lagging,
    Condition::Stalled,
    Condition::Receding,
    Condition::FinalityLost,
    Condition::Diverged,
    Condition::StatesDiffer,
    Condition::Unregistered,
];

/// One network, its fault, and what has to be found.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) faults: Vec<String>,
    pub(super) traffic: String,
    /// Number of peers that answer.
    pub(super) peers: usize,
    pub(super) scope: Scope,
    pub(super) registered: Registered,
    pub(super) shows: Shows,
    /// How long it then takes at most to find it.
    pub(super) within: Duration,
    /// The peers that may be accused, from 1.
    pub(super) ill: BTreeSet<usize>,
    /// What each of them has to be accused of.
    pub(super) found: BTreeSet<Condition>,
    /// What they may be accused of besides.
    pub(super) tolerated: BTreeSet<Condition>,
    pub(super) network: Network,
    /// When the strangers' peers leave.
    pub(super) strangers_leave: Option<Duration>,
    /// Whether the agent samples peers between polls.
    pub(super) samples: bool,
}

/// When a fault can be seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shows {
    /// At this time.
    At(Duration),
    /// With the first block that the first ill peer executes after this time.
    WithBlockAfter(Duration),
}

/// What has to be found about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// Anything but a split, a loss of finality, or a stall.
    Healthy,
    /// Every watched peer agrees with others.
    InAgreement,
    Split,
    Stalled,
    Receding,
    /// At best this many peers can be lost.
    Losable(usize),
}

impl Cell {
    /// A network without faults, all of which is watched.
    pub(super) fn healthy(peers: usize, traffic: &str) -> Self {
        Self {
            faults: Vec::new(),
            traffic: traffic.to_owned(),
            peers,
            scope: Scope::first(peers),
            registered: Registered::default(),
            shows: Shows::At(Duration::ZERO),
            within: FOUND_WITHIN,
            ill: BTreeSet::new(),
            found: BTreeSet::new(),
            tolerated: BTreeSet::new(),
            network: Network::Healthy,
            strangers_leave: None,
            samples: true,
        }
    }

    /// A network whose peers in `apart` fork after `at`.
    pub(super) fn forked(peers: usize, traffic: &str, apart: &str, at: Duration) -> Self {
        let set = PeerSet::parse(apart, peers).unwrap();
        let forked: BTreeSet<usize> = (1..=peers).filter(|i| set.contains(i - 1)).collect();
        let mut cell = Self {
            faults: vec![format!("fork:{apart}:{}s", at.as_secs())],
            shows: Shows::WithBlockAfter(at),
            ..Self::healthy(peers, traffic)
        };
        if forked.len() * 2 == peers {
            // Nobody knows which half is right.
            cell.ill = (1..=peers).collect();
            cell.found = [Condition::StatesDiffer].into();
            cell.network = Network::Split;
        } else {
            cell.ill = forked;
            cell.found = [Condition::Diverged].into();
            // Found by walks, which are less frequent than polls.
            cell.tolerated = [Condition::Forked].into();
        }
        cell
    }

    fn options(&self) -> Options {
        let faults: Vec<&str> = self.faults.iter().map(String::as_str).collect();
        let traffic = (self.traffic != "-").then_some(self.traffic.as_str());
        Options {
            registered: self.registered,
            ..options(self.peers, &faults, traffic)
        }
    }

    /// Describes what is wrong in a snapshot. `since_fault`: whether the fault has begun.
    fn false_accusations(&self, snapshot: &Snapshot, since_fault: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for (record, peer) in snapshot.peers.iter().zip(1..) {
            let is_ill = since_fault && self.ill.contains(&peer);
            let allowed = |condition: &Condition| {
                is_ill && (self.found.contains(condition) || self.tolerated.contains(condition))
            };
            let accused = record
                .conditions
                .iter()
                .filter(|it| ACCUSATIONS.contains(it));
            let accused: Vec<&str> = accused
                .filter(|it| !allowed(it))
                .map(|it| it.as_str())
                .collect();
            if !accused.is_empty() {
                wrong.push(format!("peer {peer} is accused: {accused:?}"));
            }
        }
        let verdict = &snapshot.networks[0].verdict;
        if verdict.split == Evidence::Proven && self.network != Network::Split {
            wrong.push("the network is called split".to_owned());
        }
        let is_bad = matches!(verdict.order, OrderState::Receding | OrderState::Stalled);
        if is_bad && !matches!(self.network, Network::Receding | Network::Stalled) {
            wrong.push(format!("the network is called {:?}", verdict.order));
        }
        if verdict.nothing_compared {
            wrong.push("nothing was compared for long".to_owned());
        }
        wrong
    }

    /// Describes what has not been found.
    fn missing(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut missing = Vec::new();
        for peer in &self.ill {
            let Some(record) = snapshot.peers.get(peer - 1) else {
                continue;
            };
            let lacking = self.found.difference(&record.conditions);
            let lacking: Vec<&str> = lacking.map(|it| it.as_str()).collect();
            if !lacking.is_empty() {
                missing.push(format!("peer {peer} is not {}", lacking.join(" and ")));
            }
        }
        missing.extend(self.network.missing(snapshot));
        missing
    }
}

impl Network {
    fn missing(self, snapshot: &Snapshot) -> Option<String> {
        let verdict = &snapshot.networks[0].verdict;
        let agree = || {
            let mut peers = snapshot.peers.iter();
            peers.all(|record| record.comparison == Comparison::Agrees)
        };
        let losable = verdict.quorum.as_ref().map(|quorum| quorum.losable.best);
        let (is_found, what) = match self {
            Self::Healthy => (true, ""),
            Self::InAgreement => (agree(), "in agreement"),
            Self::Split => (verdict.split == Evidence::Proven, "split"),
            Self::Stalled => (verdict.order == OrderState::Stalled, "stalled"),
            Self::Receding => (verdict.order == OrderState::Receding, "receding"),
            Self::Losable(peers) => (losable == Some(peers), "as strong as it is"),
        };
        (!is_found).then(|| format!("the network is not found {what}: {losable:?}"))
    }
}

/// Watches a cell until what is to be found was found and has held for a while. Returns what is
/// wrong.
pub(super) async fn check(cell: &Cell, prefix: &str) -> Option<String> {
    let mut watched = Watched::start(cell.options(), &cell.scope, cell.samples, prefix);
    let begins = match cell.shows {
        Shows::At(at) | Shows::WithBlockAfter(at) => at,
    };
    let first_ill = cell.ill.first().copied().unwrap_or(1);
    let mut block_before = None;
    let mut shown = None;
    let mut found_at = None;
    let wrong = loop {
        sleep(LOOK_INTERVAL).await;
        let now = watched.elapsed();
        if cell.strangers_leave.is_some_and(|at| now >= at) {
            watched.drop_strangers();
        }
        let has_begun = now >= begins;
        if has_begun && shown.is_none() {
            let block = watched.block(first_ill);
            let is_new = block > *block_before.get_or_insert(block);
            let is_shown = is_new || matches!(cell.shows, Shows::At(_));
            shown = is_shown.then_some(now);
        }
        let snapshot = watched.fleet().snapshot();
        let wrong = cell.false_accusations(&snapshot, has_begun);
        if !wrong.is_empty() {
            break Some((now, wrong));
        }
        let Some(shown) = shown else { continue };
        let missing = cell.missing(&snapshot);
        match found_at {
            None if missing.is_empty() => found_at = Some(now),
            None if now < shown + cell.within => {}
            None => break Some((now, missing)),
            Some(_) if !missing.is_empty() && cell.network != Network::InAgreement => {
                break Some((now, missing));
            }
            Some(found) if now < found + HOLDS_FOR => {}
            // What must not happen is waited for as long as what must.
            Some(_) if cell.found.is_empty() && now < shown + cell.within => {}
            Some(_) => break None,
        }
    };
    watched.stop().await;
    let (at, wrong) = wrong?;
    let first: Vec<String> = wrong.into_iter().take(5).collect();
    Some(format!(
        "{} peers, a block each {}, {:?}: after {at:?}{}: {}",
        cell.peers,
        cell.traffic,
        cell.faults,
        shown.map_or(String::new(), |at| format!(
            " (the fault shows after {at:?})"
        )),
        first.join("; ")
    ))
}

/// Checks all cells.
pub(super) async fn check_all(cells: impl IntoIterator<Item = Cell>, prefix: &str) {
    let mut wrong = Vec::new();
    for (i, cell) in cells.into_iter().enumerate() {
        wrong.extend(check(&cell, &format!("{prefix}-{i}-")).await);
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
