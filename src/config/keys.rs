//! The valid keys of each mapping, and what their values look like.

/// The valid keys of one mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Path of the mapping, with `[]` for any list index; empty for the file itself.
    path: &'static str,
    own: &'static [Key],
    /// Keys that other mappings have as well.
    shared: &'static [Key],
    /// Those without which the mapping is an error, whatever else it has.
    required: &'static [&'static str],
}

/// A key, and what its value looks like.
type Key = (&'static str, Shape);

/// What a value looks like, for editors: the reader of the key has the last word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Whole,
    /// Any number.
    Number,
    /// A number and a unit of time.
    Duration,
    /// The same, or 0.
    DurationOrZero,
    /// A percentage, with its sign.
    Percentage,
    /// A text.
    Text,
    /// A text, or a whole number: of bytes, of an account, a hash of digits alone.
    TextOrWhole,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// `own`, or a list of texts.
    OwnOrTexts,
    /// A mapping from texts to texts.
    TextMap,
    /// A mapping with keys of its own.
    Section(&'static Keys),
    /// A list of such mappings.
    Sections(&'static Keys),
}

use Shape::{
    Boolean, Choice, Duration, DurationOrZero, Number, OwnOrTexts, Percentage, Section, Sections,
    Text, TextMap, TextOrWhole, Texts, Whole,
};

impl Keys {
    /// All valid keys.
    pub(super) fn allowed(&self) -> impl Iterator<Item = &'static str> {
        self.shapes().map(|(name, _)| name)
    }

    /// All valid keys with the shapes of their values.
    pub(super) fn shapes(&self) -> impl Iterator<Item = Key> {
        self.own.iter().chain(self.shared).copied()
    }

    /// The keys that must be there.
    pub(super) const fn required(&self) -> &'static [&'static str] {
        self.required
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

const fn keys_at(path: &'static str, own: &'static [Key]) -> Keys {
    Keys {
        path,
        own,
        shared: &[],
        required: &[],
    }
}

pub(super) const FILE: Keys = Keys {
    required: &["peers"],
    ..keys_at(
        "",
        &[
            ("listen", Text),
            ("external_url", Text),
            ("vantage", Text),
            ("mode", Choice(&["central", "sidecar"])),
            ("state_dir", Text),
            ("web", Section(&WEB)),
            ("defaults", Section(&DEFAULTS)),
            ("references", Section(&REFERENCES)),
            ("verdicts", Section(&VERDICTS)),
            ("self_check", Section(&SELF_CHECK)),
            ("networks", Sections(&NETWORK)),
            ("peers", Sections(&PEER)),
            ("queries", Sections(&QUERY)),
            ("notify", Section(&NOTIFY)),
            ("vantages", Sections(&VANTAGE)),
            ("history", Section(&HISTORY)),
            ("limits", Section(&LIMITS)),
            ("metrics", Section(&METRICS)),
            ("status", Section(&STATUS)),
        ],
    )
};

pub(super) const WEB: Keys = keys_at("web", &[("config_file", Text)]);

/// Keys of the file that `web.config_file` names, in the format of Prometheus.
pub(super) const WEB_FILE: Keys = keys_at(
    "",
    &[
        ("tls_server_config", Section(&TLS_SERVER)),
        ("http_server_config", Section(&HTTP_SERVER)),
        ("basic_auth_users", TextMap),
        ("rate_limit", Section(&RATE_LIMIT)),
    ],
);

pub(super) const RATE_LIMIT: Keys = keys_at(
    "rate_limit",
    &[("interval", DurationOrZero), ("burst", Whole)],
);

pub(super) const TLS_SERVER: Keys = keys_at(
    "tls_server_config",
    &[
        ("cert", Text),
        ("cert_file", Text),
        ("key", Text),
        ("key_file", Text),
        (
            "client_auth_type",
            Choice(&[
                "NoClientCert",
                "VerifyClientCertIfGiven",
                "RequireAndVerifyClientCert",
            ]),
        ),
        ("client_ca", Text),
        ("client_ca_file", Text),
        ("client_allowed_sans", Texts),
        ("min_version", Choice(&["TLS12", "TLS13"])),
        ("max_version", Choice(&["TLS12", "TLS13"])),
        ("cipher_suites", Texts),
        ("prefer_server_cipher_suites", Boolean),
        ("curve_preferences", Texts),
    ],
);

pub(super) const HTTP_SERVER: Keys = keys_at(
    "http_server_config",
    &[("http2", Boolean), ("headers", TextMap)],
);

const POLLING: &[Key] = &[
    ("interval", Duration),
    ("timeout", Duration),
    ("retries", Whole),
    ("down_after", Whole),
    ("up_after", Whole),
    ("max_interval", Duration),
    ("connection_max_age", Duration),
];

pub(super) const DEFAULTS: Keys = keys_at("defaults", POLLING);

pub(super) const REFERENCES: Keys = keys_at("references", POLLING);

const THRESHOLDS: &[Key] = &[
    ("stall_after", Duration),
    ("lag_blocks", Whole),
    ("lag_for", Duration),
    ("lag_time", Duration),
    ("restart_grace", Duration),
    ("clock_skew", Duration),
    ("certificate", Duration),
    ("own_stake_margin_cvm", Number),
    ("controller_balance_cvm", Number),
];

pub(super) const VERDICTS: Keys = keys_at("verdicts", THRESHOLDS);

pub(super) const NETWORK: Keys = Keys {
    required: &["name"],
    ..keys_at(
        "networks[]",
        &[
            ("name", Text),
            ("genesis", TextOrWhole),
            ("discovery", Section(&DISCOVERY)),
            ("stake_interval", Duration),
            ("consensus_interval", DurationOrZero),
            ("verdicts", Section(&NETWORK_VERDICTS)),
            ("slo", Section(&SLO)),
            ("canary", Section(&CANARY)),
        ],
    )
};

pub(super) const SLO: Keys = keys_at(
    "networks[].slo",
    &[
        ("objective", Percentage),
        ("window", Duration),
        ("serving_min", Whole),
    ],
);

pub(super) const CANARY: Keys = Keys {
    required: &["account", "key_file", "daily_budget_cvm"],
    ..keys_at(
        "networks[].canary",
        &[
            ("account", TextOrWhole),
            ("key_file", Text),
            ("interval", Duration),
            ("objective", Duration),
            ("peers", OwnOrTexts),
            ("daily_budget_cvm", Number),
            ("allow_idle", Boolean),
        ],
    )
};

pub(super) const NETWORK_VERDICTS: Keys = keys_at("networks[].verdicts", THRESHOLDS);

pub(super) const DISCOVERY: Keys = keys_at(
    "networks[].discovery",
    &[
        ("enabled", Boolean),
        ("interval", Duration),
        ("max_peers", Whole),
        ("allow_private", Boolean),
        ("http_port", Whole),
    ],
);

pub(super) const PEER: Keys = Keys {
    required: &["name", "endpoints"],
    ..keys_at(
        "peers[]",
        &[
            ("name", Text),
            ("network", Text),
            ("role", Choice(&["own", "reference"])),
            ("service", Text),
            ("endpoints", Texts),
            ("key", TextOrWhole),
            ("labels", TextMap),
            ("headers", TextMap),
            ("headers_file", Text),
            ("bearer_token", Text),
            ("bearer_token_file", Text),
            ("ca_file", Text),
            ("server_name", Text),
            ("proxy", Text),
            ("account", TextOrWhole),
            ("expect_block_every", Duration),
            ("validator", Boolean),
            ("maintenance", Sections(&WINDOW)),
            ("verdicts", Section(&PEER_VERDICTS)),
            ("interval", Duration),
            ("timeout", Duration),
            ("retries", Whole),
            ("down_after", Whole),
            ("up_after", Whole),
            ("max_interval", Duration),
            ("connection_max_age", Duration),
            ("sidecar", Section(&SIDECAR)),
        ],
    )
};

pub(super) const SIDECAR: Keys = keys_at(
    "peers[].sidecar",
    &[
        ("pid_file", Text),
        ("command_contains", Text),
        ("store", Text),
    ],
);

pub(super) const WINDOW: Keys = Keys {
    required: &["from", "to"],
    ..keys_at(
        "peers[].maintenance[]",
        &[("from", Text), ("to", Text), ("comment", Text)],
    )
};

pub(super) const PEER_VERDICTS: Keys = keys_at("peers[].verdicts", THRESHOLDS);

pub(super) const SELF_CHECK: Keys =
    keys_at("self_check", &[("references", Texts), ("dns_name", Text)]);

pub(super) const QUERY: Keys = Keys {
    required: &["name", "source"],
    ..keys_at(
        "queries[]",
        &[
            ("name", Text),
            ("source", Text),
            ("help", Text),
            ("networks", Texts),
            ("interval", Duration),
        ],
    )
};

/// Keys of every receiver and every other agent: where requests go and what they send.
const TARGET: &[Key] = &[
    ("url", Text),
    ("url_file", Text),
    ("headers", TextMap),
    ("headers_file", Text),
    ("bearer_token", Text),
    ("bearer_token_file", Text),
    ("basic_auth", Section(&BASIC_AUTH)),
    ("ca_file", Text),
    ("proxy", Text),
];

pub(super) const NOTIFY: Keys = keys_at(
    "notify",
    &[
        ("labels", TextMap),
        ("alertmanagers", Sections(&ALERTMANAGER)),
        ("webhooks", Sections(&WEBHOOK)),
        ("receivers", Sections(&RECEIVER)),
        ("heartbeat", Section(&HEARTBEAT)),
    ],
);

pub(super) const ALERTMANAGER: Keys = Keys {
    shared: TARGET,
    required: &["name"],
    ..keys_at("notify.alertmanagers[]", &[("name", Text)])
};

pub(super) const WEBHOOK: Keys = Keys {
    shared: TARGET,
    required: &["name"],
    ..keys_at(
        "notify.webhooks[]",
        &[
            ("name", Text),
            ("send_resolved", Boolean),
            ("min_severity", Choice(&["critical", "warning", "info"])),
        ],
    )
};

/// Keys of all types; each type has some of them.
pub(super) const RECEIVER: Keys = Keys {
    required: &["name", "type"],
    ..keys_at(
        "notify.receivers[]",
        &[
            ("name", Text),
            (
                "type",
                Choice(&["discord", "slack", "telegram", "ntfy", "pagerduty"]),
            ),
            ("min_severity", Choice(&["critical", "warning", "info"])),
            ("networks", Texts),
            ("url", Text),
            ("url_file", Text),
            ("token", Text),
            ("token_file", Text),
            ("channel", Text),
            ("chat_id", TextOrWhole),
            ("topic", Text),
            ("topic_file", Text),
            ("routing_key", Text),
            ("routing_key_file", Text),
            ("ca_file", Text),
            ("proxy", Text),
        ],
    )
};

pub(super) const HEARTBEAT: Keys = Keys {
    shared: TARGET,
    ..keys_at("notify.heartbeat", &[("interval", Duration)])
};

pub(super) const VANTAGE: Keys = Keys {
    shared: TARGET,
    required: &["name"],
    ..keys_at("vantages[]", &[("name", Text)])
};

/// The same in every receiver and every other agent.
pub(super) const BASIC_AUTH: Keys = Keys {
    required: &["username"],
    ..keys_at(
        "notify.*.basic_auth",
        &[
            ("username", Text),
            ("password", Text),
            ("password_file", Text),
        ],
    )
};

pub(super) const HISTORY: Keys = keys_at("history", &[("max_bytes", TextOrWhole)]);

pub(super) const LIMITS: Keys = keys_at(
    "limits",
    &[
        ("max_inflight", Whole),
        ("max_response_bytes", TextOrWhole),
        ("per_host_inflight", Whole),
    ],
);

pub(super) const METRICS: Keys =
    keys_at("metrics", &[("detail", Choice(&["auto", "full", "lean"]))]);

pub(super) const STATUS: Keys = Keys {
    required: &["title"],
    ..keys_at(
        "status",
        &[
            ("title", Text),
            ("description", Text),
            ("listen", Text),
            ("links", Sections(&STATUS_LINK)),
            ("networks", Sections(&STATUS_NETWORK)),
            ("peers", Sections(&STATUS_PEER)),
            ("theme", Section(&STATUS_THEME)),
        ],
    )
};

pub(super) const STATUS_LINK: Keys = Keys {
    required: &["text", "url"],
    ..keys_at("status.links[]", &[("text", Text), ("url", Text)])
};

pub(super) const STATUS_NETWORK: Keys = Keys {
    required: &["network", "name"],
    ..keys_at(
        "status.networks[]",
        &[("network", Text), ("name", Text), ("id", Text)],
    )
};

pub(super) const STATUS_PEER: Keys = Keys {
    required: &["peer", "name"],
    ..keys_at(
        "status.peers[]",
        &[("peer", Text), ("name", Text), ("id", Text)],
    )
};

pub(super) const STATUS_THEME: Keys = keys_at(
    "status.theme",
    &[
        ("light", Section(&STATUS_LIGHT)),
        ("dark", Section(&STATUS_DARK)),
        ("logo", Text),
    ],
);

const PALETTE: &[Key] = &[("background", Text), ("text", Text), ("accent", Text)];

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
        RATE_LIMIT,
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
    .flat_map(|keys| {
        let path = keys.path;
        let full_path = move |key: &'static str| {
            if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        keys.shapes()
            .map(|(key, _)| full_path(key))
            .collect::<Vec<_>>()
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
