//! The valid keys of each mapping.

/// The valid keys of one mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Path of the mapping, with `[]` for any list index; empty for the file itself.
    path: &'static str,
    own: &'static [&'static str],
    /// Keys that other mappings have as well.
    shared: &'static [&'static str],
}

impl Keys {
    /// All valid keys.
    pub(super) fn allowed(&self) -> impl Iterator<Item = &'static str> {
        self.own.iter().chain(self.shared).copied()
    }

    /// Returns the valid key that an unknown one most likely stands for.
    pub(super) fn meant_by(&self, unknown: &str) -> Option<&'static str> {
        let other_names = OTHER_NAMES.iter();
        let mut ours = other_names.filter(|(name, _)| *name == unknown);
        let ours = ours.find_map(|(_, key)| self.allowed().find(|allowed| allowed == key));
        ours.or_else(|| nearest(unknown, self.allowed()))
    }

    /// Whether `key` is valid.
    pub(super) fn allow(&self, key: &str) -> bool {
        self.allowed().any(|allowed| allowed == key)
    }
}

/// What other monitors call a key of ours.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("address", "endpoints"),
    ("addresses", "endpoints"),
    ("host", "endpoints"),
    ("target", "endpoints"),
    ("targets", "endpoints"),
    ("uri", "endpoints"),
    ("url", "endpoints"),
    ("urls", "endpoints"),
    ("period", "interval"),
    ("scrape_interval", "interval"),
    ("scrape_timeout", "timeout"),
];

const fn keys_at(path: &'static str, own: &'static [&'static str]) -> Keys {
    Keys {
        path,
        own,
        shared: &[],
    }
}

pub(super) const FILE: Keys = keys_at(
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
        "vantages",
        "history",
        "limits",
        "metrics",
        "status",
    ],
);

pub(super) const WEB: Keys = keys_at("web", &["config_file"]);

/// Keys of the file that `web.config_file` names, in the format of Prometheus.
pub(super) const WEB_FILE: Keys = keys_at(
    "",
    &[
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
    ],
);

pub(super) const RATE_LIMIT: Keys = keys_at("rate_limit", &["interval", "burst"]);

pub(super) const TLS_SERVER: Keys = keys_at(
    "tls_server_config",
    &[
        "cert",
        "cert_file",
        "key",
        "key_file",
        "client_auth_type",
        "client_ca",
        "client_ca_file",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    ],
);

pub(super) const HTTP_SERVER: Keys = keys_at("http_server_config", &["http2", "headers"]);

const POLLING: &[&str] = &[
    "interval",
    "timeout",
    "retries",
    "down_after",
    "up_after",
    "max_interval",
    "connection_max_age",
];

pub(super) const DEFAULTS: Keys = keys_at("defaults", POLLING);

pub(super) const REFERENCES: Keys = keys_at("references", POLLING);

const THRESHOLDS: &[&str] = &[
    "stall_after",
    "lag_blocks",
    "lag_for",
    "lag_time",
    "restart_grace",
    "clock_skew",
    "certificate",
    "own_stake_margin_cvm",
    "controller_balance_cvm",
];

pub(super) const VERDICTS: Keys = keys_at("verdicts", THRESHOLDS);

pub(super) const NETWORK: Keys = keys_at(
    "networks[]",
    &[
        "name",
        "genesis",
        "discovery",
        "stake_interval",
        "consensus_interval",
        "verdicts",
        "slo",
        "canary",
    ],
);

pub(super) const SLO: Keys = keys_at("networks[].slo", &["objective", "window", "serving_min"]);

pub(super) const CANARY: Keys = keys_at(
    "networks[].canary",
    &[
        "account",
        "key_file",
        "interval",
        "objective",
        "peers",
        "daily_budget_cvm",
        "allow_idle",
    ],
);

pub(super) const NETWORK_VERDICTS: Keys = keys_at("networks[].verdicts", THRESHOLDS);

pub(super) const DISCOVERY: Keys = keys_at(
    "networks[].discovery",
    &[
        "enabled",
        "interval",
        "max_peers",
        "allow_private",
        "http_port",
    ],
);

pub(super) const PEER: Keys = keys_at(
    "peers[]",
    &[
        "name",
        "network",
        "role",
        "service",
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
        "validator",
        "maintenance",
        "verdicts",
        "interval",
        "timeout",
        "retries",
        "down_after",
        "up_after",
        "max_interval",
        "connection_max_age",
        "sidecar",
    ],
);

pub(super) const SIDECAR: Keys = keys_at(
    "peers[].sidecar",
    &["pid_file", "command_contains", "store"],
);

pub(super) const WINDOW: Keys = keys_at("peers[].maintenance[]", &["from", "to", "comment"]);

pub(super) const PEER_VERDICTS: Keys = keys_at("peers[].verdicts", THRESHOLDS);

pub(super) const SELF_CHECK: Keys = keys_at("self_check", &["references", "dns_name"]);

pub(super) const QUERY: Keys = keys_at(
    "queries[]",
    &["name", "source", "help", "networks", "interval"],
);

/// Keys of every receiver and every other agent: where requests go and what they send.
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

pub(super) const NOTIFY: Keys = keys_at(
    "notify",
    &[
        "labels",
        "alertmanagers",
        "webhooks",
        "receivers",
        "heartbeat",
    ],
);

pub(super) const ALERTMANAGER: Keys = Keys {
    shared: TARGET,
    ..keys_at("notify.alertmanagers[]", &["name"])
};

pub(super) const WEBHOOK: Keys = Keys {
    shared: TARGET,
    ..keys_at(
        "notify.webhooks[]",
        &["name", "send_resolved", "min_severity"],
    )
};

/// Keys of all types; each type has some of them.
pub(super) const RECEIVER: Keys = keys_at(
    "notify.receivers[]",
    &[
        "name",
        "type",
        "min_severity",
        "networks",
        "url",
        "url_file",
        "token",
        "token_file",
        "channel",
        "chat_id",
        "topic",
        "topic_file",
        "routing_key",
        "routing_key_file",
        "ca_file",
        "proxy",
    ],
);

pub(super) const HEARTBEAT: Keys = Keys {
    shared: TARGET,
    ..keys_at("notify.heartbeat", &["interval"])
};

pub(super) const VANTAGE: Keys = Keys {
    shared: TARGET,
    ..keys_at("vantages[]", &["name"])
};

/// The same in every receiver and every other agent.
pub(super) const BASIC_AUTH: Keys = keys_at(
    "notify.*.basic_auth",
    &["username", "password", "password_file"],
);

pub(super) const HISTORY: Keys = keys_at("history", &["max_bytes"]);

pub(super) const LIMITS: Keys = keys_at(
    "limits",
    &["max_inflight", "max_response_bytes", "per_host_inflight"],
);

pub(super) const METRICS: Keys = keys_at("metrics", &["detail"]);

pub(super) const STATUS: Keys = keys_at(
    "status",
    &[
        "title",
        "description",
        "listen",
        "links",
        "networks",
        "peers",
        "theme",
    ],
);

pub(super) const STATUS_LINK: Keys = keys_at("status.links[]", &["text", "url"]);

pub(super) const STATUS_NETWORK: Keys = keys_at("status.networks[]", &["network", "name", "id"]);

pub(super) const STATUS_PEER: Keys = keys_at("status.peers[]", &["peer", "name", "id"]);

pub(super) const STATUS_THEME: Keys = keys_at("status.theme", &["light", "dark", "logo"]);

const PALETTE: &[&str] = &["background", "text", "accent"];

pub(super) const STATUS_LIGHT: Keys = keys_at("status.theme.light", PALETTE);

pub(super) const STATUS_DARK: Keys = keys_at("status.theme.dark", PALETTE);

/// Returns every valid key of a configuration and of its web configuration file, as in
/// `peers[].interval`.
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
        SLO,
        CANARY,
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
        RECEIVER,
        HEARTBEAT,
        VANTAGE,
        BASIC_AUTH,
        HISTORY,
        LIMITS,
        METRICS,
        STATUS,
        STATUS_LINK,
        STATUS_NETWORK,
        STATUS_PEER,
        STATUS_THEME,
        STATUS_LIGHT,
        STATUS_DARK,
    ]
    .into_iter()
    .flat_map(|Keys { path, own, shared }| {
        let full_path = move |key: &&str| {
            if path.is_empty() {
                (*key).to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        own.iter().chain(shared).map(full_path)
    })
}

/// Longest text that is taken for a misspelling, bytes.
const MAX_MISTYPED_BYTES: usize = 100;

/// Returns the name in `allowed` that `given` is most likely a misspelling of.
pub(crate) fn nearest<'a>(
    given: &str,
    allowed: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The distance takes time and memory in proportion to the length.
    let given = (given.len() <= MAX_MISTYPED_BYTES).then_some(given)?;
    allowed
        .into_iter()
        .map(|key| (strsim::damerau_levenshtein(given, key), key))
        .filter(|(distance, key)| *distance <= key.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}
