//! The effective configuration as YAML in the format of the file, with all defaults and without
//! secrets.

mod notify;
mod peers;
mod status;

use std::time::Duration;

use convex_client::Endpoint;
use convex_client::chain::economics::cvm;
use humantime::format_duration;
use serde::Serialize;

use super::{
    Canary, Config, CustomQuery, Detail, Discovery, History, Limits, Listen, Network, Notify,
    Polling, SelfCheck, Slo, Thresholds, yaml,
};
use notify::{NotifySection, ServerEntry};
use peers::PeerEntry;
use status::StatusSection;

/// Shown in place of a secret.
pub const SECRET: &str = convex_client::SECRET;

/// Renders the effective configuration as YAML. With every [`SECRET`] replaced by the secret, it
/// parses to an equal configuration.
#[must_use]
pub fn render(config: &Config) -> String {
    yaml::write(&File::from(config))
}

#[derive(Serialize)]
struct File<'a> {
    listen: &'a Listen,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web: Option<WebSection>,
    vantage: String,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_dir: Option<String>,
    defaults: PollingKeys,
    references: PollingKeys,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_check: Option<SelfCheckSection>,
    networks: Vec<NetworkEntry>,
    peers: Vec<PeerEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<QueryEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<NotifySection<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vantages: Vec<ServerEntry<'a>>,
    history: HistorySection,
    limits: LimitsSection,
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusSection>,
}

#[derive(Serialize)]
struct WebSection {
    config_file: String,
}

#[derive(Serialize)]
struct NetworkEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery: Option<DiscoverySection>,
    stake_interval: String,
    consensus_interval: String,
    verdicts: Verdicts,
    slo: SloSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanarySection>,
}

#[derive(Serialize)]
struct CanarySection {
    account: u64,
    key_file: String,
    interval: String,
    objective: String,
    peers: CanaryPeers,
    daily_budget_cvm: f64,
    allow_idle: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CanaryPeers {
    All(&'static str),
    Named(Vec<String>),
}

#[derive(Serialize)]
struct SloSection {
    objective: String,
    window: String,
    serving_min: u32,
}

#[derive(Serialize)]
struct DiscoverySection {
    enabled: bool,
    interval: String,
    max_peers: usize,
    allow_private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
}

#[derive(Serialize)]
struct PollingKeys {
    interval: String,
    timeout: String,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: String,
    connection_max_age: String,
}

#[derive(Serialize)]
struct SelfCheckSection {
    references: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_name: Option<String>,
}

#[derive(Serialize)]
struct QueryEntry<'a> {
    name: &'a str,
    source: String,
    help: String,
    networks: Vec<String>,
    interval: String,
}

#[derive(Serialize)]
struct Verdicts {
    stall_after: String,
    lag_blocks: u64,
    lag_for: String,
    lag_time: String,
    restart_grace: String,
    clock_skew: String,
    certificate: String,
    own_stake_margin_cvm: f64,
    controller_balance_cvm: f64,
}

#[derive(Serialize)]
struct HistorySection {
    max_bytes: u64,
}

#[derive(Serialize)]
struct LimitsSection {
    max_inflight: usize,
    max_response_bytes: usize,
    per_host_inflight: usize,
}

#[derive(Serialize)]
struct Metrics {
    detail: &'static str,
}

/// Escapes a text for the file, where a dollar begins an environment variable.
fn text(text: impl AsRef<str>) -> String {
    text.as_ref().replace('$', "$$")
}

fn duration(duration: Duration) -> String {
    format_duration(duration).to_string()
}

fn endpoints(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints
        .iter()
        .map(|endpoint| text(endpoint.to_string()))
        .collect()
}

impl<'a> From<&'a Config> for File<'a> {
    fn from(config: &'a Config) -> Self {
        let Config {
            listen,
            external_url,
            web,
            vantage,
            mode,
            state_dir,
            defaults,
            references,
            self_check,
            networks,
            peers,
            others: _, // polled by other agents
            sample: _,
            queries,
            notify,
            vantages,
            history,
            limits,
            detail,
            status,
            warnings: _,
        } = config;
        Self {
            listen,
            external_url: external_url.as_ref().map(text),
            web: web.config_file.as_ref().map(|path| WebSection {
                config_file: text(path.to_string_lossy()),
            }),
            vantage: text(vantage),
            mode: mode.as_str(),
            state_dir: state_dir.as_ref().map(|path| text(path.to_string_lossy())),
            defaults: defaults.into(),
            references: references.into(),
            self_check: (*self_check != SelfCheck::default()).then(|| self_check.into()),
            networks: networks.iter().map(NetworkEntry::from).collect(),
            peers: peers.iter().map(|peer| PeerEntry::from(&**peer)).collect(),
            queries: queries.iter().map(QueryEntry::from).collect(),
            notify: (*notify != Notify::default()).then(|| notify.into()),
            vantages: vantages
                .iter()
                .map(|vantage| ServerEntry::new(&vantage.name, &vantage.target))
                .collect(),
            history: history.into(),
            limits: limits.into(),
            metrics: Metrics {
                detail: match detail {
                    Detail::Full => "full",
                    Detail::Lean => "lean",
                },
            },
            status: status.as_deref().map(StatusSection::from),
        }
    }
}

impl From<&Network> for NetworkEntry {
    fn from(network: &Network) -> Self {
        let Network {
            name,
            genesis,
            verdicts,
            discovery,
            stake_interval,
            consensus_interval,
            slo,
            canary,
        } = network;
        Self {
            name: text(name),
            genesis: genesis.map(|hash| hash.to_string()),
            discovery: discovery.as_ref().map(DiscoverySection::from),
            stake_interval: duration(*stake_interval),
            consensus_interval: duration(consensus_interval.unwrap_or_default()),
            verdicts: verdicts.into(),
            slo: slo.into(),
            canary: canary.as_ref().map(CanarySection::from),
        }
    }
}

impl From<&Canary> for CanarySection {
    fn from(canary: &Canary) -> Self {
        let Canary {
            account,
            key_file,
            key: _, // read from the file
            interval,
            objective,
            peers,
            daily_budget_copper,
            allow_idle,
        } = canary;
        Self {
            account: *account,
            key_file: text(key_file.to_string_lossy()),
            interval: duration(*interval),
            objective: duration(*objective),
            peers: match peers {
                None => CanaryPeers::All("own"),
                Some(names) => CanaryPeers::Named(names.iter().map(text).collect()),
            },
            daily_budget_cvm: cvm((*daily_budget_copper).cast_signed()),
            allow_idle: *allow_idle,
        }
    }
}

impl From<&Slo> for SloSection {
    fn from(slo: &Slo) -> Self {
        let Slo {
            objective_percent,
            window,
            serving_min,
        } = *slo;
        Self {
            objective: format!("{objective_percent}%"),
            window: duration(window),
            serving_min,
        }
    }
}

impl From<&Discovery> for DiscoverySection {
    fn from(discovery: &Discovery) -> Self {
        let Discovery {
            interval,
            max_peers,
            allow_private,
            http_port,
        } = *discovery;
        Self {
            enabled: true,
            interval: duration(interval),
            max_peers,
            allow_private,
            http_port,
        }
    }
}

impl From<&Polling> for PollingKeys {
    fn from(polling: &Polling) -> Self {
        let Polling {
            interval,
            timeout,
            retries,
            down_after,
            up_after,
            max_interval,
            connection_max_age,
        } = *polling;
        Self {
            interval: duration(interval),
            timeout: duration(timeout),
            retries,
            down_after,
            up_after,
            max_interval: duration(max_interval),
            connection_max_age: duration(connection_max_age),
        }
    }
}

impl From<&Thresholds> for Verdicts {
    fn from(thresholds: &Thresholds) -> Self {
        let Thresholds {
            stall_after,
            lag_blocks,
            lag_for,
            lag_time,
            restart_grace,
            clock_skew,
            certificate,
            own_stake_margin_cvm,
            controller_balance_cvm,
        } = *thresholds;
        Self {
            stall_after: duration(stall_after),
            lag_blocks,
            lag_for: duration(lag_for),
            lag_time: duration(lag_time),
            restart_grace: duration(restart_grace),
            clock_skew: duration(clock_skew),
            certificate: duration(certificate),
            own_stake_margin_cvm,
            controller_balance_cvm,
        }
    }
}

impl From<&SelfCheck> for SelfCheckSection {
    fn from(self_check: &SelfCheck) -> Self {
        let SelfCheck {
            references,
            dns_name,
        } = self_check;
        Self {
            references: endpoints(references),
            dns_name: dns_name.as_ref().map(text),
        }
    }
}

impl<'a> From<&'a CustomQuery> for QueryEntry<'a> {
    fn from(query: &'a CustomQuery) -> Self {
        let CustomQuery {
            name,
            query: expression,
            help,
            networks,
            interval,
        } = query;
        Self {
            name,
            source: text(expression.source()),
            help: text(help),
            networks: networks.iter().map(text).collect(),
            interval: duration(*interval),
        }
    }
}

impl From<&History> for HistorySection {
    fn from(history: &History) -> Self {
        let History { max_bytes } = *history;
        Self { max_bytes }
    }
}

impl From<&Limits> for LimitsSection {
    fn from(limits: &Limits) -> Self {
        let Limits {
            max_inflight,
            max_response_bytes,
            per_host_inflight,
        } = *limits;
        Self {
            max_inflight,
            max_response_bytes,
            per_host_inflight,
        }
    }
}
