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
        "web",
        "defaults",
        "verdicts",
        "networks",
        "peers",
        "limits",
        "metrics",
    ],
    later: &["state_dir", "self_check", "queries", "notify", "history"],
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

const LATER_VERDICTS: &[&str] = &[
    "stall_after",
    "lag_blocks",
    "lag_for",
    "clock_skew",
    "own_stake_margin_cvm",
    "controller_balance_cvm",
];

pub(super) const VERDICTS: Keys = Keys {
    at: "verdicts",
    known: &["certificate"],
    later: LATER_VERDICTS,
};

pub(super) const NETWORK: Keys = Keys {
    at: "networks[]",
    known: &["name", "genesis", "discovery", "verdicts"],
    later: &["stake_interval"],
};

pub(super) const NETWORK_VERDICTS: Keys = Keys {
    at: "networks[].verdicts",
    known: &["certificate"],
    later: LATER_VERDICTS,
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
        "verdicts",
        "interval",
        "timeout",
        "retries",
        "down_after",
        "up_after",
        "max_interval",
    ],
    later: &["expect_block_every", "maintenance", "sidecar"],
};

pub(super) const PEER_VERDICTS: Keys = Keys {
    at: "peers[].verdicts",
    known: &["certificate"],
    later: LATER_VERDICTS,
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
        PEER_VERDICTS,
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
