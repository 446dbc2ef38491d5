//! The configuration: parsed, checked, with all defaults applied; a [`Config`] is always valid.
//! Only `yaml` knows the file format.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

pub mod active;
mod canary;
mod capacity;
mod cost;
mod discovery;
mod error;
mod external_url;
mod file_read;
mod file_write;
mod history;
mod http_options;
mod keys;
mod labels;
mod limits;
mod listen;
mod load;
mod maintenance;
mod networks;
mod notify;
mod peers;
mod polling;
mod queries;
mod render;
mod scalar;
mod schema;
mod secret;
mod secret_file;
mod section;
mod self_check;
pub mod shard;
mod sidecar;
mod slo;
mod source;
mod status;
mod top_level;
mod value;
mod vantages;
mod verdicts;
mod web;
mod yaml;

pub use canary::{Canary, CanaryKey};
pub use capacity::Capacity;
pub use cost::{Cost, DescriptorLimit, OWN_DESCRIPTORS, STATUS_DESCRIPTORS};
pub use discovery::Discovery;
pub use error::{Errors, Position, Problem, Problems};
pub use file_read::{
    is_read_once, open_regular_file, open_regular_itself, read_file, require_regular,
};
pub use file_write::{recreate, replace_with};
pub use history::History;
pub use http_options::HttpOptions;
pub use keys::keys;
pub(crate) use keys::nearest;
pub use limits::Limits;
pub use listen::Listen;
pub use load::{embedded, find, load, parse};
pub use maintenance::Window;
pub use networks::Network;
pub use notify::{
    Alertmanager, BasicAuth, HEARTBEAT_RECEIVER, Heartbeat, Notify, Receiver, Service, Severity,
    Target, Webhook,
};
pub use peers::{Peer, Role};
pub use polling::Polling;
pub use queries::CustomQuery;
pub use render::{SECRET, render};
pub use schema::schema;
pub use secret::Secret;
pub use self_check::SelfCheck;
pub use sidecar::{ProcessBy, Sidecar};
pub use slo::Slo;
pub use status::{Colour, Logo, LogoKind, Palette, Published, Status, StatusLink, Theme};
pub use vantages::Vantage;
pub use verdicts::Thresholds;
pub use web::{LoadedTls, PasswordHash, RateLimit, Tls, Web};

/// Default listen address.
const DEFAULT_LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18880));

/// A complete, valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the agent's HTTP server listens.
    pub listen: Listen,
    /// URL at which users reach the agent; its path is the prefix of the web pages.
    pub external_url: Option<Url>,
    /// TLS and authentication of the HTTP server.
    pub web: Arc<Web>,
    /// Name of this agent; the host name by default.
    pub vantage: String,
    /// Whether the agent runs on the hosts of its peers.
    pub mode: Mode,
    /// Directory for state that survives a restart; `None`: in memory only. It need not exist.
    pub state_dir: Option<PathBuf>,
    /// Polling of peers that do not set their own.
    pub defaults: Polling,
    /// Polling of references, including discovered peers, that do not set their own.
    pub references: Polling,
    /// Checks that tell the agent's own problems from those of peers.
    pub self_check: SelfCheck,
    /// Networks in file order; at least one.
    pub networks: Vec<Network>,
    /// Peers in file order, with all defaults applied; names are unique.
    pub peers: Vec<Arc<Peer>>,
    /// Peers of the file that belong to other shards; empty in an agent with the whole fleet.
    pub others: Vec<Arc<Peer>>,
    /// Peers of other shards that this agent polls too, to evaluate networks as a whole.
    pub sample: Vec<Arc<Peer>>,
    /// The operator's own queries in file order; names are unique.
    pub queries: Vec<CustomQuery>,
    /// Where the agent sends alerts itself.
    pub notify: Notify,
    /// Other agents whose opinions it reads, in file order; names are unique.
    pub vantages: Vec<Vantage>,
    /// How much history is kept.
    pub history: History,
    /// Limits on concurrent polls and on the size of replies.
    pub limits: Limits,
    /// How detailed the metrics of each peer are.
    pub detail: Detail,
    /// The status page for the public.
    pub status: Option<Arc<Status>>,
    /// Valid but unwise settings, with positions.
    pub warnings: Problems,
}

impl Config {
    /// Returns the path of `external_url` without a slash at its end, which the links of the web
    /// pages begin with.
    #[must_use]
    pub fn path_prefix(&self) -> &str {
        self.external_url
            .as_ref()
            .map_or("", external_url::path_prefix)
    }

    /// Returns the URL at which the pages open: `external_url`, or that of the listener at `listen`
    /// as this host reaches it. A Unix socket has none, so it is returned itself.
    #[must_use]
    pub fn url_at(&self, listen: &Listen) -> String {
        if let Some(url) = &self.external_url {
            return url.to_string();
        }
        let Listen::Tcp(mut address) = *listen else {
            return listen.to_string();
        };
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let scheme = if self.web.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{address}/")
    }

    /// Returns a warning if the status page will forget what it shows.
    #[must_use]
    pub fn status_warning(&self) -> Option<String> {
        let is_forgetful = self.status.is_some() && self.state_dir.is_none();
        is_forgetful.then(|| {
            "state_dir is not set: the status page loses its bars and incidents at each restart, and \
             takes no notes"
                .to_owned()
        })
    }

    /// Replaces peers by equal ones of `before`, so that a reload does not keep two copies in
    /// memory.
    pub fn reuse_peers(&mut self, before: &Self) {
        fn lists(config: &Config) -> impl Iterator<Item = &Arc<Peer>> {
            [&config.peers, &config.others, &config.sample]
                .into_iter()
                .flatten()
        }
        let known: HashMap<_, _> = lists(before)
            .map(|peer| ((&*peer.name, peer.sampled), peer))
            .collect();
        for peer in [&mut self.peers, &mut self.others, &mut self.sample]
            .into_iter()
            .flatten()
        {
            if let Some(same) = known
                .get(&(&*peer.name, peer.sampled))
                .filter(|same| **same == peer)
            {
                *peer = Arc::clone(same);
            }
        }
    }
}

/// Where the agent runs.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Anywhere; polls peers over the network, as their users do.
    #[default]
    Central,
    /// On the host of its peers; can also measure their processes and stores.
    Sidecar,
}

impl Mode {
    /// Both modes.
    pub const ALL: [Self; 2] = [Self::Central, Self::Sidecar];

    /// The label value: `central` or `sidecar`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Sidecar => "sidecar",
        }
    }
}

/// How detailed the metrics of each peer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All metrics.
    Full,
    /// Only what the shipped alert rules need; failure reasons and histograms per network.
    Lean,
}
