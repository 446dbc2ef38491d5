//! The table of all kinds of faults.

/// Every kind as it is written, with a description of what the peer does.
pub const FAULT_KINDS: &[(&str, &str)] = &[
    (
        "stall",
        "the order grows by one block every 8 s, and none of it becomes final",
    ),
    (
        "fork[=BLOCK]",
        "states differ from this block on (default: from the next block on), and blocks go on",
    ),
    (
        "minority-fork[=BLOCK]",
        "stands at this block (default: the next one) with another state; nothing more becomes final",
    ),
    (
        "frozen",
        "executes no more blocks, votes no more and makes none, as a peer that lacks an upgrade which is due",
    ),
    (
        "isolate",
        "hears only the other peers of this fault, is heard only by them, and learns of no more blocks",
    ),
    (
        "unheard",
        "hears all peers, but none of them hears its newer orders",
    ),
    (
        "duplicate-key",
        "has the key of the first of these peers, and signs orders that the others of them never hold",
    ),
    (
        "ahead=DURATION",
        "its blocks are dated this far ahead of the clock, and nothing becomes final before that time",
    ),
    (
        "late=DURATION",
        "learns of each block this much later, so that it shows others at no time",
    ),
    (
        "lag=BLOCKS",
        "order and state are this many blocks behind the network",
    ),
    (
        "recede=BLOCKS",
        "order and state fall back by this many blocks and stay there",
    ),
    (
        "restart=BLOCKS",
        "starts again from this many blocks ago and catches up, 10 blocks a second",
    ),
    (
        "claim=BLOCK",
        "claims to be at this block, such as 4611686018427387904",
    ),
    (
        "skew=[-]DURATION",
        "the clock is ahead by this much, or behind with a minus sign",
    ),
    ("wrong-genesis", "belongs to another network"),
    ("wrong-key", "answers with another peer key"),
    (
        "tarpit",
        "accepts connections and reads requests, but never answers",
    ),
    ("slow=DURATION", "each answer takes this much longer"),
    ("garbage", "answers with bytes that are not a cell"),
    ("huge-frame", "announces a reply of 50 MB"),
    (
        "half-reply",
        "closes the connection in the middle of a reply",
    ),
    ("refuse", "does not listen, and closes open connections"),
    ("reset", "accepts connections and resets them"),
    ("old-api", "behaves like release 0.8.0"),
    (
        "new-api",
        "behaves like release 0.8.17: STATUS has the position of the state",
    ),
    (
        "map-status",
        "sends its binary status as a map, as planned for 0.9",
    ),
    (
        "low-stake",
        "has an own stake of 500 CVM, below the minimum",
    ),
    ("stake=CVM", "has this own stake, such as 0.01"),
    (
        "unregistered",
        "leaves the registry, as if evicted, and answers as before",
    ),
    (
        "silent-stake",
        "has made no block for an hour of network time",
    ),
    ("half-dead", "answers STATUS but no queries"),
    ("http-500", "answers every HTTP request with status 500"),
    (
        "query-error=CODE",
        "answers every query with this error code",
    ),
    (
        "busy",
        "answers STATUS, and every query with :LOAD, as a peer under lasting load",
    ),
    ("tx-hang", "executes transactions and never answers them"),
    (
        "tx-lose",
        "accepts transactions, and neither executes nor answers them",
    ),
    (
        "tx-error=CODE",
        "refuses every transaction with this error code, such as LOAD",
    ),
    (
        "upgrade=AT",
        "an upgrade of the protocol is scheduled for this time; these peers can execute it, and the \
         others withdraw their stake before it and freeze",
    ),
];

/// Lists how all kinds are written, on one line.
pub(super) fn list_kinds() -> String {
    let kinds: Vec<_> = FAULT_KINDS.iter().map(|(kind, _)| *kind).collect();
    kinds.join(", ")
}
