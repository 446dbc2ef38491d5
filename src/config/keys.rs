//! Which keys a configuration can have, mapping by mapping.

/// The keys of one mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Where the mapping stands, list positions left out; empty for the file itself.
    at: &'static str,
    known: &'static [&'static str],
    /// Those that other mappings have as well.
    shared: &'static [&'static str],
}

impl Keys {
    /// Those that can be given.
    pub(super) fn allowed(&self) -> impl Iterator<Item = &'static str> {
        self.known.iter().chain(self.shared).copied()
    }

    /// Whether `key` can be given.
    pub(super) fn allow(&self, key: &str) -> bool {
        self.allowed().any(|allowed| allowed == key)
    }
}

const fn keys_of(at: &'static str, known: &'static [&'static str]) -> Keys {
    Keys {
        at,
        known,
        shared: &[],
    }
}

pub(super) const FILE: Keys = keys_of(
    "",
    &[
        "listen",
        "external_url",
        "vantage",
        "mode",
        "state_dir",
        "web",
        "defaults",
        "references",
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
);

pub(super) const WEB: Keys = keys_of("web", &["config_file"]);

/// Of the file that `web.config_file` names, which is Prometheus' own format.
pub(super) const WEB_FILE: Keys = keys_of(
    "",
    &[
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
    ],
);

pub(super) const TLS_SERVER: Keys = keys_of(
    "tls_server_config",
    &[
        "cert_file",
        "key_file",
        "client_auth_type",
        "client_ca_file",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    ],
);

pub(super) const HTTP_SERVER: Keys = keys_of("http_server_config", &["http2", "headers"]);

const RHYTHM: &[&str] = &[
    "interval",
    "timeout",
    "retries",
    "down_after",
    "up_after",
    "max_interval",
];

pub(super) const DEFAULTS: Keys = keys_of("defaults", RHYTHM);

pub(super) const REFERENCES: Keys = keys_of("references", RHYTHM);

const THRESHOLDS: &[&str] = &[
    "stall_after",
    "lag_blocks",
    "lag_for",
    "clock_skew",
    "certificate",
    "own_stake_margin_cvm",
    "controller_balance_cvm",
];

pub(super) const VERDICTS: Keys = keys_of("verdicts", THRESHOLDS);

pub(super) const NETWORK: Keys = keys_of(
    "networks[]",
    &["name", "genesis", "discovery", "stake_interval", "verdicts"],
);

pub(super) const NETWORK_VERDICTS: Keys = keys_of("networks[].verdicts", THRESHOLDS);

pub(super) const DISCOVERY: Keys = keys_of(
    "networks[].discovery",
    &[
        "enabled",
        "interval",
        "max_peers",
        "allow_private",
        "http_port",
    ],
);

pub(super) const PEER: Keys = keys_of(
    "peers[]",
    &[
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
);

pub(super) const SIDECAR: Keys = keys_of(
    "peers[].sidecar",
    &["pid_file", "command_contains", "store"],
);

pub(super) const WINDOW: Keys = keys_of("peers[].maintenance[]", &["from", "to", "comment"]);

pub(super) const PEER_VERDICTS: Keys = keys_of("peers[].verdicts", THRESHOLDS);

pub(super) const SELF_CHECK: Keys = keys_of("self_check", &["references", "dns_name"]);

pub(super) const QUERY: Keys = keys_of(
    "queries[]",
    &["name", "source", "help", "networks", "interval"],
);

/// Where requests go and what they carry.
const TARGET: &[&str] = &[
    "url",
    "url_file",
    "headers",
    "headers_file",
    "bearer_token",
    "bearer_token_file",
    "basic_auth",
    "ca_file",
    "proxy",
];

pub(super) const NOTIFY: Keys = keys_of(
    "notify",
    &["labels", "alertmanagers", "webhooks", "heartbeat"],
);

pub(super) const ALERTMANAGER: Keys = Keys {
    shared: TARGET,
    ..keys_of("notify.alertmanagers[]", &["name"])
};

pub(super) const WEBHOOK: Keys = Keys {
    shared: TARGET,
    ..keys_of(
        "notify.webhooks[]",
        &["name", "send_resolved", "min_severity"],
    )
};

pub(super) const HEARTBEAT: Keys = Keys {
    shared: TARGET,
    ..keys_of("notify.heartbeat", &["interval"])
};

/// The same wherever it stands.
pub(super) const BASIC_AUTH: Keys = keys_of(
    "notify.*.basic_auth",
    &["username", "password", "password_file"],
);

pub(super) const HISTORY: Keys = keys_of("history", &["max_bytes"]);

pub(super) const LIMITS: Keys = keys_of(
    "limits",
    &["max_inflight", "max_response_bytes", "per_host_inflight"],
);

pub(super) const METRICS: Keys = keys_of("metrics", &["detail"]);

/// Every key that a configuration and its web configuration file can have, as `peers[].interval`.
pub fn keys() -> impl Iterator<Item = String> {
    [
        FILE,
        WEB,
        WEB_FILE,
        TLS_SERVER,
        HTTP_SERVER,
        DEFAULTS,
        REFERENCES,
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
    .flat_map(|Keys { at, known, shared }| {
        let path = move |key: &&str| {
            if at.is_empty() {
                (*key).to_owned()
            } else {
                format!("{at}.{key}")
            }
        };
        known.iter().chain(shared).map(path)
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
