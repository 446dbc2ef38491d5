//! The table of all metrics: names, types, labels and meanings.

/// A metric.
#[derive(Debug)]
pub struct Definition {
    /// Full name.
    pub name: &'static str,
    /// Type in the exposition format.
    pub kind: Kind,
    /// HELP text: a sentence, with the unit where the name has none.
    pub help: &'static str,
    /// Label names, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// Section of the metric reference.
    pub group: Group,
    /// How much of it is written when `metrics.detail` is `lean`.
    pub lean: Lean,
}

/// Type in the exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows, except for resets.
    Counter,
    /// Buckets, a sum and a count.
    Histogram,
}

/// Section of the metric reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Polls and verdicts.
    Poll,
    /// Endpoints.
    Probe,
    /// Values that a peer reports.
    Peer,
    /// Values that a sidecar agent reads from the peer's host.
    Sidecar,
    /// Values that the registry of peers reports about a peer.
    Stake,
    /// Service levels of the operator's own peers.
    Service,
    /// Values of a network as a whole.
    Network,
    /// Transactions of the canary.
    Canary,
    /// Custom queries.
    Custom,
    /// The agent itself.
    Agent,
}

/// How much of a metric lean detail writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// All of it.
    Kept,
    /// The part that the text describes.
    Reduced(&'static str),
    /// None of it.
    Omitted,
}

use Group::{Agent, Canary, Custom, Network, Peer, Poll, Probe, Service, Sidecar, Stake};
use Kind::{Counter, Gauge, Histogram};
use Lean::{Kept, Omitted, Reduced};

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

        /// All metrics, in the order of the metric reference.
        pub const ALL: &[&Definition] = &[$(&$constant),*];
    };
}

catalogue! {
    PEER_UP = "convex_peer_up", Gauge, Poll, Kept, ["peer", "network"],
        "Whether the last poll was good: an endpoint answered the query and is not known to be another peer or on another network. Absent before the first poll, and if the poll failed because of the agent itself.";
    PEER_HEALTH = "convex_peer_health", Gauge, Poll, Kept, ["peer", "network", "state"],
        "Verdict over several polls: 1 for the current one of unknown, up, degraded and down, else 0.";
    PEER_CONDITION = "convex_peer_condition", Gauge, Poll, Kept, ["peer", "network", "condition"],
        "1 while the condition is active, else absent.";
    PEER_CONDITION_SINCE = "convex_peer_condition_since_timestamp_seconds", Gauge, Poll, Kept, ["peer", "network", "condition"],
        "When the agent first saw the problem that the condition reports; absent while it is not active.";
    PEER_MAINTENANCE = "convex_peer_maintenance", Gauge, Poll, Kept, ["peer", "network"],
        "1 during maintenance, else absent. Data is still collected, but alerts are not raised.";
    PEER_POLLS = "convex_peer_polls_total", Counter, Poll, Kept, ["peer", "network"],
        "Polls, except those that failed because of the agent itself.";
    PEER_POLL_FAILURES = "convex_peer_poll_failures_total", Counter, Poll, Kept, ["peer", "network"],
        "Polls that were not good (convex_peer_up 0).";
    PEER_TRANSITIONS = "convex_peer_health_transitions_total", Counter, Poll, Omitted, ["peer", "network", "state"],
        "Changes to this health state.";

    PROBE_ATTEMPTS = "convex_probe_attempts_total", Counter, Probe, Kept, ["peer", "network", "transport"],
        "Polls of the endpoint, without retries.";
    PROBE_FAILURES = "convex_probe_failures_total", Counter, Probe, Reduced("without `reason`"), ["peer", "network", "transport", "reason"],
        "Failed polls of the endpoint, by the reason of the last attempt.";
    PROBE_RETRIES = "convex_probe_retries_total", Counter, Probe, Omitted, ["peer", "network", "transport"],
        "Retries within polls.";
    PROBE_RECONNECTS = "convex_probe_reconnects_total", Counter, Probe, Omitted, ["peer", "network", "transport"],
        "Kept connections that were found dead and replaced.";
    PROBE_REPLACED = "convex_probe_connections_replaced_total", Counter, Probe, Omitted, ["peer", "network", "transport"],
        "Connections that the agent replaced because of their age, idleness or unanswered requests.";
    PROBE_IGNORED = "convex_probe_ignored_messages_total", Counter, Probe, Omitted, ["peer", "network", "transport"],
        "Messages that belong to no pending request: pushed messages, late replies and unknown ids.";
    PROBE_DURATION = "convex_probe_duration_seconds", Histogram, Probe, Reduced("one bucket, sum and count"), ["peer", "network", "transport"],
        "Time from the first byte of the request to the last byte of the answers of successful polls, without connecting.";
    NETWORK_DURATION = "convex_network_probe_duration_seconds", Histogram, Probe, Kept, ["network", "transport"],
        "As convex_probe_duration_seconds, over all peers of the network.";
    NETWORK_FAILURES = "convex_network_probe_failures_total", Counter, Probe, Kept, ["network", "transport", "reason"],
        "As convex_probe_failures_total, over all peers of the network.";
    PROBE_REQUEST_DURATION = "convex_probe_request_duration_seconds", Gauge, Probe, Omitted, ["peer", "network", "transport", "request"],
        "Time until the last status, ping or query was answered.";
    PROBE_PHASE_DURATION = "convex_probe_phase_duration_seconds", Gauge, Probe, Omitted, ["peer", "network", "transport", "phase"],
        "Duration of resolve, connect and tls in the last poll; absent if the connection was reused or the phase does not apply.";
    PROBE_LAST_ATTEMPT = "convex_probe_last_attempt_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network", "transport"],
        "When the last poll of the endpoint started.";
    PROBE_LAST_SUCCESS = "convex_probe_last_success_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network", "transport"],
        "When the last successful poll of the endpoint ended.";
    PROBE_CONSECUTIVE_FAILURES = "convex_probe_consecutive_failures", Gauge, Probe, Omitted, ["peer", "network", "transport"],
        "Failed polls of the endpoint since the last successful one.";
    PROBE_RESPONSE_BYTES = "convex_probe_response_bytes", Gauge, Probe, Omitted, ["peer", "network", "transport"],
        "Size of the answers to the last successful poll.";
    PROBE_TLS_NOT_AFTER = "convex_probe_tls_not_after_timestamp_seconds", Gauge, Probe, Kept, ["peer", "network"],
        "Expiry of the certificate that expires first in the chain of the HTTP endpoint, even if the handshake failed because of it.";

    PEER_INFO = "convex_peer_info", Gauge, Peer, Kept, ["peer", "network", "peer_key", "genesis", "api", "release", "role"],
        "Always 1; labels describe the peer and include those of the configuration. api is the oldest release with the peer's interface, release what the peer reports over HTTP, asked once an hour.";
    ENDPOINT_INFO = "convex_probe_endpoint_info", Gauge, Peer, Reduced("only peers with `role: own`"), ["peer", "network", "transport", "url"],
        "Always 1; the label has the URL of the endpoint.";
    IDENTITY_MATCH = "convex_peer_identity_match", Gauge, Peer, Omitted, ["peer", "network", "check"],
        "1 confirmed, 0 contradicted, absent unknown. genesis: as pinned. peer_key: as pinned or learned. key_proof: the peer signed a challenge with the key it claims (binary port, from release 0.8.3 on). advertised_url: that of the registry on chain. transports_agree: both endpoints are the same peer.";
    IDENTITY_CHANGES = "convex_peer_identity_changes_total", Counter, Peer, Omitted, ["peer", "network", "check"],
        "Changes of the genesis, the peer_key or the advertised_url on chain.";
    ORDER_BLOCKS = "convex_peer_order_blocks", Gauge, Peer, Omitted, ["peer", "network", "level"],
        "Blocks in the peer's order at each level.";
    ORDER_ADVANCE = "convex_peer_order_advance_timestamp_seconds", Gauge, Peer, Omitted, ["peer", "network", "level"],
        "When the level was last seen to grow between two polls; absent before that.";
    PENDING = "convex_peer_pending_blocks", Gauge, Peer, Omitted, ["peer", "network"],
        "Blocks in the peer's order that are not final.";
    STATE_BLOCK = "convex_peer_state_block", Gauge, Peer, Kept, ["peer", "network"],
        "Index of the last block in the peer's state; -1 before the first block.";
    STATE_TIMESTAMP = "convex_peer_state_timestamp_seconds", Gauge, Peer, Omitted, ["peer", "network"],
        "Time of the last block in the peer's state; does not advance on an idle network.";
    STATE_HASH_PREFIX = "convex_peer_state_hash_prefix", Gauge, Peer, Omitted, ["peer", "network"],
        "First 6 bytes of the state hash as an integer; equal on peers with equal states.";
    SUPPORTED_PROTOCOL = "convex_peer_supported_protocol_version", Gauge, Peer, Kept, ["peer", "network"],
        "Highest protocol version that the peer can execute, as it reports. 0 for releases before 0.8.7, which execute no upgrade, if the peer reports its release or has an interface from before 0.8.3. Absent if unknown.";
    LAG_BLOCKS = "convex_peer_lag_blocks", Gauge, Peer, Kept, ["peer", "network"],
        "Blocks between the peer's last final one and the head of the network at the time when the peer was asked; absent if no other peer of the network answers, or the head is unknown.";
    LAG_SECONDS = "convex_peer_lag_seconds", Gauge, Peer, Reduced("while `lagging` is active"), ["peer", "network"],
        "How long the oldest block that is not final at the peer had been final at the head when the peer was asked; 0 at the head; absent together with convex_peer_lag_blocks.";
    ORDER_STATE = "convex_peer_order_state", Gauge, Peer, Kept, ["peer", "network", "state"],
        "State of the peer's order: 1 for the current one of unknown, receding, stalled, advancing and idle, else 0.";
    STATE_DIVERGED = "convex_peer_state_diverged", Gauge, Peer, Kept, ["peer", "network"],
        "1 if peers with more than half of the registered stake have another state at the same block, until the states are seen equal; 0 if the state equals that of another peer; absent if nothing was compared recently or it is unknown which state is right.";
    STATE_COMPARED = "convex_peer_state_compared_timestamp_seconds", Gauge, Peer, Kept, ["peer", "network"],
        "When the peer and another peer last showed the same block; the earlier of the two times.";
    DIVERGENCE_FIRST_BLOCK = "convex_peer_divergence_first_block", Gauge, Peer, Omitted, ["peer", "network"],
        "Lowest block at which the states are known to differ.";
    FORK_FIRST_BLOCK = "convex_peer_fork_first_block", Gauge, Peer, Kept, ["peer", "network"],
        "Index of the first block at which the peer's history differs from that of the majority; absent while it does not.";
    HEARD_STAKE = "convex_peer_heard_stake_ratio", Gauge, Peer, Kept, ["peer", "network"],
        "Share of the other peers' registered stake whose newest orders the peer's belief holds, of the orders that it should hold. Absent if the belief was not read recently, the stake is unknown or no order can be judged.";
    BELIEF_READ = "convex_peer_belief_read_timestamp_seconds", Gauge, Peer, Kept, ["peer", "network"],
        "When the peer's belief was last read; absent before that.";
    BLOCKS_MADE = "convex_peer_blocks_made_total", Counter, Peer, Reduced("only peers with `role: own`"), ["peer", "network"],
        "Final blocks made by the peer that the agent has read since it started; absent while the peer's key is unknown or no blocks are read.";
    RESTARTS = "convex_peer_restarts_inferred_total", Counter, Peer, Kept, ["peer", "network"],
        "Inferred restarts: the peer's connection was dead or refused, then it answered again.";
    CLOCK_SKEW = "convex_peer_clock_skew_seconds", Gauge, Peer, Reduced("while `clock_skew` is active"), ["peer", "network"],
        "The peer's clock minus the agent's clock, measured with PING if the peer answers it, else with the HTTP Date header.";
    CLOCK_SKEW_UNCERTAINTY = "convex_peer_clock_skew_uncertainty_seconds", Gauge, Peer, Reduced("while `clock_skew` is active"), ["peer", "network"],
        "Uncertainty of the skew: half the round trip, plus half a second with the HTTP Date header.";
    ACCOUNTS = "convex_peer_accounts", Gauge, Peer, Omitted, ["peer", "network"],
        "Accounts in the peer's state.";
    MEMORY_POOL = "convex_peer_memory_pool_bytes", Gauge, Peer, Omitted, ["peer", "network"],
        "Memory for sale in the memory pool of the peer's state.";

    STAKE_OWN = "convex_stake_own_cvm", Gauge, Stake, Reduced("only peers with `role: own`"), ["peer", "network"],
        "The peer's own stake, including rewards.";
    STAKE_DELEGATED = "convex_stake_delegated_cvm", Gauge, Stake, Reduced("only peers with `role: own`"), ["peer", "network"],
        "Stake that others delegated to the peer, including rewards.";
    STAKE_DECAY = "convex_stake_decay_ratio", Gauge, Stake, Omitted, ["peer", "network"],
        "Fraction of the peer's stake that counts, 0.001 to 1; it falls while the peer makes no blocks and others do.";
    STAKE_WEIGHT = "convex_stake_weight_ratio", Gauge, Stake, Omitted, ["peer", "network"],
        "The peer's fraction of the network's consensus weight; absent if the total is unknown.";
    STAKE_EVICTION_MARGIN = "convex_stake_eviction_margin_cvm", Gauge, Stake, Reduced("while `own_stake_low` is active"), ["peer", "network"],
        "Own stake above the eviction limit of 1000 CVM. Below it other peers ignore the peer, and anyone may evict it.";
    LAST_BLOCK = "convex_peer_last_block_timestamp_seconds", Gauge, Stake, Omitted, ["peer", "network"],
        "Time of the peer's last block in the order; absent before its first block.";
    EXPECTED_BLOCK_INTERVAL = "convex_peer_expected_block_interval_seconds", Gauge, Stake, Omitted, ["peer", "network"],
        "The configured expect_block_every of the peer; absent without it.";
    CONTROLLER_BALANCE = "convex_controller_balance_cvm", Gauge, Stake, Kept, ["network", "controller"],
        "Balance of an account that controls watched peers.";

    NETWORK_ORDER_STATE = "convex_network_order_state", Gauge, Network, Kept, ["network", "state"],
        "State of the network's order: 1 for the current one of unknown, receding, stalled, advancing and idle, else 0.";
    NETWORK_FINALITY_ADVANCE = "convex_network_finality_advance_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "When finality was last seen to advance on any watched peer.";
    NETWORK_HEAD_BLOCK = "convex_network_head_block", Gauge, Network, Kept, ["network"],
        "Index of the highest block that is final for more than a third of the registered stake, or of the configured peers' stake if less than a third is heard; absent while the stake is unknown.";
    NETWORK_HEAD_TIMESTAMP = "convex_network_head_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "Time of the last block in the majority's newest state.";
    NETWORK_PEERS = "convex_network_peers", Gauge, Network, Kept, ["network", "state", "role"],
        "Watched peers by health and role.";
    NETWORK_REGISTERED = "convex_network_peers_registered", Gauge, Network, Kept, ["network"],
        "Peers registered on chain.";
    NETWORK_GROUPS = "convex_network_state_groups", Gauge, Network, Kept, ["network"],
        "Number of different states at one block among peers with a vote; 1 if all compared ones agree; absent if nothing was compared recently.";
    NETWORK_REACHED_STAKE = "convex_network_reached_stake_ratio", Gauge, Network, Kept, ["network"],
        "Share of the registered stake whose peers this agent has reached with a good poll within two intervals; absent while the stake is unknown. Of several agents, trust the one with the highest value.";
    NETWORK_COMPARED_STAKE = "convex_network_compared_stake_ratio", Gauge, Network, Kept, ["network"],
        "Share of the registered stake whose peers recently showed the same block as another peer; absent while the stake is unknown.";
    NETWORK_COMPARED_PEERS = "convex_network_compared_peers", Gauge, Network, Kept, ["network"],
        "Watched peers that recently showed the same block as another peer.";
    NETWORK_NOTHING_COMPARED = "convex_network_nothing_compared", Gauge, Network, Kept, ["network"],
        "1 if blocks are made and several peers answer, but no two showed the same block for ten intervals, else 0.";
    NETWORK_SPLIT = "convex_network_split", Gauge, Network, Kept, ["network"],
        "1 if no state has more than half of the registered stake and peers with at least half of it have other states than others, or if the orders have several histories and none has more than half; 0 if one state has; absent while neither is known.";
    NETWORK_RESET = "convex_network_reset", Gauge, Network, Kept, ["network"],
        "1 if all polled peers (two, or the only one) report, in two polls in a row, one genesis hash that is not the network's: the pinned one, or else the one that all reported before for an hour. 0 while a peer reports the network's; absent while neither is known.";
    NETWORK_HISTORIES = "convex_network_histories", Gauge, Network, Kept, ["network"],
        "Number of different histories of blocks among the signed orders of registered peers; 1 if all compared ones agree; absent if none were compared recently.";
    NETWORK_LEVEL_STAKE = "convex_network_level_stake_ratio", Gauge, Network, Kept, ["network", "level"],
        "Share of the registered stake whose signed orders have the first block after the head at this level, or the head if there is no later block. Absent while the stake is unknown or no orders are read.";
    NETWORK_PENDING_AGE = "convex_network_pending_age_seconds", Gauge, Network, Kept, ["network"],
        "Age of the oldest block that is not final, by its maker's clock, when it was read; 0 if all blocks are final. Negative if it is dated ahead of this host's clock: peers do not confirm it before that time.";
    NETWORK_TRANSACTION_RATE = "convex_network_transactions_per_second", Gauge, Network, Kept, ["network", "source"],
        "Transactions per second over the last five minutes or two reads. By `orders`: in final blocks. By `sequences`: from the sequence numbers of all accounts, where not all blocks are read. Absent if neither is known, as above 50,000 accounts.";
    NETWORK_FINALITY_TIME = "convex_network_finality_seconds", Gauge, Network, Kept, ["network"],
        "Time from the date of a block until it was final at its maker, by the maker's clock, of the last block whose maker's order shows it. Absent before that, and if no orders are read.";
    NETWORK_TRANSACTIONS = "convex_network_transactions_total", Counter, Network, Kept, ["network"],
        "Transactions in the final blocks that the agent has read since it started.";
    NETWORK_UNREAD_BLOCKS = "convex_network_unread_blocks_total", Counter, Network, Kept, ["network"],
        "Final blocks that the agent did not read, because they are made faster than it reads; missing from the counters of blocks and transactions.";
    NETWORK_STAKE_RATIO = "convex_network_stake_ratio", Gauge, Network, Kept, ["network", "standing"],
        "The network's weight by the standing of its peers: majority, minority, down or unobserved; the sum is 1.";
    NETWORK_QUORUM_MARGIN = "convex_network_quorum_margin_ratio", Gauge, Network, Kept, ["network"],
        "1 - minority - down - 0.67: the weight above the consensus threshold without the peers known to be missing.";
    NETWORK_MAINTENANCE_STAKE = "convex_network_maintenance_stake_ratio", Gauge, Network, Kept, ["network"],
        "The part of the weight with standing `down` whose peers are in maintenance; absent while the stake is unknown.";
    NETWORK_LOSABLE = "convex_network_losable_peers", Gauge, Network, Kept, ["network", "case"],
        "How many of the heaviest peers can be lost before the margin becomes negative. case: worst if all unobserved stake is already lost, best if it is there.";
    NETWORK_STAKE = "convex_network_stake_cvm", Gauge, Network, Kept, ["network"],
        "Stake of all registered peers, including rewards.";
    NETWORK_STAKE_TIMESTAMP = "convex_network_stake_timestamp_seconds", Gauge, Network, Kept, ["network"],
        "When the registry of peers was last read.";
    NETWORK_QUERY_ERROR = "convex_network_query_error", Gauge, Network, Kept, ["network"],
        "Whether the last query of the registry failed; absent before the first one.";
    NETWORK_PROTOCOL = "convex_network_protocol_version", Gauge, Network, Kept, ["network"],
        "Version of the protocol (number of applied upgrades) in the newest state that two peers confirm, or that of the only watched peer; absent otherwise.";
    NETWORK_UPGRADE_ACTIVATION = "convex_network_upgrade_activation_timestamp_seconds", Gauge, Network, Kept, ["network", "version"],
        "When a scheduled version of the protocol takes effect: with the first block of that time or later. The next 16 that are not applied.";
    NETWORK_UPGRADE_STAKE = "convex_network_upgrade_stake_ratio", Gauge, Network, Kept, ["network", "version", "readiness"],
        "The network's weight by whether its peers say they can execute a scheduled version: ready, unable or unknown; the sum is 1. Absent while the stake is unknown.";
    NETWORK_UPGRADE_FAILED = "convex_network_upgrade_failed", Gauge, Network, Kept, ["network"],
        "1 if the time of a scheduled upgrade has come and peers with more than half of the stake that can execute it do not progress either, else 0; absent while the protocol version is unknown.";
    NETWORK_ACCOUNTS = "convex_network_accounts", Gauge, Network, Kept, ["network"],
        "Accounts in the majority's newest state.";
    NETWORK_COIN_SUPPLY = "convex_network_coin_supply_cvm", Gauge, Network, Kept, ["network"],
        "Coins in existence.";
    NETWORK_FEES_POOL = "convex_network_fees_pool_cvm", Gauge, Network, Kept, ["network"],
        "Fees that are not distributed yet.";
    NETWORK_JUICE_PRICE = "convex_network_copper_per_juice", Gauge, Network, Kept, ["network"],
        "Price of a unit of juice.";
    NETWORK_MEMORY_POOL = "convex_network_memory_pool_bytes", Gauge, Network, Kept, ["network"],
        "Memory for sale in the memory pool.";
    NETWORK_MEMORY_PRICE = "convex_network_copper_per_memory_byte", Gauge, Network, Kept, ["network"],
        "Price of a byte of memory.";

    SERVICE_SECONDS = "convex_service_seconds_total", Counter, Service, Kept, ["network", "service"],
        "Time during which it was known whether at least slo.serving_min of your own peers of the service are up. Peers that are unknown or in maintenance count neither way; time during which the result depends on them is not counted.";
    SERVICE_BAD_SECONDS = "convex_service_bad_seconds_total", Counter, Service, Kept, ["network", "service"],
        "The part of convex_service_seconds_total in which too few peers were up.";
    SERVICE_OBJECTIVE = "convex_service_objective_ratio", Gauge, Service, Kept, ["network", "service"],
        "Share of the time in which the service must be up (slo.objective).";
    SERVICE_WINDOW = "convex_service_window_seconds", Gauge, Service, Kept, ["network", "service"],
        "Period over which the objective must be met (slo.window).";
    PEER_SERVICE_INFO = "convex_peer_service_info", Gauge, Service, Kept, ["peer", "network", "service"],
        "Always 1; the label has the service that the own peer belongs to.";

    PROCESS_UP = "convex_peer_process_up", Gauge, Sidecar, Kept, ["peer", "network"],
        "Whether the peer's process is running; absent if that is unknown.";
    RESIDENT_MEMORY = "convex_peer_process_resident_memory_bytes", Gauge, Sidecar, Omitted, ["peer", "network"],
        "Resident memory of the peer's process, including mapped pages of its store, which grow by design.";
    ANONYMOUS_MEMORY = "convex_peer_process_anonymous_memory_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "The part of resident memory that the kernel cannot write back to files: heap, stacks and buffers, including shared memory.";
    MEMORY_LIMIT = "convex_peer_process_memory_limit_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "The lowest memory limit of the process's cgroups, else the memory of the host.";
    CPU_SECONDS = "convex_peer_process_cpu_seconds_total", Counter, Sidecar, Omitted, ["peer", "network"],
        "User and system CPU time of the peer's process; starts again at 0 with a new process.";
    OPEN_FDS = "convex_peer_process_open_fds", Gauge, Sidecar, Omitted, ["peer", "network"],
        "Open file descriptors of the peer's process; absent if this agent may not read them.";
    MAX_FDS = "convex_peer_process_max_fds", Gauge, Sidecar, Omitted, ["peer", "network"],
        "File descriptor limit of the peer's process.";
    THREADS = "convex_peer_process_threads", Gauge, Sidecar, Omitted, ["peer", "network"],
        "Threads of the peer's process.";
    START_TIME = "convex_peer_process_start_time_seconds", Gauge, Sidecar, Kept, ["peer", "network"],
        "When the peer's process started.";
    OOM_KILLS = "convex_peer_process_oom_kills_total", Counter, Sidecar, Omitted, ["peer", "network"],
        "Processes in the peer's cgroup killed by the OOM killer; absent if the cgroup does not count them.";
    CONNECTIONS = "convex_peer_connections", Gauge, Sidecar, Omitted, ["peer", "network", "port"],
        "Established connections by listening port of the peer's process; absent if this agent may not read its sockets.";
    JVM_HEAP_USED = "convex_peer_jvm_heap_used_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "Used heap of the peer's JVM, including garbage; absent if the JVM writes no performance counters or this agent may not read them.";
    JVM_HEAP_CAPACITY = "convex_peer_jvm_heap_capacity_bytes", Gauge, Sidecar, Omitted, ["peer", "network"],
        "Heap that the peer's JVM has reserved from the system.";
    JVM_HEAP_MAX = "convex_peer_jvm_heap_max_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "Maximum heap of the peer's JVM.";
    JVM_COLLECTIONS = "convex_peer_jvm_gc_collections_total", Counter, Sidecar, Kept, ["peer", "network", "collector"],
        "Garbage collections of the peer's JVM; starts again at 0 with a new process.";
    JVM_PAUSES = "convex_peer_jvm_gc_pause_seconds_total", Counter, Sidecar, Omitted, ["peer", "network", "collector"],
        "Time during which garbage collections stopped the peer; starts again at 0 with a new process.";
    STORE_BYTES = "convex_peer_store_bytes", Gauge, Sidecar, Omitted, ["peer", "network"],
        "Disk space that the store's file occupies, without holes.";
    STORE_AVAILABLE = "convex_peer_store_filesystem_available_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "Free space of the store's file system for an unprivileged user.";
    STORE_SIZE = "convex_peer_store_filesystem_size_bytes", Gauge, Sidecar, Kept, ["peer", "network"],
        "Size of the store's file system.";

    CANARY_DURATION = "convex_canary_duration_seconds", Gauge, Canary, Kept, ["peer", "network", "stage"],
        "Duration of the last transaction through the peer, from sending: until the peer answered with the result (result), and until another peer had executed it (seen; absent without another peer). Absent if it failed or is older than three rounds.";
    CANARY_EXECUTED = "convex_canary_executed_total", Counter, Canary, Kept, ["peer", "network"],
        "Executed transactions through the peer.";
    CANARY_FAILURES = "convex_canary_failures_total", Counter, Canary, Kept, ["peer", "network", "reason"],
        "Transactions through the peer that were not executed, by reason.";
    CANARY_FAILED_ROUNDS = "convex_canary_failed_rounds", Gauge, Canary, Kept, ["peer", "network"],
        "Consecutive rounds in which no transaction through the peer was executed because of the peer or its network. Skipped rounds, and failures because of the account, change nothing. Kept across restarts.";
    CANARY_FAILING_SINCE = "convex_canary_failing_since_timestamp_seconds", Gauge, Canary, Kept, ["peer", "network"],
        "When the first of these rounds was; absent if there is none.";
    CANARY_SKIPPED = "convex_canary_skipped_total", Counter, Canary, Kept, ["network", "reason"],
        "Due transactions that were not sent, by reason.";
    CANARY_RESULT_P90 = "convex_canary_result_p90_seconds", Gauge, Canary, Kept, ["network"],
        "Time within which 90 % of the results of the last six hours arrived; absent with fewer than ten.";
    CANARY_OBJECTIVE = "convex_canary_objective_seconds", Gauge, Canary, Kept, ["network"],
        "The configured objective for convex_canary_result_p90_seconds.";
    CANARY_SPENT = "convex_canary_spent_cvm_total", Counter, Canary, Kept, ["network"],
        "Coins spent on transactions, from changes of the balance on chain; kept across restarts.";
    CANARY_SPENT_TODAY = "convex_canary_spent_today_cvm", Gauge, Canary, Kept, ["network"],
        "Coins spent since midnight UTC.";
    CANARY_BUDGET = "convex_canary_daily_budget_cvm", Gauge, Canary, Kept, ["network"],
        "The configured daily budget.";
    CANARY_BALANCE = "convex_canary_balance_cvm", Gauge, Canary, Kept, ["network"],
        "Balance of the account when it was last read.";
    CANARY_FUNDS_LAST = "convex_canary_funds_seconds", Gauge, Canary, Kept, ["network"],
        "How long the balance lasts at the cost of the last transaction.";
    CANARY_PROBLEM = "convex_canary_problem", Gauge, Canary, Kept, ["network", "problem"],
        "1 while something is wrong with the account or its coins, else absent. All problems except low_balance stop the canary; budget_spent does so until midnight UTC.";

    QUERY_VALUE = "convex_query_value", Gauge, Custom, Kept, ["network", "query"],
        "Result of a custom query.";
    QUERY_SUCCESS = "convex_query_success", Gauge, Custom, Kept, ["network", "query"],
        "Whether the last run of the query returned a number.";
    QUERY_LAST_SUCCESS = "convex_query_last_success_timestamp_seconds", Gauge, Custom, Kept, ["network", "query"],
        "When the query last returned a number.";

    BUILD_INFO = "convex_monitor_build_info", Gauge, Agent, Kept, ["version"],
        "Always 1; the label has the version of the agent.";
    MONITOR_INFO = "convex_monitor_info", Gauge, Agent, Kept, ["vantage", "mode", "url"],
        "Always 1; the labels have the agent's name, its mode, and external_url without a slash at the end.";
    SHARD = "convex_monitor_shard", Gauge, Agent, Kept, [],
        "The shard of the fleet that this agent polls, from 1.";
    SHARDS = "convex_monitor_shards", Gauge, Agent, Kept, [],
        "Number of shards of the fleet.";
    RELOAD_SUCCESSFUL = "convex_monitor_config_last_reload_successful", Gauge, Agent, Kept, [],
        "Whether the last reload of the configuration succeeded; otherwise the previous configuration stays active.";
    RELOAD_SUCCESS = "convex_monitor_config_last_reload_success_timestamp_seconds", Gauge, Agent, Kept, [],
        "When the active configuration was loaded.";
    SELF_HEALTHY = "convex_monitor_self_healthy", Gauge, Agent, Kept, ["check"],
        "Whether this self-check of the agent passes; absent if no peer needs it. While it is 0, polls that fail because of it do not count against a peer.";
    CLOCK_DISPUTE = "convex_monitor_clock_skew_seconds", Gauge, Agent, Kept, ["verdict"],
        "The agent's clock minus that of most peers, present only while at least two thirds of three or more peers differ by the same within 1 s; no peer then has `clock_skew`. `verdict` is `agent_wrong` if this host's clock is not synchronised or a receiver of notifications agrees with the peers, else `disputed`.";
    VANTAGE_UP = "convex_monitor_vantage_up", Gauge, Agent, Kept, ["other_vantage"],
        "Whether the opinion of this other agent counts: 1 if one arrived within the last 12 seconds, else 0.";
    VANTAGE_OPINION = "convex_monitor_vantage_opinion_timestamp_seconds", Gauge, Agent, Kept, ["other_vantage"],
        "When the last opinion received from this other agent was requested; absent before the first one.";
    ALERT_ACKNOWLEDGED = "convex_alert_acknowledged", Gauge, Agent, Kept, ["alertname", "severity", "peer", "network", "service"],
        "1 for each firing alert of the agent that an operator has acknowledged, here or at another agent, else absent. Labels that do not apply to the alert are empty.";
    TARGETS = "convex_monitor_targets", Gauge, Agent, Kept, ["network", "role"],
        "Peers that this agent polls.";
    SERIES = "convex_monitor_series", Gauge, Agent, Kept, [],
        "Series in this exposition.";
    INFLIGHT = "convex_monitor_inflight_polls", Gauge, Agent, Kept, [],
        "Polls in progress.";
    SCHEDULE_DELAY = "convex_monitor_schedule_delay_seconds", Histogram, Agent, Kept, [],
        "Delay between the time a poll was due and its start, including the wait for a free slot.";
    MISSED_POLLS = "convex_monitor_missed_polls_total", Counter, Agent, Kept, [],
        "Polls that did not start before the peer's next one was due.";
    LOG_LINES_DROPPED = "convex_monitor_log_lines_dropped_total", Counter, Agent, Kept, [],
        "Log lines that could not be written, or were dropped because too many were waiting.";
    POLL_CAPACITY = "convex_monitor_poll_capacity_ratio", Gauge, Agent, Kept, ["limit"],
        "Concurrent polls if every poll takes its full timeout, relative to this limit: max_inflight counts all peers, per_host_inflight those of the busiest host. Above 1, polls can be missed.";
    POLL_WAITS = "convex_monitor_poll_waits_total", Counter, Agent, Kept, ["limit"],
        "Polls and queries that had to wait because of this limit.";
    NOTIFICATIONS = "convex_monitor_notifications_total", Counter, Agent, Kept, ["receiver"],
        "Notification requests to the receiver, including failed ones; one request to an Alertmanager can have many alerts.";
    NOTIFICATION_FAILURES = "convex_monitor_notification_failures_total", Counter, Agent, Kept, ["receiver"],
        "Failed notification requests to the receiver.";
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
    /// Returns the word in the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Gauge => "gauge",
            Counter => "counter",
            Histogram => "histogram",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_naming_conventions() {
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
