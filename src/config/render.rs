//! The effective configuration as YAML of the file's own shape, every default written out, secrets hidden.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;

use super::{Config, Detail, Limits, Network, Peer, file};

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
    vantage: String,
    mode: &'static str,
    networks: Vec<NetworkEntry>,
    peers: Vec<PeerEntry<'a>>,
    limits: LimitsSection,
    metrics: Metrics,
}

#[derive(Serialize)]
struct NetworkEntry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<u64>,
    interval: String,
    timeout: String,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: String,
    verdicts: Verdicts,
}

#[derive(Serialize)]
struct Verdicts {
    certificate: String,
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

impl<'a> From<&'a Config> for File<'a> {
    fn from(config: &'a Config) -> Self {
        let Config {
            listen,
            external_url,
            vantage,
            networks,
            peers,
            limits,
            detail,
        } = config;
        Self {
            listen: *listen,
            external_url: external_url.as_ref().map(text),
            vantage: text(vantage),
            mode: "central",
            networks: networks.iter().map(NetworkEntry::from).collect(),
            peers: peers.iter().map(PeerEntry::from).collect(),
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
        let Network { name, genesis } = network;
        Self {
            name: text(name),
            genesis: genesis.map(|hash| hash.to_string()),
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
            certificate,
        } = peer;
        let labels = labels
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)));
        let headers = http.headers.keys().map(|name| (name.as_str(), SECRET));
        Self {
            name: text(name),
            network: text(network),
            role: role.as_str(),
            endpoints: endpoints
                .iter()
                .map(|endpoint| text(endpoint.to_string()))
                .collect(),
            key: key.map(|key| key.to_string()),
            labels: labels.collect(),
            headers: headers.collect(),
            bearer_token: http.bearer_token.as_ref().map(|_| SECRET),
            ca_file: http
                .ca_file
                .as_ref()
                .map(|path| text(path.to_string_lossy())),
            server_name: http.server_name.as_ref().map(text),
            proxy: http.proxy.as_ref().map(text),
            account: *account,
            interval: duration(cadence.interval),
            timeout: duration(cadence.timeout),
            retries: cadence.retries,
            down_after: cadence.down_after,
            up_after: cadence.up_after,
            max_interval: duration(cadence.max_interval),
            verdicts: Verdicts {
                certificate: duration(*certificate),
            },
        }
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
