//! Renders `peers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use humantime::format_rfc3339;
use serde::Serialize;

use crate::config::{HttpOptions, Peer, ProcessBy, Sidecar, Window};

use super::{PollingKeys, SECRET, Verdicts, duration, text};

#[derive(Serialize)]
pub(super) struct PeerEntry<'a> {
    name: String,
    network: String,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
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
    validator: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    maintenance: Vec<WindowEntry>,
    #[serde(flatten)]
    polling: PollingKeys,
    verdicts: Verdicts,
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar: Option<SidecarSection>,
}

/// Options of the HTTP transport.
#[derive(Serialize)]
pub(super) struct HttpEntry<'a> {
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

impl<'a> From<&'a HttpOptions> for HttpEntry<'a> {
    fn from(http: &'a HttpOptions) -> Self {
        let HttpOptions {
            headers,
            bearer_token,
            ca: _, // the content of ca_file
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
            genesis: _, // rendered with its network
            role,
            service,
            endpoints,
            key,
            labels,
            account,
            http,
            polling,
            verdicts,
            expect_block_every,
            validator,
            maintenance,
            sidecar,
            sampled: _,    // set for peers of other shards only, which are not rendered
            discovered: _, // peers of the file are not
        } = peer;
        let labels = labels
            .iter()
            .map(|(name, value)| (name.as_str(), text(value)));
        Self {
            name: text(name),
            network: text(network),
            role: role.as_str(),
            service: service.as_ref().map(text),
            endpoints: super::endpoints(endpoints),
            key: key.map(|key| key.to_string()),
            labels: labels.collect(),
            http: http.into(),
            account: *account,
            expect_block_every: expect_block_every.map(duration),
            validator: *validator,
            maintenance: maintenance.iter().map(WindowEntry::from).collect(),
            polling: polling.into(),
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
            ProcessBy::Command(part) => (None, Some(text(part))),
        };
        Self {
            pid_file,
            command_contains,
            store: store.as_ref().map(file),
        }
    }
}
