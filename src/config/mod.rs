//! What the operator wants, valid by construction: parsed, checked and resolved. Only [`file`] knows YAML.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderMap;
use secrecy::SecretString;
use url::Url;

use crate::cad3::Hash;
use crate::peer::endpoint::Endpoint;

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the agent's own HTTP listener binds.
    pub listen: SocketAddr,
    /// The agent's address as its users see it; its path is the web page's prefix.
    pub external_url: Option<Url>,
    /// This agent's name; the host's unless configured.
    pub vantage: String,
    /// Networks by position in the file; at least one.
    pub networks: Vec<Network>,
    /// Peers by position in the file, defaults filled in; names are unique.
    pub peers: Vec<Peer>,
    /// Bounds on what the agent takes in and has under way.
    pub limits: Limits,
    /// How much `/metrics` tells of each peer, fixed at load.
    pub detail: Detail,
}

/// A network of peers that share one genesis state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The `network` label; unique.
    pub name: String,
    /// The genesis hash its peers must show, where pinned.
    pub genesis: Option<Hash>,
}

/// One peer to poll.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The `peer` label; unique.
    pub name: String,
    /// Name of its [`Network`].
    pub network: String,
    /// The network's pinned genesis hash.
    pub genesis: Option<Hash>,
    /// Whether this peer can page.
    pub role: Role,
    /// At least one, at most one a transport, HTTP first.
    pub endpoints: Vec<Endpoint>,
    /// The peer key that must answer, where pinned.
    pub key: Option<Hash>,
    /// The operator's labels, on `convex_peer_info` only.
    pub labels: BTreeMap<String, String>,
    /// The account that queries are asked as; none: the peer takes #11.
    pub account: Option<u64>,
    /// What the HTTP transport needs besides the URL.
    pub http: HttpOptions,
    /// When and how often to poll.
    pub cadence: Cadence,
    /// A certificate that ends sooner than this is a condition.
    pub certificate: Duration,
}

/// Whether a peer is the operator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pages.
    Own,
    /// Counts in the network's figures, never pages.
    Reference,
}

impl Role {
    /// The label value: `own` or `reference`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Reference => "reference",
        }
    }
}

/// What the HTTP transport sends and trusts.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Sent with every request, as configured.
    pub headers: HeaderMap,
    /// Sent as `Authorization: Bearer …`.
    pub bearer_token: Option<SecretString>,
    /// Certificates (DER) trusted instead of the system's roots, from `ca_file`.
    pub ca: Option<Vec<Vec<u8>>>,
    /// The name asked for and verified in TLS instead of the URL's host.
    pub server_name: Option<String>,
}

/// A peer's rhythm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// From start to start of two polls.
    pub interval: Duration,
    /// One deadline for a whole poll, retries included; below `interval`.
    pub timeout: Duration,
    /// Further tries inside the deadline.
    pub retries: u32,
    /// Failed polls running that make a peer down.
    pub down_after: u32,
    /// Good polls running that make a peer up.
    pub up_after: u32,
    /// The longest interval for a peer that stays down; at least `interval`.
    pub max_interval: Duration,
}

/// Bounds on what the agent takes in and has under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Polls under way at once.
    pub max_inflight: usize,
    /// Largest reply accepted, bytes.
    pub max_response_bytes: usize,
    /// Polls under way at once to one host.
    pub per_host_inflight: usize,
}

/// How much `/metrics` tells of each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// What the shipped rules need; reasons and histograms per network.
    Lean,
}
