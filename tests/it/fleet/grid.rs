//! Which faults of a network are found, and how fast, at default intervals: the real schedule,
//! samples and verdicts on simulated networks without sockets, in paused time.

mod watched;

use std::collections::BTreeSet;
use std::time::Duration;

use convex_peer_monitor::fleet::{
    Comparison, Condition, Evidence, NetworkVerdict, OrderState, Snapshot,
};
use convex_simulator::{Options, PeerSet, Registered};
use tokio::time::sleep;

use crate::support::simulated::options;

use watched::{Scope, Watched};

/// A fault is found within this time after it shows.
const FOUND_WITHIN: Duration = Duration::from_secs(120);

/// How long a verdict then has to hold.
const HOLDS_FOR: Duration = Duration::from_secs(45);

/// How often the verdicts are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The conditions that accuse a peer of what only a comparison shows.
const ACCUSATIONS: [Condition; 7] = [
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
struct Cell {
    faults: Vec<String>,
    traffic: String,
    /// Number of peers that answer.
    peers: usize,
    scope: Scope,
    registered: Registered,
    shows: Shows,
    /// The peers that may be accused, from 1.
    ill: BTreeSet<usize>,
    /// What each of them has to be accused of.
    found: BTreeSet<Condition>,
    /// What they may be accused of besides.
    tolerated: BTreeSet<Condition>,
    network: Network,
    /// When the strangers' peers leave.
    strangers_leave: Option<Duration>,
}

/// When a fault can be seen.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// At this time.
    At(Duration),
    /// With the first block that the first ill peer executes after this time.
    WithBlockAfter(Duration),
}

/// What has to be found about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// Anything but a split, a loss of finality, or a stall.
    Healthy,
    /// Every watched peer agrees with others.
    InAgreement,
    Split,
    Receding,
    /// At best this many peers can be lost.
    Losable(usize),
}

impl Cell {
    /// A network without faults, all of which is watched.
    fn healthy(peers: usize, traffic: &str) -> Self {
        Self {
            faults: Vec::new(),
            traffic: traffic.to_owned(),
            peers,
            scope: Scope {
                peers,
                strangers: 0,
            },
            registered: Registered::default(),
            shows: Shows::At(Duration::ZERO),
            ill: BTreeSet::new(),
            found: BTreeSet::new(),
            tolerated: BTreeSet::new(),
            network: Network::Healthy,
            strangers_leave: None,
        }
    }

    /// A network whose peers in `apart` fork after `at`.
    fn forked(peers: usize, traffic: &str, apart: &str, at: Duration) -> Self {
        let set = PeerSet::parse(apart, peers).unwrap();
        let members = |all: std::ops::RangeInclusive<usize>| all.filter(|i| set.contains(i - 1));
        let forked = members(1..=peers).count();
        let mut cell = Self {
            faults: vec![format!("fork:{apart}:{}s", at.as_secs())],
            shows: Shows::WithBlockAfter(at),
            ..Self::healthy(peers, traffic)
        };
        if forked * 2 == peers {
            // Nobody knows which half is right.
            cell.ill = members(1..=peers).collect();
            cell.ill.extend(1..=peers);
            cell.found = [Condition::StatesDiffer].into();
            cell.network = Network::Split;
        } else {
            cell.ill = members(1..=peers).collect();
            cell.found = [Condition::Diverged].into();
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
        if (verdict.split == Evidence::Proven) && self.network != Network::Split {
            wrong.push("the network is called split".to_owned());
        }
        let is_bad = matches!(verdict.order, OrderState::Receding | OrderState::Stalled);
        if is_bad && self.network != Network::Receding {
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
        let verdict: &NetworkVerdict = &snapshot.networks[0].verdict;
        let agree = || {
            let mut peers = snapshot.peers.iter();
            peers.all(|record| record.comparison == Comparison::Agrees)
        };
        let losable = verdict.quorum.as_ref().map(|quorum| quorum.losable.best);
        let (is_found, what) = match self {
            Self::Healthy => (true, ""),
            Self::InAgreement => (agree(), "in agreement"),
            Self::Split => ((verdict.split == Evidence::Proven), "split"),
            Self::Receding => (verdict.order == OrderState::Receding, "receding"),
            Self::Losable(peers) => (losable == Some(peers), "as strong as it is"),
        };
        (!is_found).then(|| format!("the network is not found {what}: {losable:?}"))
    }
}

/// Watches a cell until what is to be found was found and has held for a while. Returns what is
/// wrong.
async fn check(cell: &Cell, prefix: &str) -> Option<String> {
    let mut watched = Watched::start(cell.options(), &cell.scope, prefix);
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
            let (block, _) = watched.state(first_ill);
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
            None if now < shown + FOUND_WITHIN => {}
            None => break Some((now, missing)),
            Some(_) if !missing.is_empty() && cell.network != Network::InAgreement => {
                break Some((now, missing));
            }
            Some(found) if now < found + HOLDS_FOR => {}
            Some(found) => {
                eprintln!(
                    "{prefix} {:?} {} {} found after {:?}",
                    cell.faults,
                    cell.traffic,
                    cell.peers,
                    found - shown
                );
                break None;
            }
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
async fn check_all(cells: impl IntoIterator<Item = Cell>, prefix: &str) {
    let mut wrong = Vec::new();
    for (i, cell) in cells.into_iter().enumerate() {
        let start = std::time::Instant::now();
        wrong.extend(check(&cell, &format!("{prefix}-{i}-")).await);
        eprintln!(
            "   {prefix}-{i} {} {} {:?} took {:?} {}",
            cell.peers,
            cell.traffic,
            cell.faults,
            start.elapsed(),
            wrong.last().map_or("", |it| it.as_str())
        );
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Time between two blocks.
const PERIODS: [&str; 5] = ["30s", "10s", "1s", "200ms", "50ms"];

/// Numbers of peers.
const SMALL: [usize; 4] = [2, 3, 4, 8];

/// Regular and random blocks.
fn rates() -> impl Iterator<Item = String> {
    let regular = PERIODS.iter().map(|period| (*period).to_owned());
    let random = PERIODS.iter().map(|period| format!("random:{period}"));
    regular.chain(random)
}

/// All small networks, in which the peers `apart` fork: soon after the start, or when the agent has
/// known the network for a while.
fn small_forks(apart: &'static str) -> impl Iterator<Item = Cell> {
    SMALL.iter().flat_map(move |peers| {
        rates().map(move |traffic| {
            let at = if traffic.starts_with("random") {
                80
            } else {
                20
            };
            Cell::forked(*peers, &traffic, apart, Duration::from_secs(at))
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_forked_peer_is_found_at_every_rate_of_blocks() {
    check_all(small_forks("2"), "fork").await;
}

#[tokio::test(start_paused = true)]
async fn a_network_in_two_halves_is_found_at_every_rate_of_blocks() {
    check_all(small_forks("50%"), "half").await;
}

#[tokio::test(start_paused = true)]
async fn a_healthy_network_agrees_at_every_rate_of_blocks() {
    let cells = SMALL.iter().flat_map(|peers| {
        rates().map(|traffic| Cell {
            network: Network::InAgreement,
            ..Cell::healthy(*peers, &traffic)
        })
    });
    check_all(cells, "fine").await;
}

#[tokio::test(start_paused = true)]
async fn forks_are_found_among_a_hundred_peers_and_among_a_thousand() {
    let hundred = rates().zip(["2", "50%"].into_iter().cycle());
    let hundred = hundred.map(|(traffic, apart)| (100, traffic, apart));
    let thousand = [("1s", "2"), ("random:200ms", "50%")];
    let thousand = thousand.map(|(traffic, apart)| (1000, traffic.to_owned(), apart));
    let cells = hundred.chain(thousand).map(|(peers, traffic, apart)| {
        Cell::forked(peers, &traffic, apart, Duration::from_secs(20))
    });
    check_all(cells, "many").await;
}

/// Faults, when they show, who is ill, and what has to be found; in brackets what else may be.
const TABLE: &str = "
| faults                       | traffic      | peers                       | shows     | ill | found                                 | network
# Halves that show no block at the same time.
| fork:50%:20s late=1s:50%     | 1s           | 4                           | block 20s | all | states_differ                         | split
| fork:50%:20s late=500ms:50%  | 700ms        | 8                           | block 20s | all | states_differ                         | split
| fork:2:20s                   | 700ms        | 4                           | block 20s | 2   | diverged                              | healthy
| fork:50%:80s late=2s:50%     | random:1s    | 8                           | block 80s | all | states_differ                         | split
# Peers that are far away.
| fork:2:20s slow=150ms:all    | 50ms         | 4                           | block 20s | 2   | diverged                              | healthy
| fork:2:20s slow=150ms:all    | 1s           | 8                           | block 20s | 2   | diverged                              | healthy
| fork:50%:20s slow=150ms:all  | 50ms         | 8                           | block 20s | all | states_differ                         | split
| slow=150ms:all               | 50ms         | 8                           | 0s        | -   | -                                     | agrees
# A peer alone on its history makes no block final.
| minority-fork:2:20s          | 1s           | 4                           | block 20s | 2   | stalled [lagging diverged]            | healthy
| minority-fork:2:20s          | 30s          | 4                           | block 20s | 2   | stalled [lagging diverged]            | healthy
# A restart from an older state contradicts nobody.
| restart=50:2:60s             | 1s           | 4                           | 60s       | 2   | -                                     | healthy
| restart=50:2:60s             | random:200ms | 8                           | 60s       | 2   | -                                     | healthy
| restart=20:all:60s           | 1s           | 4                           | 60s       | all | -                                     | healthy
# Finality must never go back.
| recede=20:2:20s              | 30s          | 4                           | 20s       | 2   | receding [finality_lost lagging]      | healthy
| recede=20:all:20s            | 1s           | 4                           | 20s       | all | receding [finality_lost]              | receding
| recede=20:all:20s            | 30s          | 2                           | 20s       | all | receding [finality_lost]              | receding
# Evicted.
| unregistered:2:20s           | 1s           | 4                           | 20s       | 2   | unregistered                          | healthy
| unregistered:2:80s           | random:10s   | 8                           | 80s       | 2   | unregistered                          | healthy
| unregistered:2:20s           | 50ms         | 3                           | 20s       | 2   | unregistered                          | healthy
# Nine blocks are four minutes and a quarter.
| lag=9:2                      | 30s          | 4                           | 120s      | 2   | lagging                               | healthy
| lag=9:2                      | random:30s   | 8                           | 120s      | 2   | lagging                               | healthy
# Strangers who claim what cannot be, also after they have left.
| claim=4611686018427387904:5-6 stake=0.01:5-6 | 1s | 6 strangers=2          | 0s        | 5 6 | - [states_differ diverged]            | healthy
| claim=4611686018427387904:5-6 stake=0.01:5-6 | 1s | 6 strangers=2 leave=90s | 0s       | 5 6 | - [states_differ diverged]            | healthy
# Sybils in a registry that is larger than a page of a small peer.
| fork=990:5-12 stake=0.01:5-12 | 1s          | 12 strangers=8 registered=1500 | 0s     | 5 6 7 8 9 10 11 12 | diverged [states_differ] | healthy
| fork=990:5-12 stake=0.01:5-12 | 1s          | 12 registered=1500          | 0s        | 5 6 7 8 9 10 11 12 | diverged [states_differ] | healthy
# One of eight equal peers is watched and dies: one more may go.
| refuse:1:40s                 | 1s           | 8 watched=1                 | 40s       | -   | -                                     | losable=1
";

/// Reads a row of the table.
fn row(line: &'static str) -> Cell {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [faults, traffic, peers, shows, ill, found, network] = columns[..] else {
        panic!("{line}");
    };
    let words = |text: &'static str| text.split(' ').filter(|word| *word != "-");
    let seconds = |text: &str| humantime::parse_duration(text).unwrap();
    let mut of_peers = words(peers);
    let count = of_peers.next().unwrap().parse().unwrap();
    let mut cell = Cell {
        faults: words(faults).map(str::to_owned).collect(),
        shows: match shows.split_once(' ') {
            Some((_, at)) => Shows::WithBlockAfter(seconds(at)),
            None => Shows::At(seconds(shows)),
        },
        ..Cell::healthy(count, traffic)
    };
    for option in of_peers {
        let (name, value) = option.split_once('=').unwrap();
        match name {
            "watched" => cell.scope.peers = value.parse().unwrap(),
            "strangers" => cell.scope.strangers = value.parse().unwrap(),
            "registered" => cell.registered = Registered::parse(value).unwrap(),
            "leave" => cell.strangers_leave = Some(seconds(value)),
            _ => panic!("{line}"),
        }
    }
    cell.ill = match ill {
        "all" => (1..=count).collect(),
        _ => words(ill).map(|peer| peer.parse().unwrap()).collect(),
    };
    let (found, tolerated) = found.split_once(" [").unwrap_or((found, "]"));
    let conditions = |text: &'static str| {
        let named = words(text).filter(|word| !word.is_empty());
        named.map(|word| Condition::named(word).unwrap()).collect()
    };
    cell.found = conditions(found);
    cell.tolerated = conditions(tolerated.trim_end_matches(']'));
    cell.network = match network {
        "healthy" => Network::Healthy,
        "agrees" => Network::InAgreement,
        "split" => Network::Split,
        "receding" => Network::Receding,
        _ => Network::Losable(network.strip_prefix("losable=").unwrap().parse().unwrap()),
    };
    cell
}

#[tokio::test(start_paused = true)]
async fn what_was_said_without_evidence_is_true_now() {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    check_all(rows.skip(1).map(row), "row").await;
}
