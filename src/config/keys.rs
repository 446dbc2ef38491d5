//! Which keys a configuration can have, mapping by mapping: those in use, and those whose feature comes later.

/// The keys of one mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Where the mapping stands, list positions left out; empty for the file itself.
    at: &'static str,
    pub(super) known: &'static [&'static str],
    /// Refused as not yet supported: silence would let an operator believe in them.
    pub(super) later: &'static [&'static str],
}

pub(super) const FILE: Keys = Keys {
    at: "",
    known: &[
        "listen",
        "external_url",
        "vantage",
        "mode",
        "state_dir",
        "web",
        "defaults",
        "verdicts",
        "self_check",
        "networks",
        "peers",
        "queries",
        "notify",
        "history",
        "limits",
        "metrics",
    ],
    later: &[],
};

pub(super) const WEB: Keys = Keys {
    at: "web",
    known: &[],
    later: &["config_file"],
};

pub(super) const DEFAULTS: Keys = Keys {
    at: "defaults",
    known: &[
        "interval",
        "timeout",
        "retries",
        "down_after",
        "up_after",
        "max_interval",
    ],
    later: &[],
};

const THRESHOLDS: &[&str] = &[
    "stall_after",
    "lag_blocks",
    "lag_for",
    "clock_skew",
    "certificate",
    "own_stake_margin_cvm",
    "controller_balance_cvm",
];

pub(super) const VERDICTS: Keys = Keys {
    at: "verdicts",
    known: THRESHOLDS,
    later: &[],
};

pub(super) const NETWORK: Keys = Keys {
    at: "networks[]",
    known: &["name", "genesis", "discovery", "stake_interval", "verdicts"],
    later: &[],
};

pub(super) const NETWORK_VERDICTS: Keys = Keys {
    at: "networks[].verdicts",
    known: THRESHOLDS,
    later: &[],
};

pub(super) const DISCOVERY: Keys = Keys {
    at: "networks[].discovery",
    known: &[
        "enabled",
        "interval",
        "max_peers",
        "allow_private",
        "http_port",
    ],
    later: &[],
};

pub(super) const PEER: Keys = Keys {
    at: "peers[]",
    known: &[
        "name",
        "network",
        "role",
        "endpoints",
        "key",
        "labels",
        "headers",
        "headers_file",
        "bearer_token",
        "bearer_token_file",
        "ca_file",
        "server_name",
        "proxy",
        "account",
        "expect_block_every",
        "maintenance",
        "verdicts",
        "interval",
        "timeout",
        "retries",
        "down_after",
        "up_after",
        "max_interval",
        "sidecar",
    ],
    later: &[],
};

pub(super) const SIDECAR: Keys = Keys {
    at: "peers[].sidecar",
    known: &["pid_file", "command_contains", "store"],
    later: &[],
};

pub(super) const WINDOW: Keys = Keys {
    at: "peers[].maintenance[]",
    known: &["from", "to", "comment"],
    later: &[],
};

pub(super) const PEER_VERDICTS: Keys = Keys {
    at: "peers[].verdicts",
    known: THRESHOLDS,
    later: &[],
};

pub(super) const SELF_CHECK: Keys = Keys {
    at: "self_check",
    known: &["references", "dns_name"],
    later: &[],
};

pub(super) const QUERY: Keys = Keys {
    at: "queries[]",
    known: &["name", "source", "help", "networks", "interval"],
    later: &[],
};

pub(super) const NOTIFY: Keys = Keys {
    at: "notify",
    known: &["labels", "alertmanagers", "webhooks", "heartbeat"],
    later: &[],
};

pub(super) const ALERTMANAGER: Keys = Keys {
    at: "notify.alertmanagers[]",
    known: &[
        "name",
        "url",
        "url_file",
        "headers",
        "headers_file",
        "bearer_token",
        "bearer_token_file",
        "basic_auth",
        "ca_file",
        "proxy",
    ],
    later: &[],
};

pub(super) const WEBHOOK: Keys = Keys {
    at: "notify.webhooks[]",
    known: &[
        "name",
        "url",
        "url_file",
        "headers",
        "headers_file",
        "bearer_token",
        "bearer_token_file",
        "basic_auth",
        "ca_file",
        "proxy",
        "send_resolved",
        "min_severity",
    ],
    later: &[],
};

pub(super) const HEARTBEAT: Keys = Keys {
    at: "notify.heartbeat",
    known: &[
        "url",
        "url_file",
        "headers",
        "headers_file",
        "bearer_token",
        "bearer_token_file",
        "basic_auth",
        "ca_file",
        "proxy",
        "interval",
    ],
    later: &[],
};

/// The same wherever it stands.
pub(super) const BASIC_AUTH: Keys = Keys {
    at: "notify.*.basic_auth",
    known: &["username", "password", "password_file"],
    later: &[],
};

pub(super) const HISTORY: Keys = Keys {
    at: "history",
    known: &["max_bytes"],
    later: &[],
};

pub(super) const LIMITS: Keys = Keys {
    at: "limits",
    known: &["max_inflight", "max_response_bytes", "per_host_inflight"],
    later: &[],
};

pub(super) const METRICS: Keys = Keys {
    at: "metrics",
    known: &["detail"],
    later: &[],
};

/// Every key a configuration can have, as `peers[].interval`, with whether this version supports it.
pub fn keys() -> impl Iterator<Item = (String, bool)> {
    [
        FILE,
        WEB,
        DEFAULTS,
        VERDICTS,
        NETWORK,
        DISCOVERY,
        NETWORK_VERDICTS,
        PEER,
        SIDECAR,
        WINDOW,
        PEER_VERDICTS,
        SELF_CHECK,
        QUERY,
        NOTIFY,
        ALERTMANAGER,
        WEBHOOK,
        HEARTBEAT,
        BASIC_AUTH,
        HISTORY,
        LIMITS,
        METRICS,
    ]
    .into_iter()
    .flat_map(|Keys { at, known, later }| {
        let path = move |key: &&str| {
            if at.is_empty() {
                (*key).to_owned()
            } else {
                format!("{at}.{key}")
            }
        };
        let known = known.iter().map(move |key| (path(key), true));
        known.chain(later.iter().map(move |key| (path(key), false)))
    })
}

/// The one of `allowed` that `given` is most likely a misspelling of.
pub(super) fn nearest<'a>(
    given: &str,
    allowed: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    allowed
        .into_iter()
        .map(|key| (strsim::damerau_levenshtein(given, key), key))
        .filter(|(distance, key)| *distance <= key.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}
