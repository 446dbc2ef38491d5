//! What the operator wants, valid by construction: parsed, checked and resolved. Only `file` and `located` know YAML.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::Endpoint;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use url::Url;

mod access;
pub mod active;
mod cost;
mod discovery;
mod document;
mod error;
mod file;
mod history;
mod keys;
mod labels;
mod located;
mod maintenance;
mod networks;
mod notify;
mod peers;
mod queries;
mod render;
mod rhythm;
mod scalar;
mod secret;
mod secret_file;
mod section;
mod self_check;
pub mod shard;
mod sidecar;
mod verdicts;
mod web;

pub use cost::{Cost, DescriptorLimit};
pub use discovery::Discovery;
pub use error::{Errors, Position, Problem};
pub use history::History;
pub use keys::keys;
pub use maintenance::Window;
pub use notify::{
    Alertmanager, BasicAuth, HEARTBEAT_RECEIVER, Heartbeat, Notify, Severity, Target, Webhook,
};
pub use queries::CustomQuery;
pub use render::{SECRET, render};
pub use secret::Secret;
pub use self_check::SelfCheck;
pub use sidecar::{ProcessBy, Sidecar};
pub use verdicts::Thresholds;
pub use web::{PasswordHash, Served, Tls, Web};

/// Where a configuration is looked for when none is named, in this order.
const PLACES: [&str; 2] = [
    "convex-peer-monitor.yml",
    "/etc/convex-peer-monitor/config.yml",
];

/// Where the agent listens unless configured.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18880);

/// Reads the configuration file at `path`. `env` gives the value of an environment variable.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Errors> {
    let file = path.to_string_lossy();
    let (bytes, metadata) = secret_file::read_file(path, file::MAX_BYTES).map_err(|error| {
        Errors::new(vec![Problem {
            file: file.clone().into_owned(),
            position: None,
            path: String::new(),
            message: format!("cannot read the configuration: {error}"),
        }])
    })?;
    let text = text_of(&bytes, &file).map_err(|problem| Errors::new(vec![problem]))?;
    let base_dir = path.parent().unwrap_or(Path::new(""));
    let open = secret_file::is_read_by_all(&metadata);
    read(
        text,
        section::Source::new(&file, base_dir, env).open_to_all(open),
    )
}

/// What the bytes of `file` say.
fn text_of<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, Problem> {
    str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Problem {
            file: file.to_owned(),
            position: Some(Position {
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
            }),
            path: String::new(),
            message: "not UTF-8 from here on; save the file as UTF-8".to_owned(),
        }
    })
}

/// Reads a configuration from its text. `file_name` is for messages; relative file names in the text start at `base_dir`.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn parse(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Errors> {
    read(text, section::Source::new(file_name, base_dir, env))
}

fn read(text: &str, source: section::Source) -> Result<Config, Errors> {
    let config = match file::read(text) {
        Ok(root) => document::config(&source, &root),
        Err(broken) => Err(source.report(broken.position, "", broken.message)),
    };
    let warnings = source.take_warnings();
    let config = source.finish(config)?;
    Ok(Config { warnings, ..config })
}

/// What runs without a configuration file: Protonet's public peer, watched as a reference.
///
/// # Panics
/// Never: the text is part of the program and a test reads it.
#[must_use]
pub fn embedded() -> Config {
    parse(
        include_str!("default.yml"),
        "default.yml",
        Path::new(""),
        &|_| None,
    )
    .expect(
        "the embedded configuration is valid, whatever the host: it names no file and no variable",
    )
}

/// The configuration file to use when none is named; none: run on [`embedded`].
#[must_use]
pub fn find() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| is_there(path))
}

/// One that is there but cannot be read counts, for its reader to say why: silence would watch the wrong peers.
fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// A whole, valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the agent's own HTTP listener binds.
    pub listen: SocketAddr,
    /// The agent's address as its users see it; its path is the web page's prefix.
    pub external_url: Option<Url>,
    /// How the agent's own listener speaks, and whom it answers.
    pub web: Arc<Web>,
    /// This agent's name; the host's unless configured.
    pub vantage: String,
    /// Where it stands to its peers.
    pub mode: Mode,
    /// Where the agent keeps what outlives it; none: in memory only. Whether it is there is not checked here.
    pub state_dir: Option<PathBuf>,
    /// The rhythm of a peer that has none of its own.
    pub defaults: Cadence,
    /// The same of a reference, as those are that were discovered.
    pub references: Cadence,
    /// What tells the agent's own trouble from a peer's.
    pub self_check: SelfCheck,
    /// Networks by position in the file; at least one.
    pub networks: Vec<Network>,
    /// Peers by position in the file, defaults filled in; names are unique.
    pub peers: Vec<Arc<Peer>>,
    /// Peers of the file that other shards have, as they stand there; empty in an agent that has the whole fleet.
    pub others: Vec<Arc<Peer>>,
    /// Peers of other shards that this one polls too, to see networks as a whole.
    pub sample: Vec<Arc<Peer>>,
    /// The operator's own expressions by position in the file; names are unique.
    pub queries: Vec<CustomQuery>,
    /// Whom the agent tells of its verdicts by itself.
    pub notify: Notify,
    /// How much of the past is kept.
    pub history: History,
    /// Bounds on what the agent takes in and has under way.
    pub limits: Limits,
    /// How much `/metrics` tells of each peer, fixed at load.
    pub detail: Detail,
    /// What is right but unwise, each with its place.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Takes over the peers that are the same in `before`: one that a reload does not change is in memory once.
    pub fn share(&mut self, before: &Self) {
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

/// A network of peers that share one genesis state.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The `network` label; unique.
    pub name: String,
    /// The genesis hash its peers must show, where pinned.
    pub genesis: Option<Hash>,
    /// When what is measured of the network and of the peers found in it becomes a verdict.
    pub verdicts: Thresholds,
    /// How registered peers are found; none: they are not.
    pub discovery: Option<Discovery>,
    /// From one reading of the stakes to the next.
    pub stake_interval: Duration,
}

/// One peer to poll. Equal when every setting is, secrets included.
#[derive(Clone, Debug, PartialEq)]
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
    /// When what is measured becomes a verdict.
    pub verdicts: Thresholds,
    /// How often it should make a block; none: one that makes none is normal.
    pub expect_block_every: Option<Duration>,
    /// When it is worked on, in the order of the file.
    pub maintenance: Vec<Window>,
    /// Its process and store, where it runs on the agent's own host and they are watched; only in [`Mode::Sidecar`].
    pub sidecar: Option<Sidecar>,
    /// Of a peer that another shard has, and this one polls only to see the whole network: how many peers of other shards it
    /// stands for.
    pub sampled: Option<NonZeroU32>,
}

impl Peer {
    /// A peer of no network that is known by one endpoint alone and named by it; everything else as by default.
    #[must_use]
    pub fn at(endpoint: Endpoint) -> Self {
        Self {
            name: endpoint.to_string(),
            network: String::new(),
            genesis: None,
            role: Role::Own,
            endpoints: vec![endpoint],
            key: None,
            labels: BTreeMap::new(),
            account: None,
            http: HttpOptions::default(),
            cadence: Cadence::default(),
            verdicts: Thresholds::default(),
            expect_block_every: None,
            maintenance: Vec::new(),
            sidecar: None,
            sampled: None,
        }
    }
}

/// Where the agent stands to its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Watches peers from elsewhere, as their users reach them.
    Central,
    /// Runs beside the peers that it watches, on their host.
    Sidecar,
}

impl Mode {
    /// Every value.
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

/// Whether a peer is the operator's own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// Sent with every request, as configured.
    pub headers: HeaderMap,
    /// Sent as `Authorization: Bearer …`.
    pub bearer_token: Option<Secret>,
    /// Certificates (DER) trusted instead of the system's roots, from `ca_file`.
    pub ca: Option<Vec<Vec<u8>>>,
    /// Where `ca` was read from.
    pub ca_file: Option<PathBuf>,
    /// The name asked for and verified in TLS instead of the URL's host.
    pub server_name: Option<String>,
    /// An HTTP proxy to go through (`http` or `https`, no userinfo); the environment's proxies are never used.
    pub proxy: Option<Url>,
}

impl HttpOptions {
    /// The same as the client takes them, with the agent's user agent.
    #[must_use]
    pub fn client_options(&self) -> convex_client::HttpOptions {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.bearer_token {
            // Checked when the configuration was read.
            if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose())) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        convex_client::HttpOptions {
            user_agent: concat!("convex-peer-monitor/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers,
            ca: self.ca.clone(),
            server_name: self.server_name.clone(),
            proxy: self.proxy.clone(),
        }
    }
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

impl Default for Cadence {
    fn default() -> Self {
        rhythm::Rhythm::DEFAULT.cadence()
    }
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inflight: 512,
            max_response_bytes: 1 << 20,
            per_host_inflight: 8,
        }
    }
}

/// How much `/metrics` tells of each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// What the shipped rules need; reasons and histograms per network.
    Lean,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_read_is_there_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("config.yml");
        assert!(!is_there(&link));
        std::os::unix::fs::symlink("gone.yml", &link).unwrap();
        assert!(is_there(&link));
        assert!(is_there(dir.path()));
        assert!(!is_there(&dir.path().join("no/such/config.yml")));
    }
}
