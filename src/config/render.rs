//! The effective configuration as YAML of the file's own shape, every default written out, secrets hidden.

mod notify;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use convex_client::Endpoint;
use humantime::{format_duration, format_rfc3339};
use serde::Serialize;

use super::{
    Cadence, Config, CustomQuery, Detail, Discovery, History, HttpOptions, Limits, Network, Notify,
    Peer, ProcessBy, SelfCheck, Sidecar, Thresholds, Window, file,
};
use notify::NotifySection;

/// Stands for a secret.
pub const SECRET: &str = "<secret>";

/// The effective configuration as YAML. Read back, with the secrets put in for [`SECRET`], it is the same configuration.
#[must_use]
pub fn render(config: &Config) -> String {
    file::write(&File::from(config))
}

#[derive(Serialize)]
struct File<'a> {
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web: Option<WebSection>,
    vantage: String,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_dir: Option<String>,
    defaults: Rhythm,
    references: Rhythm,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_check: Option<SelfCheckSection>,
    networks: Vec<NetworkEntry>,
    peers: Vec<PeerEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<QueryEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<NotifySection<'a>>,
    history: HistorySection,
    limits: LimitsSection,
    metrics: Metrics,
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
    verdicts: Verdicts,
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
struct Rhythm {
    interval: String,
    timeout: String,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: String,
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
struct PeerEntry<'a> {
    name: String,
    network: String,
    role: &'static str,
    endpoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, String>,
    #[serde(flatten)]
    http: HttpEntry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_block_every: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    maintenance: Vec<WindowEntry>,
    #[serde(flatten)]
    rhythm: Rhythm,
    verdicts: Verdicts,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<SidecarSection>,
}

/// What HTTP sends and trusts.
#[derive(Serialize)]
struct HttpEntry<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer_token: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
}

#[derive(Serialize)]
struct SidecarSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
}

#[derive(Serialize)]
struct WindowEntry {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
struct Verdicts {
    stall_after: String,
    lag_blocks: u64,
    lag_for: String,
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

/// A text as the file must hold it: a dollar would begin an environment variable.
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
            others: _, // no part of this agent's
            sample: _,
            queries,
            notify,
            history,
            limits,
            detail,
            warnings: _,
        } = config;
        Self {
            listen: *listen,
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
            history: history.into(),
            limits: limits.into(),
            metrics: Metrics {
                detail: match detail {
                    Detail::Full => "full",
                    Detail::Lean => "lean",
                },
            },
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
        } = network;
        Self {
            name: text(name),
            genesis: genesis.map(|hash| hash.to_string()),
            discovery: discovery.as_ref().map(DiscoverySection::from),
            stake_interval: duration(*stake_interval),
            verdicts: verdicts.into(),
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

impl From<&Cadence> for Rhythm {
    fn from(cadence: &Cadence) -> Self {
        let Cadence {
            interval,
            timeout,
            retries,
            down_after,
            up_after,
            max_interval,
        } = *cadence;
        Self {
            interval: duration(interval),
            timeout: duration(timeout),
            retries,
            down_after,
            up_after,
            max_interval: duration(max_interval),
        }
    }
}

impl From<&Thresholds> for Verdicts {
    fn from(thresholds: &Thresholds) -> Self {
        let Thresholds {
            stall_after,
            lag_blocks,
            lag_for,
            clock_skew,
            certificate,
            own_stake_margin_cvm,
            controller_balance_cvm,
        } = *thresholds;
        Self {
            stall_after: duration(stall_after),
            lag_blocks,
            lag_for: duration(lag_for),
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
            question,
            help,
            networks,
            interval,
        } = query;
        Self {
            name,
            source: text(question.source()),
            help: text(help),
            networks: networks.iter().map(text).collect(),
            interval: duration(*interval),
        }
    }
}

impl<'a> From<&'a HttpOptions> for HttpEntry<'a> {
    fn from(http: &'a HttpOptions) -> Self {
        let HttpOptions {
            headers,
            bearer_token,
            ca: _, // what ca_file holds
            ca_file,
            server_name,
            proxy,
        } = http;
        let names = headers.keys().map(|name| (name.as_str(), SECRET));
        Self {
            headers: names.collect(),
            bearer_token: bearer_token.as_ref().map(|_| SECRET),
            ca_file: ca_file.as_ref().map(|path| text(path.to_string_lossy())),
            server_name: server_name.as_ref().map(text),
            proxy: proxy.as_ref().map(text),
        }
    }
}

impl From<&Window> for WindowEntry {
    fn from(window: &Window) -> Self {
        let Window { from, to, comment } = window;
        Self {
            from: format_rfc3339(*from).to_string(),
            to: format_rfc3339(*to).to_string(),
            comment: comment.as_ref().map(text),
        }
    }
}

impl<'a> From<&'a Peer> for PeerEntry<'a> {
    fn from(peer: &'a Peer) -> Self {
        let Peer {
            name,
            network,
            genesis: _, // its network's
            role,
            endpoints,
            key,
            labels,
            account,
            http,
            cadence,
            verdicts,
            expect_block_every,
            maintenance,
            sidecar,
            sampled: _, // only of other shards' peers, which are not shown
        } = peer;
        let labels = labels
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)));
        Self {
            name: text(name),
            network: text(network),
            role: role.as_str(),
            endpoints: self::endpoints(endpoints),
            key: key.map(|key| key.to_string()),
            labels: labels.collect(),
            http: http.into(),
            account: *account,
            expect_block_every: expect_block_every.map(duration),
            maintenance: maintenance.iter().map(WindowEntry::from).collect(),
            rhythm: cadence.into(),
            verdicts: verdicts.into(),
            sidecar: sidecar.as_ref().map(SidecarSection::from),
        }
    }
}

impl From<&Sidecar> for SidecarSection {
    fn from(sidecar: &Sidecar) -> Self {
        let Sidecar { process, store } = sidecar;
        let file = |path: &PathBuf| text(path.to_string_lossy());
        let (pid_file, command_contains) = match process {
            ProcessBy::PidFile(path) => (Some(file(path)), None),
            ProcessBy::Command(piece) => (None, Some(text(piece))),
        };
        Self {
            pid_file,
            command_contains,
            store: store.as_ref().map(file),
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
