//! The one table of all metrics: what a name means, its type and its labels.

use std::fmt::Write as _;

use crate::failure::Reason;
use crate::fleet::Condition;
use crate::self_check::Check;

/// One metric.
#[derive(Debug)]
pub struct Definition {
    /// Full name.
    pub name: &'static str,
    /// Type in the exposition format.
    pub kind: Kind,
    /// One sentence, with the unit where the name has none.
    pub help: &'static str,
    /// Label names, in the order they are written.
    pub labels: &'static [&'static str],
    /// Where it is documented.
    pub group: Group,
    /// How much of it is there when `metrics.detail` is `lean`.
    pub lean: Lean,
}

/// Type in the exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, but for a restart.
    Counter,
    /// Buckets, sum and count.
    Histogram,
}

/// Heading of the metric reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Polls and their verdicts.
    Poll,
    /// Endpoints.
    Probe,
    /// What a peer says.
    Peer,
    /// What the host shows of a peer beside the agent.
    Sidecar,
    /// What the chain says of a peer.
    Stake,
    /// What the peers of a network say together.
    Network,
    /// The operator's own queries.
    Custom,
    /// The agent itself.
    Agent,
}

/// What lean detail leaves of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// All of it.
    Kept,
    /// Less of it; the text says what.
    Reduced(&'static str),
    /// Nothing.
    Left,
}

use Group::{Agent, Custom, Network, Peer, Poll, Probe, Sidecar, Stake};
use Kind::{Counter, Gauge, Histogram};
use Lean::{Kept, Left, Reduced};

macro_rules! catalogue {
    ($($constant:ident = $name:literal, $kind:expr, $group:expr, $lean:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub(super) const $constant: Definition = Definition {
                name: $name,
                kind: $kind,
                help: $help,
                labels: &[$($label),*],
                group: $group,
                lean: $lean,
            };
        )*

        /// Every metric, in the order of the metric reference and of the exposition.
        pub const ALL: &[&Definition] = &[$(&$constant),*];
    };
}

catalogue! {
    PEER_UP = "convex_peer_up", Gauge, Poll, Kept, ["peer", "network"],
        "Whether the last poll was good: 1 when an endpoint answered the query and is not proven to be another peer or of another network. Absent before the first poll, and when the poll failed for the monitor's own sake.";
    PEER_HEALTH = "convex_peer_health", Gauge, Poll, Kept, ["peer", "network", "state"],
        "Verdict over polls: unknown, up, degraded or down; exactly one is 1.";
    PEER_CONDITION = "convex_peer_condition", Gauge, Poll, Kept, ["peer", "network", "condition"],
        "1 while the condition is in force against the peer, else absent.";
    PEER_MAINTENANCE = "convex_peer_maintenance", Gauge, Poll, Kept, ["peer", "network"],
        "1 while a maintenance window covers the present, else absent: the data stays, nobody is paged.";
    PEER_POLLS = "convex_peer_polls_total", Counter, Poll, Kept, ["peer", "network"],
        "Polls that say something about the peer; those that failed for the monitor's own sake are not among them.";
    PEER_POLL_FAILURES = "convex_peer_poll_failures_total", Counter, Poll, Kept, ["peer", "network"],
        "Polls that were not good (convex_peer_up 0).";
    PEER_TRANSITIONS = "convex_peer_health_transitions_total", Counter, Poll, Left, ["peer", "network", "state"],
        "How often the health became the state.";

    PROBE_ATTEMPTS = "convex_probe_attempts_total", Counter, Probe, Kept, ["peer", "network", "transport"],
        "Polls of the endpoint, whatever the retries.";
    PROBE_FAILURES = "convex_probe_failures_total", Counter, Probe, Reduced("without `reason`"), ["peer", "network", "transport", "reason"],
        "Failed polls of the endpoint, by the reason of the last try.";
    PROBE_RETRIES = "convex_probe_retries_total", Counter, Probe, Left, ["peer", "network", "transport"],
        "Tries beyond the first of each poll.";
    PROBE_RECONNECTS = "convex_probe_reconnects_total", Counter, Probe, Left, ["peer", "network", "transport"],
        "Kept connections that were found dead and replaced.";
    PROBE_IGNORED = "convex_probe_ignored_messages_total", Counter, Probe, Left, ["peer", "network", "transport"],
        "Messages that nobody waited for: pushed ones, late replies and unknown ids.";
    PROBE_DURATION = "convex_probe_duration_seconds", Histogram, Probe, Reduced("one bucket, sum and count"), ["peer", "network", "transport"],
        "From the first byte of the request to the last byte of the needed answers, of successful polls; connecting is not in it.";
    NETWORK_DURATION = "convex_network_probe_duration_seconds", Histogram, Probe, Kept, ["network", "transport"],
        "As convex_probe_duration_seconds, over all peers of the network.";
    NETWORK_FAILURES = "convex_network_probe_failures_total", Counter, Probe, Kept, ["network", "transport", "reason"],
        "As convex_probe_failures_total, over all peers of the network.";
    PROBE_REQUEST_DURATION = "convex_probe_request_duration_seconds", Gauge, Probe, Left, ["peer", "network", "transport", "request"],
        "How long the last status, ping and query took to be answered.";
    PROBE_PHASE_DURATION = "convex_probe_phase_duration_seconds", Gauge, Probe, Left, ["peer", "network", "transport", "phase"],
        "How long resolve, connect and tls took in the last poll; absent when the connection was reused, and where a phase does not exist.";
    PROBE_LAST_ATTEMPT = "convex_probe_last_attempt_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network", "transport"],
        "When the last poll of the endpoint began.";
    PROBE_LAST_SUCCESS = "convex_probe_last_success_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network", "transport"],
        "When the last successful poll of the endpoint ended.";
    PROBE_CONSECUTIVE_FAILURES = "convex_probe_consecutive_failures", Gauge, Probe, Left, ["peer", "network", "transport"],
        "Failed polls of the endpoint since the last successful one.";
    PROBE_RESPONSE_BYTES = "convex_probe_response_bytes", Gauge, Probe, Left, ["peer", "network", "transport"],
        "Size of the answers to the last successful poll.";
    PROBE_TLS_NOT_AFTER = "convex_probe_tls_not_after_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network"],
        "When the certificate that the HTTP endpoint last showed ends, also of a handshake that failed because of it.";

    PEER_INFO = "convex_peer_info", Gauge, Peer, Kept, ["peer", "network", "peer_key", "genesis", "api", "role"],
        "Always 1; carries what is known of the peer as text, and the labels that the operator gave it. api is the oldest release with the interface that the peer shows.";
    ENDPOINT_INFO = "convex_probe_endpoint_info", Gauge, Peer, Left, ["peer", "network", "transport", "url"],
        "Always 1; carries the endpoint's URL.";
    IDENTITY_MATCH = "convex_peer_identity_match", Gauge, Peer, Left, ["peer", "network", "check"],
        "1 proven, 0 disproven, absent not known: the pinned genesis, the pinned or learned peer_key, the advertised_url on chain, transports_agree.";
    IDENTITY_CHANGES = "convex_peer_identity_changes_total", Counter, Peer, Left, ["peer", "network", "check"],
        "How often another genesis or peer_key answered than before, or another advertised_url stood on chain.";
    ORDER_BLOCKS = "convex_peer_order_blocks", Gauge, Peer, Left, ["peer", "network", "level"],
        "Blocks in the peer's order at each level, as counts.";
    ORDER_ADVANCE = "convex_peer_order_advance_timestamp_seconds", Gauge, Peer, Left, ["peer", "network", "level"],
        "When the level was last seen to grow between two polls; absent before that.";
    PENDING = "convex_peer_pending_blocks", Gauge, Peer, Left, ["peer", "network"],
        "Blocks in the peer's order that are not final.";
    STATE_BLOCK = "convex_peer_state_block", Gauge, Peer, Kept, ["peer", "network"],
        "Index of the last block that the peer's state includes; -1 before the first.";
    STATE_TIMESTAMP = "convex_peer_state_timestamp_seconds", Gauge, Peer, Left, ["peer", "network"],
        "Time of the last block in the peer's state. It stands still on a quiet network.";
    STATE_HASH_PREFIX = "convex_peer_state_hash_prefix", Gauge, Peer, Left, ["peer", "network"],
        "First 6 bytes of the state's hash as an integer; equal on peers whose states are equal.";
    LAG_BLOCKS = "convex_peer_lag_blocks", Gauge, Peer, Kept, ["peer", "network"],
        "Blocks from the peer's state to the network's head, at the instant of the peer's answer; absent when no other peer of the network is heard.";
    LAG_SECONDS = "convex_peer_lag_seconds", Gauge, Peer, Left, ["peer", "network"],
        "Time since the head was first seen beyond the peer's state block, 0 when level; absent with convex_peer_lag_blocks.";
    ORDER_STATE = "convex_peer_order_state", Gauge, Peer, Kept, ["peer", "network", "state"],
        "What the peer's order does: unknown, receding, stalled, advancing or idle; exactly one is 1.";
    STATE_DIVERGED = "convex_peer_state_diverged", Gauge, Peer, Kept, ["peer", "network"],
        "Whether the peer's state is another one than the majority's at a common block, latched until they are seen equal; absent without a common block or a majority.";
    DIVERGENCE_FIRST_BLOCK = "convex_peer_divergence_first_block", Gauge, Peer, Left, ["peer", "network"],
        "Lowest block at which the states are known to differ.";
    RESTARTS = "convex_peer_restarts_inferred_total", Counter, Peer, Kept, ["peer", "network"],
        "How often the peer was lost (its connection dead or refused) and has answered again.";
    CLOCK_SKEW = "convex_peer_clock_skew_seconds", Gauge, Peer, Reduced("while `clock_skew` is in force"), ["peer", "network"],
        "The peer's clock minus the monitor's, by PING where the peer answers it, else by HTTP's Date.";
    CLOCK_SKEW_UNCERTAINTY = "convex_peer_clock_skew_uncertainty_seconds", Gauge, Peer, Left, ["peer", "network"],
        "The skew is this exact: half the round trip, and half a second more by HTTP's Date.";
    ACCOUNTS = "convex_peer_accounts", Gauge, Peer, Left, ["peer", "network"],
        "Accounts in the peer's state.";
    MEMORY_POOL = "convex_peer_memory_pool_bytes", Gauge, Peer, Left, ["peer", "network"],
        "Memory that the pool in the peer's state has for sale.";

    STAKE_OWN = "convex_stake_own_cvm", Gauge, Stake, Reduced("of peers with `role: own`"), ["peer", "network"],
        "The peer's own stake with its part of the rewards.";
    STAKE_DELEGATED = "convex_stake_delegated_cvm", Gauge, Stake, Reduced("of peers with `role: own`"), ["peer", "network"],
        "Stake that others delegated to the peer, with their part of the rewards.";
    STAKE_DECAY = "convex_stake_decay_ratio", Gauge, Stake, Left, ["peer", "network"],
        "The part of the peer's stake that counts, 0.001 to 1: it falls when the peer makes no blocks while others do.";
    STAKE_WEIGHT = "convex_stake_weight_ratio", Gauge, Stake, Left, ["peer", "network"],
        "The peer's part of the network's weight in consensus; absent when the registry is too large to be read whole.";
    STAKE_EVICTION_MARGIN = "convex_stake_eviction_margin_cvm", Gauge, Stake, Reduced("while `own_stake_low` is in force"), ["peer", "network"],
        "Own stake above the 1000 CVM below which a peer is not heard and anybody may evict it.";
    LAST_BLOCK = "convex_peer_last_block_timestamp_seconds", Gauge, Stake, Left, ["peer", "network"],
        "Time of the peer's last block in the order; absent before its first.";
    EXPECTED_BLOCK_INTERVAL = "convex_peer_expected_block_interval_seconds", Gauge, Stake, Left, ["peer", "network"],
        "The peer's configured expect_block_every; absent without it.";
    CONTROLLER_BALANCE = "convex_controller_balance_cvm", Gauge, Stake, Kept, ["network", "controller"],
        "Balance of the account that controls watched peers.";

    NETWORK_ORDER_STATE = "convex_network_order_state", Gauge, Network, Kept, ["network", "state"],
        "What the network's order does: unknown, receding, stalled, advancing or idle; exactly one is 1.";
    NETWORK_FINALITY_ADVANCE = "convex_network_finality_advance_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "When finality was last seen to grow on any watched peer.";
    NETWORK_HEAD_BLOCK = "convex_network_head_block", Gauge, Network, Kept, ["network"],
        "Highest state block that the majority has reached: shown by two of its peers, or by one that holds a third of its weight.";
    NETWORK_HEAD_TIMESTAMP = "convex_network_head_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "Time of the last block in the newest state of the majority.";
    NETWORK_PEERS = "convex_network_peers", Gauge, Network, Kept, ["network", "state", "role"],
        "Watched peers by health and role.";
    NETWORK_REGISTERED = "convex_network_peers_registered", Gauge, Network, Kept, ["network"],
        "Peers registered on chain.";
    NETWORK_GROUPS = "convex_network_state_groups", Gauge, Network, Kept, ["network"],
        "Distinct states among the peers that are heard; 1 when all agree.";
    NETWORK_SPLIT = "convex_network_split", Gauge, Network, Kept, ["network"],
        "Whether peers disagree and no group holds more than half of the weight.";
    NETWORK_STAKE_RATIO = "convex_network_stake_ratio", Gauge, Network, Kept, ["network", "standing"],
        "The network's weight by how its peers stand: majority, minority, down or unobserved; sums to 1.";
    NETWORK_QUORUM_MARGIN = "convex_network_quorum_margin_ratio", Gauge, Network, Kept, ["network"],
        "1 - minority - down - 0.67: what is left above the threshold of consensus when all that is proven absent is taken off.";
    NETWORK_LOSABLE = "convex_network_losable_peers", Gauge, Network, Kept, ["network"],
        "Peers of the majority, the heaviest first, that can be lost before the margin is negative.";
    NETWORK_STAKE = "convex_network_stake_cvm", Gauge, Network, Kept, ["network"],
        "Coin behind the registered peers, rewards included.";
    NETWORK_STAKE_TIMESTAMP = "convex_network_stake_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "When the registry of peers was last told.";
    NETWORK_QUERY_ERROR = "convex_network_query_error", Gauge, Network, Kept, ["network"],
        "Whether the last question about the registry was not answered; absent before the first.";
    NETWORK_ACCOUNTS = "convex_network_accounts", Gauge, Network, Kept, ["network"],
        "Accounts in the newest state of the majority.";
    NETWORK_COIN_SUPPLY = "convex_network_coin_supply_cvm", Gauge, Network, Kept, ["network"],
        "Coins in existence.";
    NETWORK_FEES_POOL = "convex_network_fees_pool_cvm", Gauge, Network, Kept, ["network"],
        "Fees that are not distributed yet.";
    NETWORK_JUICE_PRICE = "convex_network_copper_per_juice", Gauge, Network, Kept, ["network"],
        "Price of a unit of juice.";
    NETWORK_MEMORY_POOL = "convex_network_memory_pool_bytes", Gauge, Network, Kept, ["network"],
        "Memory that the pool has for sale.";
    NETWORK_MEMORY_PRICE = "convex_network_copper_per_memory_byte", Gauge, Network, Kept, ["network"],
        "Price of a byte of memory.";

    PROCESS_UP = "convex_peer_process_up", Gauge, Sidecar, Kept, ["peer", "network"],
        "Whether the peer's process is there; absent while that cannot be told.";
    RESIDENT_MEMORY = "convex_peer_process_resident_memory_bytes", Gauge, Sidecar, Left, ["peer", "network"],
        "Memory that the peer's process occupies, the mapped pages of its store included: those grow by design.";
    ANONYMOUS_MEMORY = "convex_peer_process_anonymous_memory_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "The part of it that no file can take back, anonymous and shared memory: heap, stacks, buffers.";
    MEMORY_LIMIT = "convex_peer_process_memory_limit_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "The tightest memory limit of the process' cgroups, else the host's memory.";
    CPU_SECONDS = "convex_peer_process_cpu_seconds_total", Counter, Sidecar, Left, ["peer", "network"],
        "Processor time that the peer's process has used, user and system; begins anew with it.";
    OPEN_FDS = "convex_peer_process_open_fds", Gauge, Sidecar, Left, ["peer", "network"],
        "Open file descriptors of the peer's process; absent when this agent may not count them.";
    MAX_FDS = "convex_peer_process_max_fds", Gauge, Sidecar, Left, ["peer", "network"],
        "How many file descriptors it may have.";
    THREADS = "convex_peer_process_threads", Gauge, Sidecar, Left, ["peer", "network"],
        "Threads of the peer's process.";
    START_TIME = "convex_peer_process_start_time_seconds", Gauge, Sidecar, Kept, ["peer", "network"],
        "When the peer's process started.";
    OOM_KILLS = "convex_peer_process_oom_kills_total", Counter, Sidecar, Left, ["peer", "network"],
        "Processes of the peer's cgroup that were killed for want of memory; absent where its cgroup does not count them.";
    STORE_BYTES = "convex_peer_store_bytes", Gauge, Sidecar, Left, ["peer", "network"],
        "What the store's file occupies on disk; holes in it do not count.";
    STORE_AVAILABLE = "convex_peer_store_filesystem_available_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "What an ordinary user can still write to the store's file system.";
    STORE_SIZE = "convex_peer_store_filesystem_size_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "Size of the store's file system.";

    QUERY_VALUE = "convex_query_value", Gauge, Custom, Kept, ["network", "query"],
        "Value of the operator's own query.";
    QUERY_SUCCESS = "convex_query_success", Gauge, Custom, Kept, ["network", "query"],
        "Whether the query was answered with a number last time.";
    QUERY_LAST_SUCCESS = "convex_query_last_success_timestamp_seconds", Gauge, Custom, Kept, ["network", "query"],
        "When the query was last answered with a number.";

    BUILD_INFO = "convex_monitor_build_info", Gauge, Agent, Kept, ["version"],
        "Always 1; carries the agent's version.";
    MONITOR_INFO = "convex_monitor_info", Gauge, Agent, Kept, ["vantage", "mode"],
        "Always 1; carries the agent's name and mode.";
    SHARD = "convex_monitor_shard", Gauge, Agent, Kept, [],
        "Which shard of the fleet this agent polls, from 1.";
    SHARDS = "convex_monitor_shards", Gauge, Agent, Kept, [],
        "Number of shards that the fleet is split into.";
    RELOAD_SUCCESSFUL = "convex_monitor_config_last_reload_successful", Gauge, Agent, Kept, [],
        "Whether the last attempt to load the configuration succeeded; a bad file leaves the old configuration in force.";
    RELOAD_SUCCESS = "convex_monitor_config_last_reload_success_timestamp_seconds", Gauge, Agent, Kept, [],
        "When the configuration in force was loaded.";
    SELF_HEALTHY = "convex_monitor_self_healthy", Gauge, Agent, Kept, ["check"],
        "Whether the agent's own check is sound; absent where no peer needs it. While it is 0, polls that fail by it count against no peer.";
    TARGETS = "convex_monitor_targets", Gauge, Agent, Kept, ["network", "role"],
        "Peers that this agent polls.";
    SERIES = "convex_monitor_series", Gauge, Agent, Kept, [],
        "Series in this exposition.";
    INFLIGHT = "convex_monitor_inflight_polls", Gauge, Agent, Kept, [],
        "Polls under way.";
    SCHEDULE_DELAY = "convex_monitor_schedule_delay_seconds", Histogram, Agent, Kept, [],
        "From the time a poll was due to the time it began, waiting for a permit included.";
    MISSED_POLLS = "convex_monitor_missed_polls_total", Counter, Agent, Kept, [],
        "Polls that did not begin before the next one of the same peer was due.";
    NOTIFICATIONS = "convex_monitor_notifications_total", Counter, Agent, Kept, ["receiver"],
        "Requests with notifications to a receiver, failed ones included; one to an Alertmanager can tell of many alerts.";
    NOTIFICATION_FAILURES = "convex_monitor_notification_failures_total", Counter, Agent, Kept, ["receiver"],
        "Of these, those that were not delivered.";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, Agent, Kept, [],
        "Total user and system CPU time spent in seconds.";
    PROCESS_OPEN_FDS = "process_open_fds", Gauge, Agent, Kept, [],
        "Number of open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, Agent, Kept, [],
        "Maximum number of open file descriptors.";
    PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes", Gauge, Agent, Kept, [],
        "Virtual memory size in bytes.";
    PROCESS_RESIDENT_MEMORY = "process_resident_memory_bytes", Gauge, Agent, Kept, [],
        "Resident memory size in bytes.";
    PROCESS_START_TIME = "process_start_time_seconds", Gauge, Agent, Kept, [],
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS = "process_threads", Gauge, Agent, Kept, [],
        "Number of OS threads in the process.";
}

impl Kind {
    /// The word in the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Gauge => "gauge",
            Counter => "counter",
            Histogram => "histogram",
        }
    }
}

/// The metric reference as Markdown.
///
/// # Panics
/// Never: it only writes to memory.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Metric reference\n\n\
         Made by `convex-peer-monitor metrics-reference`; do not edit.\n\n\
         Every series of a peer carries `peer` and `network`. An unknown value is absent, never 0. A measurement disappears three\n\
         of the peer's intervals after it was last obtained. Coins are CVM, times are seconds since the epoch.\n\
         *lean* says what is left of a metric with `metrics.detail: lean`.\n",
    );
    for (group, title) in [
        (Poll, "Polls and verdicts"),
        (Probe, "Endpoints"),
        (Peer, "What a peer says"),
        (
            Stake,
            "What the chain says of a peer, as the majority tells it",
        ),
        (Network, "What the peers of a network say together"),
        (Sidecar, "What the host shows of a peer beside the agent"),
        (Custom, "The operator's own queries"),
        (Agent, "The agent itself"),
    ] {
        let mut row =
            |row: std::fmt::Arguments<'_>| text.write_fmt(row).expect("a String takes any text");
        row(format_args!(
            "\n## {title}\n\n| metric | type | labels | lean | meaning |\n|---|---|---|---|---|\n"
        ));
        for metric in ALL.iter().filter(|metric| metric.group == group) {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let lean = match metric.lean {
                Kept => "all",
                Reduced(what) => what,
                Left => "none",
            };
            row(format_args!(
                "| `{}` | {} | {} | {lean} | {} |\n",
                metric.name,
                metric.kind.as_str(),
                labels.join(", "),
                metric.help
            ));
        }
    }
    let mut row = |row: std::fmt::Arguments<'_>| {
        text.write_fmt(row).expect("a String takes any text");
    };
    row(format_args!(
        "\n## Reasons\n\nThe values of `reason`; each is also a `condition`, but for `monitor`. Those of TLS and HTTP \
         status are of `http` alone.\n\n| reason | meaning |\n|---|---|\n"
    ));
    for reason in Reason::ALL {
        row(format_args!("| `{reason}` | {} |\n", reason.meaning()));
    }
    row(format_args!(
        "\n## Conditions\n\nThe values of `condition` besides the reasons. A failing endpoint's reason is in force after \
         `down_after` failed polls, a disproven identity at once.\n\n| condition | meaning |\n|---|---|\n"
    ));
    for (condition, meaning) in Condition::BESIDES_REASONS {
        row(format_args!("| `{}` | {meaning} |\n", condition.as_str()));
    }
    row(format_args!(
        "\n## Checks\n\nThe values of `check`; what each of them says while it is 1.\n\n| check | meaning |\n|---|---|\n"
    ));
    for check in Check::ALL {
        row(format_args!(
            "| `{}` | {} |\n",
            check.as_str(),
            check.meaning()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let mut seen = HashSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Counter,
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
