//! Which faults of a network are found, and how fast, at default intervals: the real schedule,
//! samples and verdicts on simulated networks without sockets, in paused time.

mod canary;
mod cell;
mod walks;
mod watched;

use std::time::Duration;

use convex_peer_monitor::fleet::Condition;
use convex_simulator::Registered;

use cell::{Cell, Network, Shows, check, check_all};

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

/// Without samples the grid fails: it shows what they are for.
#[tokio::test(start_paused = true)]
async fn without_samples_most_forks_at_a_regular_rate_go_unseen() {
    let mut unseen = 0;
    for cell in small_forks("2").filter(|cell| cell.traffic == "1s") {
        let cell = Cell {
            samples: false,
            ..cell
        };
        unseen += usize::from(check(&cell, "unsampled").await.is_some());
    }
    assert!(
        unseen > SMALL.len() / 2,
        "{unseen} of {} are not seen",
        SMALL.len()
    );
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

/// Who is right is known once the registry was read, which takes longer than it takes to see that
/// the peers differ: the sybils are most of those that the operator configured.
#[tokio::test(start_paused = true)]
async fn configured_sybils_accuse_nobody_whatever_the_phases_of_the_polls() {
    for phases in 0..10 {
        let sybils = row(SYBILS_THAT_ARE_CONFIGURED);
        check_all([sybils], &format!("sybils-{phases}")).await;
    }
}

/// The other peers may be asked while this one takes its time.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_no_lag_whatever_the_phases_of_the_polls() {
    for phases in 0..20 {
        let slow = row("slow=4s:2 | 200ms | 2 within=4m | 0s | - | - | healthy");
        check_all([slow], &format!("slow-{phases}")).await;
    }
}

const SYBILS_THAT_ARE_CONFIGURED: &str = "fork=990:5-12 stake=0.01:5-12 | 1s | 12 registered=1500 | 0s | 5 6 7 8 9 10 11 12 | diverged [states_differ forked] | healthy";

/// Faults, when they show, who is ill, and what has to be found; in brackets what else may be.
const TABLE: &str = "
| faults                       | traffic      | peers                       | shows     | ill | found                                 | network
# Halves that show no block at the same time.
| fork:50%:20s late=1s:50%     | 1s           | 4                           | block 20s | all | states_differ                         | split
| fork:50%:20s late=500ms:50%  | 700ms        | 8                           | block 20s | all | states_differ                         | split
| fork:2:20s                   | 700ms        | 4                           | block 20s | 2   | diverged [forked]                     | healthy
| fork:50%:80s late=2s:50%     | random:1s    | 8                           | block 80s | all | states_differ                         | split
# Peers that are far away.
| fork:2:20s slow=150ms:all    | 50ms         | 4                           | block 20s | 2   | diverged [forked]                     | healthy
| fork:2:20s slow=150ms:all    | 1s           | 8                           | block 20s | 2   | diverged [forked]                     | healthy
| fork:50%:20s slow=150ms:all  | 50ms         | 8                           | block 20s | all | states_differ                         | split
| slow=150ms:all               | 50ms         | 8                           | 0s        | -   | -                                     | agrees
# A peer alone on its history makes no block final.
| minority-fork:2:20s          | 1s           | 4                           | block 20s | 2   | stalled forked [lagging diverged states_differ] | healthy
| minority-fork:2:20s          | 30s          | 4                           | block 20s | 2   | stalled forked [lagging diverged states_differ] | healthy
# Cut off. It takes five minutes until it is clear whom a peer has to hear.
| isolate:2:400s               | 1s           | 4 within=4m                 | 400s      | 2   | isolated [lagging]                    | healthy
| isolate:2:400s               | 30s          | 4 within=4m                 | 400s      | 2   | isolated [lagging]                    | healthy
| isolate:2:400s               | random:10s   | 8 within=9m                 | 400s      | 2   | - [isolated lagging]                  | healthy
| isolate:1-2:400s             | 1s           | 4 within=4m                 | 400s      | 1 2 | isolated [lagging]                    | healthy
| unheard:2:400s               | 1s           | 4 within=4m                 | 400s      | 2   | unheard                               | healthy
| unheard:2:400s               | 30s          | 8 within=4m                 | 400s      | 2   | unheard                               | healthy
| unheard:2:400s               | 50ms         | 4 within=4m                 | 400s      | 2   | unheard                               | healthy
# Two processes with one key, and one process at two addresses.
| duplicate-key:2,3            | -            | 4 within=4m                 | 0s        | 2 3 | duplicate_key                         | healthy
| duplicate-key:2,3            | 1s           | 4 within=4m                 | 0s        | 2 3 | duplicate_key                         | healthy
| duplicate-key:2,3 fork=990:3 | 50ms         | 4 within=4m                 | 0s        | 2 3 | duplicate_key [states_differ diverged forked] | healthy
| -                            | -            | 4 within=8m twice=2         | 0s        | -   | -                                     | agrees
| -                            | 1s           | 4 within=8m twice=2         | 0s        | -   | -                                     | agrees
| -                            | 50ms         | 4 within=8m twice=2         | 0s        | -   | -                                     | agrees
| restart=50:2:60s             | 1s           | 4 within=8m twice=2         | 60s       | 2   | -                                     | healthy
# On an idle network nobody signs again, so nothing is missed.
| isolate:2:400s               | -            | 4 within=8m                 | 400s      | 2   | -                                     | healthy
| unheard:2:400s               | -            | 4 within=8m                 | 400s      | 2   | -                                     | healthy
# Nobody is cut off.
| -                            | 200ms        | 4 within=12m                | 0s        | -   | -                                     | agrees
| late=1s:2 slow=150ms:3       | 1s           | 4 within=12m                | 0s        | -   | -                                     | healthy
| lag=5:2                      | 1s           | 4 within=12m                | 0s        | -   | -                                     | healthy
| restart=500:2:400s           | 1s           | 4 within=8m                 | 400s      | 2   | - [receding finality_lost lagging]    | healthy
| recede=1000:2:400s           | 1s           | 4 within=8m                 | 400s      | 2   | receding [finality_lost lagging]      | healthy
| skew=1h:2                    | 1s           | 4 within=12m                | 0s        | -   | -                                     | healthy
| skew=-1h:2                   | 1s           | 4 within=12m                | 0s        | -   | -                                     | healthy
| refuse:2:400s..430s          | 1s           | 4 within=8m                 | 400s      | 2   | - [lagging]                           | healthy
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
# Polled as seldom as a stall takes: nothing is known of the time between two polls.
| -                            | 200ms        | 4 interval=60s within=12m   | 0s        | -   | -                                     | healthy
| -                            | random:1s    | 4 interval=60s within=12m   | 0s        | -   | -                                     | healthy
| lag=40:2                     | 10s          | 4 interval=60s within=5m    | 0s        | 2   | lagging                               | healthy
| stall:all:100s               | 1s           | 4 interval=60s within=5m    | 100s      | all | stalled                               | stalled
| recede=50:all:100s           | 30s          | 4 interval=60s within=5m    | 100s      | all | receding [finality_lost lagging]      | receding
| lag=100:2 slow=4s:2          | 200ms        | 4                           | 0s        | 2   | lagging                               | healthy
# Strangers who claim what cannot be, also after they have left.
| claim=4611686018427387904:5-6 stake=0.01:5-6 | 1s | 6 strangers=2          | 0s        | 5 6 | - [states_differ diverged]            | healthy
| claim=4611686018427387904:5-6 stake=0.01:5-6 | 1s | 6 strangers=2 leave=90s | 0s       | 5 6 | - [states_differ diverged]            | healthy
# Sybils in a registry that is larger than a page of a small peer.
| fork=990:5-12 stake=0.01:5-12 | 1s          | 12 strangers=8 registered=1500 | 0s     | 5 6 7 8 9 10 11 12 | diverged [states_differ] | healthy
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
            "twice" => cell.scope.twice = vec![value.parse().unwrap()],
            "interval" => cell.scope.interval = Some(value),
            "within" => cell.within = seconds(value),
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
        "stalled" => Network::Stalled,
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
