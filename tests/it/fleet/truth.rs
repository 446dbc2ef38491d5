//! The truth table: the verdict of the whole agent on every fault, without effect on any other
//! peer.

mod liars;

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use convex_simulator::{FAULT_KINDS, Network};
use tokio::time::{Instant, sleep};

use crate::support::agent::Agent;
use crate::support::pace::Pace;
use crate::support::simulated::network;

/// Longest wait for all verdicts, of which the slowest takes about seven polls. All times here are
/// stretched by the pace.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// A busy machine may lose one poll or two in a row, so a peer is down only after three.
fn defaults(pace: &Pace) -> String {
    format!(
        "defaults: {{ interval: {}, timeout: {}, retries: 0, down_after: 3, up_after: 2 }}\n\
         verdicts: {{ stall_after: {}, lag_blocks: 10, lag_for: {}, lag_time: 1h, restart_grace: {} }}\n\
         limits: {{ max_inflight: 1000, per_host_inflight: 1000 }}\n\
         metrics: {{ detail: full }}\n",
        pace.ms(2_000),
        pace.ms(1_900),
        pace.ms(5_000),
        pace.ms(2_000),
        pace.ms(5_000),
    )
}

/// How a network is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    /// All peers, with genesis and keys pinned.
    Pinned,
    /// All peers, with nothing pinned.
    Unpinned,
    /// All peers, each with `expect_block_every`.
    Expecting,
    /// Two peers of twenty.
    TwoOfTwenty,
    /// Polls spread over an interval of eight seconds.
    Seldom,
}

/// What is simulated and how it is watched, which peers are ill, and the verdicts on each of them
/// and on the network. All other peers must be healthy at all times.
///
/// Peer: up, health, conditions, order state. Network: order state, split, quorum margin, losable
/// peers, and whether it was reset. A star stands for any word. Traffic of 450 ms gives each poll a
/// new block; traffic of 3 s lets all peers show each state. A fault that starts after ten seconds
/// meets a network that was healthy.
const TABLE: &str = "
| faults                | traffic | watched     | ill     | peer                                                | network
# No fault.
| -                     | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| -                     | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| -                     | 450ms:1 | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| -                     | 450ms   | Unpinned    | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| -                     | 100ms   | Seldom      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| old-api:2             | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| map-status:2          | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| new-api:2             | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| -                     | random:450ms | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| tx-hang:2             | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| tx-lose:2             | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| tx-error=LOAD:2       | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| late=1s:2             | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| slow=100ms:2          | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| lag=5:2               | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| unheard:2:10s         | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| isolate:2:10s         | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| skew=300ms:2          | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=1
| silent-stake:2        | -       | Pinned      | -       | -                                                   | idle split=0 margin=0.33 losable=0
# The order.
| stall:2:10s           | -       | Pinned      | 2       | 1 degraded [stalled] stalled                        | idle split=0 margin=0.33 losable=1
| stall:2:10s           | 450ms   | Pinned      | 2       | 1 degraded [lagging stalled] stalled                | advancing split=0 margin=0.33 losable=1
| stall:50%:10s         | -       | Pinned      | 3 4     | 1 degraded [stalled] stalled                        | stalled split=0 margin=0.33 losable=1
| stall:all:10s         | -       | Pinned      | 1 2 3 4 | 1 degraded [stalled] stalled                        | stalled split=0 margin=0.33 losable=1
| stall:2:10s           | -       | TwoOfTwenty | 2       | 1 degraded [stalled] stalled                        | idle split=- margin=0.33 losable=6
| lag=40:2              | -       | Pinned      | 2       | 1 degraded [lagging] idle                           | idle split=0 margin=0.33 losable=1
| lag=40:2              | 450ms   | Pinned      | 2       | 1 degraded [lagging] advancing                      | advancing split=0 margin=0.33 losable=1
| recede=5:2:10s        | -       | Pinned      | 2       | 1 degraded [finality_lost receding] receding        | idle split=0 margin=0.33 losable=1
| recede=50:2:10s       | 450ms   | Pinned      | 2       | 1 degraded [finality_lost lagging receding] receding | advancing split=0 margin=0.33 losable=1
| recede=5:all:10s      | -       | Pinned      | 1 2 3 4 | 1 degraded [finality_lost receding] receding        | receding split=0 margin=0.33 losable=1
| restart=50:2:10s      | 450ms   | Pinned      | 2       | 1 up [] advancing                                   | advancing split=0 margin=0.33 losable=1
| claim=4611686018427387904:2 stake=0.01:2 | 450ms   | Pinned      | 2       | 1 degraded [own_stake_low] *                        | advancing split=0 margin=0.33 losable=0
| frozen:2:10s          | 450ms   | Pinned      | 2       | 1 degraded [lagging state_behind] idle              | advancing split=0 margin=0.33 losable=1
| upgrade=1h:all        | 450ms   | Pinned      | -       | -                                                   | advancing split=0 margin=0.33 losable=1
| upgrade=30s:1-3:10s   | 450ms   | Pinned      | 4       | 1 degraded [stake_withdrawn upgrade_required] *     | advancing split=0 margin=0.33 losable=0
# The state.
| fork=990:2            | -       | Pinned      | 2       | 1 degraded [diverged forked] idle                   | idle split=0 margin=0.08 losable=0
| fork:2:10s            | 3s      | Pinned      | 2       | 1 degraded [diverged forked] *                      | * split=0 margin=0.08 losable=0
| fork:2:10s            | 450ms   | Pinned      | 2       | 1 degraded [diverged forked] advancing              | advancing split=0 margin=0.08 losable=0
| fork=990:50%          | -       | Pinned      | 1 2 3 4 | 1 degraded [states_differ] idle                     | idle split=1 margin=0.33 losable=1
| fork:50%:10s          | 450ms   | Pinned      | 1 2 3 4 | 1 degraded [states_differ] advancing                | advancing split=1 margin=0.33 losable=1
| minority-fork=980:2   | 450ms   | Pinned      | 2       | 1 degraded [forked stalled] stalled                 | advancing split=0 margin=0.33 losable=0
# The identity.
| wrong-genesis:2:10s   | 450ms   | Pinned      | 2       | 0 down [wrong_network] unknown                      | advancing split=0 margin=0.08 losable=0
| wrong-genesis:all:10s | 450ms   | Pinned      | 1 2 3 4 | 0 down [wrong_network] unknown                      | unknown split=- margin=-0.67 losable=0 reset
| wrong-genesis:all:20s | 450ms   | Unpinned    | 1 2 3 4 | 1 up [] idle                                        | idle split=0 margin=0.33 losable=1 reset
| wrong-genesis:2:10s   | -       | Unpinned    | 2       | 1 degraded [diverged forked] idle                   | idle split=0 margin=0.08 losable=0
| wrong-key:2           | 450ms   | Pinned      | 2       | 0 down [wrong_peer] unknown                         | advancing split=0 margin=0.33 losable=1
| wrong-key:2:10s       | 450ms   | Unpinned    | 2       | 1 degraded [identity_changed] advancing             | advancing split=0 margin=0.33 losable=1
| duplicate-key:2,3:10s | 450ms   | Pinned      | 3       | 0 down [wrong_peer] unknown                         | advancing split=0 margin=0.33 losable=1
| duplicate-key:2,3:10s | 450ms   | Unpinned    | 3       | 1 degraded [identity_changed] advancing             | advancing split=0 margin=0.33 losable=1
# The clock.
| ahead=1h:2:10s        | 450ms   | Pinned      | 1 2 3 4 | 1 degraded [stalled] stalled                        | stalled split=0 margin=0.33 losable=1
| skew=5s:2             | 450ms   | Pinned      | 2       | 1 degraded [clock_skew] advancing                   | advancing split=0 margin=0.33 losable=1
| skew=-5s:2            | -       | Pinned      | 2       | 1 degraded [clock_skew] idle                        | idle split=0 margin=0.33 losable=1
| skew=-5s:2 old-api:2  | -       | Pinned      | 2       | 1 degraded [clock_skew] idle                        | idle split=0 margin=0.33 losable=1
# The connection.
| tarpit:2:10s          | 450ms   | Pinned      | 2       | 0 down [timeout] unknown                            | advancing split=0 margin=0.08 losable=0
| slow=1h:2             | -       | Pinned      | 2       | 0 down [timeout] unknown                            | idle split=0 margin=0.08 losable=0
| garbage:2             | -       | Pinned      | 2       | 0 down [malformed] unknown                          | idle split=0 margin=0.08 losable=0
| huge-frame:2          | -       | Pinned      | 2       | 0 down [too_large] unknown                          | idle split=0 margin=0.08 losable=0
| half-reply:2          | -       | Pinned      | 2       | 0 down [closed] unknown                             | idle split=0 margin=0.08 losable=0
| refuse:2:10s          | 450ms   | Pinned      | 2       | 0 down [refused] unknown                            | advancing split=0 margin=0.08 losable=0
| reset:2:10s           | -       | Pinned      | 2       | 0 down [closed] unknown                             | idle split=0 margin=0.08 losable=0
| refuse:2:10s          | -       | TwoOfTwenty | 2       | 0 down [refused] unknown                            | idle split=- margin=0.28 losable=5
| refuse:all:10s        | 450ms   | Pinned      | 1 2 3 4 | 0 down [refused] unknown                            | unknown split=- margin=-0.67 losable=0
| http-500:2            | 450ms   | Pinned      | 2       | 1 degraded [endpoint_failing http_status] advancing | advancing split=0 margin=0.33 losable=1
# The query. STATUS is answered, so the order is known.
| half-dead:2:10s       | 450ms   | Pinned      | 2       | 0 down [query_hangs] advancing                      | advancing split=0 margin=0.08 losable=0
| query-error=LOAD:2    | -       | Pinned      | 2       | 1 degraded [overloaded] idle                        | idle split=0 margin=0.33 losable=1
| busy:2                | -       | Pinned      | 2       | 1 degraded [overloaded] idle                        | idle split=0 margin=0.33 losable=1
| query-error=JUICE:2   | -       | Pinned      | 2       | 1 degraded [query_error] idle                       | idle split=0 margin=0.33 losable=1
| query-error=JUICE:all | 450ms   | Pinned      | 1 2 3 4 | 1 degraded [query_error] advancing                  | advancing split=- margin=- losable=-
# The stake.
| low-stake:2           | -       | Pinned      | 2       | 1 degraded [own_stake_low] idle                     | idle split=0 margin=0.33 losable=0
| stake=0.01:2          | -       | Pinned      | 2       | 1 degraded [own_stake_low] idle                     | idle split=0 margin=0.33 losable=0
| unregistered:2:10s    | 450ms   | Pinned      | 2       | 1 degraded [unregistered] advancing                 | advancing split=0 margin=0.33 losable=0
| silent-stake:2        | -       | Expecting   | 2       | 1 degraded [weight_decayed] idle                    | idle split=0 margin=0.33 losable=0
";

/// A row of the table.
struct Row {
    faults: Vec<&'static str>,
    traffic: Option<&'static str>,
    watch: Watch,
    ill: Vec<usize>,
    ill_verdict: &'static str,
    network_verdict: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter_map(|line| line.strip_prefix("| "));
    let row = |line: &'static str| {
        let cells: Vec<_> = line.split(" | ").map(str::trim).collect();
        let [faults, traffic, watch, ill, ill_verdict, network_verdict] = cells[..] else {
            panic!("{line}");
        };
        let words = |cell: &'static str| cell.split(' ').filter(|word| *word != "-");
        Row {
            faults: words(faults).collect(),
            traffic: words(traffic).next(),
            watch: Watch::named(watch),
            ill: words(ill).map(|peer| peer.parse().unwrap()).collect(),
            ill_verdict,
            network_verdict,
        }
    };
    lines.skip(1).map(row).collect()
}

impl Watch {
    fn named(name: &str) -> Self {
        let all = [
            Self::Pinned,
            Self::Unpinned,
            Self::Expecting,
            Self::TwoOfTwenty,
            Self::Seldom,
        ];
        let named = all.into_iter().find(|watch| format!("{watch:?}") == name);
        named.unwrap_or_else(|| panic!("{name}"))
    }

    fn peers(self) -> usize {
        if self == Self::TwoOfTwenty { 20 } else { 4 }
    }

    fn watched(self) -> usize {
        if self == Self::TwoOfTwenty { 2 } else { 4 }
    }

    /// Returns the configuration of peer `i` besides its name and endpoints.
    fn peer_options(self, network: &Network, i: usize, pace: &Pace) -> String {
        let key = format!(", key: '{}'", network.key(i));
        match self {
            Self::Pinned | Self::TwoOfTwenty => key,
            Self::Unpinned => String::new(),
            Self::Expecting => key + ", expect_block_every: 10m",
            Self::Seldom => format!("{key}, interval: {}", pace.ms(8_000)),
        }
    }
}

/// Returns the configuration of the agent: network `n` has the peers `n.i`.
fn config(networks: &[(&Network, Watch)], pace: &Pace) -> String {
    let (mut named, mut peers) = (String::new(), String::new());
    for (n, (network, watch)) in networks.iter().enumerate() {
        let genesis = match watch {
            Watch::Unpinned => String::new(),
            _ => format!(", genesis: '{}'", network.genesis()),
        };
        writeln!(
            named,
            "  - {{ name: '{n}'{genesis}, stake_interval: 10s, consensus_interval: 10s }}"
        )
        .unwrap();
        for i in 1..=watch.watched() {
            let (tcp, http, more) = (
                network.tcp(i),
                network.http(i),
                watch.peer_options(network, i, pace),
            );
            writeln!(
                peers,
                "  - {{ name: '{n}.{i}', network: '{n}', endpoints: ['http://{http}', 'tcp://{tcp}']{more} }}"
            )
            .unwrap();
        }
    }
    format!("{}networks:\n{named}peers:\n{peers}", defaults(pace))
}

/// One scrape.
struct Scrape(HashMap<String, f64>);

impl Scrape {
    async fn of(agent: &Agent) -> Self {
        let (_, text) = agent.get("/metrics").await;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(samples.filter_map(pair).collect())
    }

    fn value(&self, metric: &str, labels: &str) -> Option<f64> {
        self.0.get(&format!("{metric}{{{labels}}}")).copied()
    }

    /// Formats the value as a whole number or with two digits, and a missing one as a dash.
    fn text(&self, metric: &str, labels: &str) -> String {
        match self.value(metric, labels) {
            None => "-".to_owned(),
            Some(value) if value.fract() == 0.0 => format!("{value}"),
            Some(value) => format!("{value:.2}"),
        }
    }

    /// Returns the values of `label` for which the series is 1.
    fn active(&self, metric: &str, labels: &str, label: &str) -> String {
        let start = format!("{metric}{{{labels},{label}=\"");
        let series = self.0.iter().filter(|(_, value)| **value == 1.0);
        let mut found: Vec<&str> = series
            .filter_map(|(series, _)| series.strip_prefix(&start)?.strip_suffix("\"}"))
            .collect();
        found.sort_unstable();
        found.join(" ")
    }

    fn peer(&self, network: &str, peer: &str) -> String {
        let labels = labels(network, peer);
        let (up, health) = (
            self.text("convex_peer_up", &labels),
            self.active("convex_peer_health", &labels, "state"),
        );
        let conditions = self.active("convex_peer_condition", &labels, "condition");
        let order = self.active("convex_peer_order_state", &labels, "state");
        format!("{up} {health} [{conditions}] {order}")
    }

    fn network(&self, network: &str) -> String {
        let labels = format!("network=\"{network}\"");
        let order = self.active("convex_network_order_state", &labels, "state");
        let split = self.text("convex_network_split", &labels);
        let margin = self.text("convex_network_quorum_margin_ratio", &labels);
        let best = format!("{labels},case=\"best\"");
        let losable = self.text("convex_network_losable_peers", &best);
        let is_reset = self.value("convex_network_reset", &labels) == Some(1.0);
        let reset = if is_reset { " reset" } else { "" };
        format!("{order} split={split} margin={margin} losable={losable}{reset}")
    }

    /// Describes the verdict on a peer that was ever degraded or down.
    fn false_alarm(&self, network: &str, peer: &str) -> Option<String> {
        let labels = labels(network, peer);
        let entered = |state: &str| {
            let state = format!("{labels},state=\"{state}\"");
            self.value("convex_peer_health_transitions_total", &state)
        };
        let alarms = ["degraded", "down"].map(|state| entered(state).unwrap_or(0.0));
        let found = self.peer(network, peer);
        (alarms != [0.0; 2]).then(|| format!("peer {peer} was degraded or down, now {found}"))
    }

    /// Describes the verdict on a peer that is not healthy.
    fn unhealthy(&self, network: &str, peer: &str) -> Option<String> {
        let found = self.peer(network, peer);
        let healthy = ["1 up [] idle", "1 up [] advancing"].contains(&found.as_str());
        (!healthy).then(|| format!("peer {peer} is {found}, not healthy"))
    }
}

fn labels(network: &str, peer: &str) -> String {
    format!("peer=\"{peer}\",network=\"{network}\"")
}

/// Whether the words are the expected ones, where a star stands for any word.
fn matches(found: &str, expected: &str) -> bool {
    let (found, expected): (Vec<_>, Vec<_>) =
        (found.split(' ').collect(), expected.split(' ').collect());
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| expected == "*" || *found == expected)
}

/// Describes how the verdicts on network `n` differ from the table.
fn mistakes(n: usize, row: &Row, scrape: &Scrape) -> Vec<String> {
    let network = n.to_string();
    let mut wrong = Vec::new();
    for i in 1..=row.watch.watched() {
        let peer = format!("{n}.{i}");
        if row.ill.contains(&i) {
            let found = scrape.peer(&network, &peer);
            wrong.extend(difference(&peer, &found, row.ill_verdict));
        } else {
            wrong.extend(scrape.unhealthy(&network, &peer));
        }
    }
    let found = scrape.network(&network);
    wrong.extend(difference(&network, &found, row.network_verdict));
    let with_row = |wrong| format!("{:?}, traffic {:?}: {wrong}", row.faults, row.traffic);
    wrong.into_iter().map(with_row).collect()
}

fn difference(what: &str, found: &str, expected: &str) -> Option<String> {
    (!matches(found, expected)).then(|| format!("{what} is {found}, not {expected}"))
}

/// Describes healthy peers that were degraded or down at any time.
async fn false_alarms(rows: &[Row], agent: &Agent) -> Vec<String> {
    let scrape = Scrape::of(agent).await;
    let mut found = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        for i in (1..=row.watch.watched()).filter(|i| !row.ill.contains(i)) {
            let peer = format!("{n}.{i}");
            if let Some(alarm) = scrape.false_alarm(&n.to_string(), &peer) {
                let events = agent.events(&peer).await;
                found.push(format!("{:?}: {alarm}\n{events}", row.faults));
            }
        }
    }
    found
}

/// Waits until the verdicts of each row have been right at once. Not of all rows at once: on a busy
/// machine single polls may be excused.
async fn rows_settled(agent: &Agent, pace: &Pace, rows: &[Row]) {
    let mut left: Vec<usize> = (0..rows.len()).collect();
    settled(agent, pace, |scrape| {
        let mut found = Vec::new();
        left.retain(|n| {
            let wrong = mistakes(*n, &rows[*n], scrape);
            let is_wrong = !wrong.is_empty();
            found.extend(wrong);
            is_wrong
        });
        found
    })
    .await;
}

/// Waits until `mistakes` finds none.
async fn settled(agent: &Agent, pace: &Pace, mut mistakes: impl FnMut(&Scrape) -> Vec<String>) {
    let longest = pace.stretch(SETTLED_WITHIN);
    let deadline = Instant::now() + longest;
    loop {
        let found = mistakes(&Scrape::of(agent).await);
        if found.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "after {longest:?}:\n{}",
            found.join("\n")
        );
        sleep(pace.stretch(Duration::from_secs(1))).await;
    }
}

/// Waits until each peer has been polled three more times: the verdicts must not change.
async fn three_more_polls(agent: &Agent, pace: &Pace) {
    const POLLS: &str = "convex_peer_polls_total{";
    let before = Scrape::of(agent).await.0;
    settled(agent, pace, |now| {
        let polls = before
            .iter()
            .filter(|(series, _)| series.starts_with(POLLS));
        let missing = polls.filter(|(series, polls)| now.0[*series] < **polls + 3.0);
        missing
            .map(|(series, _)| format!("{series} needs more polls"))
            .collect()
    })
    .await;
}

#[test]
fn the_table_has_every_kind_of_fault() {
    for (kind, _) in FAULT_KINDS {
        let name = kind.split(['=', '[']).next().unwrap();
        let has = |spec: &&str| spec.split(['=', ':']).next() == Some(name);
        assert!(
            rows().iter().any(|row| row.faults.iter().any(has)),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_identified_and_affects_no_other_peer() {
    let rows = rows();
    let mut rest = &rows[..];
    while !rest.is_empty() {
        let pace = Pace::measure().await;
        let part = rows.len().div_ceil(pace.parts).min(rest.len());
        let (part, later) = rest.split_at(part);
        check(part, &pace).await;
        rest = later;
    }
}

/// Watches the networks of these rows until all verdicts are as expected and stay so.
async fn check(rows: &[Row], pace: &Pace) {
    let mut networks = Vec::new();
    for row in rows {
        let faults: Vec<_> = row.faults.iter().map(|fault| pace.fault(fault)).collect();
        let faults: Vec<_> = faults.iter().map(String::as_str).collect();
        let traffic = row.traffic.map(|traffic| pace.traffic(traffic));
        let network = network(row.watch.peers(), &faults, traffic.as_deref()).await;
        networks.push((network, row.watch));
    }
    let watched: Vec<_> = networks
        .iter()
        .map(|(network, watch)| (network, *watch))
        .collect();
    let agent = Agent::start(&config(&watched, pace)).await;
    rows_settled(&agent, pace, rows).await;
    three_more_polls(&agent, pace).await;
    rows_settled(&agent, pace, rows).await;
    let found = false_alarms(rows, &agent).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
    agent.stop().await;
}
