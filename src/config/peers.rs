//! The peers of the file, with all defaults applied.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::{Endpoint, EndpointError};

use super::Mode;
use super::error::Position;
use super::http_options::{HttpOptions, http_options};
use super::keys::{PEER, PEER_VERDICTS};
use super::labels::labels;
use super::maintenance::{Window, maintenance};
use super::networks::Networks;
use super::polling::{Polling, PollingKeys};
use super::scalar::{TEN_YEARS, account, boolean, choice, duration, hash, name};
use super::section::{Names, Section};
use super::sidecar::{Sidecar, sidecar};
use super::source::Reported;
use super::value::Value;
use super::verdicts::Thresholds;

/// A peer to poll. Two peers are equal if all their settings are, secrets included.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The `peer` label; unique.
    pub name: String,
    /// Name of its [`Network`](super::Network).
    pub network: String,
    /// The pinned genesis hash of the network.
    pub genesis: Option<Hash>,
    /// Whether its alerts can page somebody.
    pub role: Role,
    /// Name of the service that it is part of, if it is not that of all own peers; only with
    /// [`Role::Own`].
    pub service: Option<String>,
    /// Endpoints, HTTP first; at least one, at most one per transport.
    pub endpoints: Vec<Endpoint>,
    /// Key that the peer must have, if pinned.
    pub key: Option<Hash>,
    /// The operator's labels; only on `convex_peer_info`.
    pub labels: BTreeMap<String, String>,
    /// Account that queries run as; `None`: the peer uses #11.
    pub account: Option<u64>,
    /// Options of the HTTP transport besides the URL.
    pub http: HttpOptions,
    /// When and how often it is polled.
    pub polling: Polling,
    /// Thresholds of its verdicts.
    pub verdicts: Thresholds,
    /// How often it should produce a block; `None` if a peer without blocks is normal.
    pub expect_block_every: Option<Duration>,
    /// Whether it has to be registered on chain, even if it never was while the agent watched it.
    pub validator: bool,
    /// Maintenance windows, in file order.
    pub maintenance: Vec<Window>,
    /// Its process and store on the agent's own host; only in [`Mode::Sidecar`].
    pub sidecar: Option<Sidecar>,
    /// Set for a peer of another shard, polled only to see the whole network: how many peers of
    /// other shards it represents.
    pub sampled: Option<NonZeroU32>,
    /// Whether discovery found it: a stranger's peer.
    pub discovered: bool,
}

impl Peer {
    /// A peer without a network that has only `endpoint`, is named after it, and uses the defaults
    /// otherwise.
    #[must_use]
    pub fn from_endpoint(endpoint: Endpoint) -> Self {
        Self {
            name: endpoint.to_string(),
            network: String::new(),
            genesis: None,
            role: Role::Own,
            service: None,
            endpoints: vec![endpoint],
            key: None,
            labels: BTreeMap::new(),
            account: None,
            http: HttpOptions::default(),
            polling: Polling::default(),
            verdicts: Thresholds::default(),
            expect_block_every: None,
            validator: false,
            maintenance: Vec::new(),
            sidecar: None,
            sampled: None,
            discovered: false,
        }
    }
}

/// Whether a peer belongs to the operator.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator's own peer; can page.
    Own,
    /// Somebody else's peer; counts in its network's metrics, never pages.
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

/// Reads `peers`; at least one. `polling` has the keys of own peers and of references.
pub(super) fn peers(
    file: &Section,
    networks: Result<&Networks, Reported>,
    polling: [Result<PollingKeys, Reported>; 2],
    mode: Result<Mode, Reported>,
) -> Result<Vec<Arc<Peer>>, Reported> {
    let mut names = Names::default();
    let mut peers = Vec::new();
    let mut result = Ok(());
    let items = file.list("peers")?;
    let missing = items.is_none();
    for (path, node) in items.into_iter().flatten() {
        let peer = Section::open(file.source, path, node, &PEER).and_then(|section| {
            let name = names.claim(&section, name);
            peer(&section, name, networks, polling, mode)
        });
        match peer {
            Ok(peer) => peers.push(Arc::new(peer)),
            Err(reported) => result = Err(reported),
        }
    }
    result?;
    if peers.is_empty() {
        let problem = if missing { "is missing" } else { "is empty" };
        return Err(file.report_value("peers", format!("{problem}; add at least one peer")));
    }
    Ok(peers)
}

fn peer(
    section: &Section,
    name: Result<String, Reported>,
    networks: Result<&Networks, Reported>,
    polling: [Result<PollingKeys, Reported>; 2],
    mode: Result<Mode, Reported>,
) -> Result<Peer, Reported> {
    let network = networks.and_then(|networks| networks.network_of(section));
    let roles = [Role::Own, Role::Reference].map(|role| (role.as_str(), role));
    let role = section.read("role", |value| choice(value, &roles));
    let service = service(section, role);
    let endpoints = endpoints(section);
    let key = section.read("key", hash);
    let labels = labels(section);
    let account = section.read("account", account);
    let http = http_options(section);
    let [own_polling, reference_polling] = polling;
    let polling = role.and_then(|role| match role {
        Some(Role::Reference) => reference_polling,
        Some(Role::Own) | None => own_polling,
    });
    let polling = PollingKeys::read(section, polling);
    let verdicts = network.map(|network| network.verdicts);
    let verdicts = Thresholds::read(section, &PEER_VERDICTS, verdicts);
    let expect_block_every = section.read("expect_block_every", |value| {
        duration(value, Duration::from_secs(1)..=TEN_YEARS)
    });
    let validator = section.read("validator", boolean);
    let maintenance = maintenance(section);
    let sidecar = sidecar(section, mode);
    let network = network?;
    Ok(Peer {
        name: name?,
        network: network.name.clone(),
        genesis: network.genesis,
        role: role?.unwrap_or(Role::Own),
        service: service?,
        endpoints: endpoints?,
        key: key?,
        labels: labels?,
        account: account?,
        http: http?,
        polling: polling?.into(),
        verdicts: verdicts?,
        expect_block_every: expect_block_every?,
        validator: validator?.unwrap_or(false),
        maintenance: maintenance?,
        sidecar: sidecar?,
        sampled: None,
        discovered: false,
    })
}

/// Reads `service` of a peer, which only an own one has.
fn service(
    peer: &Section,
    role: Result<Option<Role>, Reported>,
) -> Result<Option<String>, Reported> {
    let service = peer.read("service", name)?;
    if service.is_some() && role? == Some(Role::Reference) {
        let message = "a reference is part of no service; remove this key, or set `role: own`";
        return Err(peer.report_key("service", message));
    }
    Ok(service)
}

/// Reads `endpoints` of a peer, HTTP first; at least one, at most one per transport.
fn endpoints(peer: &Section) -> Result<Vec<Endpoint>, Reported> {
    let mut endpoints: Vec<(Endpoint, Position)> = Vec::new();
    let mut result = Ok(());
    for (path, node) in peer.list("endpoints")?.into_iter().flatten() {
        let value = Value {
            node,
            source: peer.source,
        };
        let endpoint = endpoint(&value).and_then(|endpoint| {
            let transport = endpoint.transport();
            match endpoints
                .iter()
                .find(|(other, _)| other.transport() == transport)
            {
                Some((_, first)) => Err(format!(
                    "a second {transport} endpoint, the first is on line {}; \
                     a peer has at most one http(s) and one tcp endpoint",
                    first.line
                )),
                None => Ok(endpoint),
            }
        });
        match endpoint {
            Ok(endpoint) => endpoints.push((endpoint, node.position)),
            Err(message) => result = Err(peer.source.report(node.position, path, message)),
        }
    }
    result?;
    if endpoints.is_empty() {
        return Err(peer.report_value(
            "endpoints",
            "no endpoint; add at least one, as in `[http://127.0.0.1:8080, tcp://127.0.0.1:18888]`",
        ));
    }
    endpoints.sort_by_key(|(endpoint, _)| endpoint.transport());
    Ok(endpoints
        .into_iter()
        .map(|(endpoint, _)| endpoint)
        .collect())
}

/// Parses an endpoint. Errors do not reveal the value of an environment variable in it.
pub(super) fn endpoint(value: &Value) -> Result<Endpoint, String> {
    let text = value.text()?;
    if text.contains('@') && !text.contains("://") {
        // The suggestion of `NoScheme` would reveal the password.
        return Err(userinfo_error());
    }
    Endpoint::parse(&text).map_err(|error| {
        if !value.has_variable() && error != EndpointError::Userinfo {
            return error.to_string();
        }
        let quoted = value.quoted_url();
        match error {
            EndpointError::NoScheme { .. } => {
                format!("{quoted} has no scheme; expected http://, https:// or tcp://")
            }
            EndpointError::Scheme { .. } => {
                format!("{quoted} has an unsupported scheme; expected http, https or tcp")
            }
            EndpointError::BinaryTls { .. } => {
                format!(
                    "{quoted} has scheme tls, which is not supported yet; expected tcp or https"
                )
            }
            EndpointError::Url { reason, .. } => format!("{quoted} is not a URL: {reason}"),
            EndpointError::Userinfo => userinfo_error(),
            EndpointError::Route { .. } => {
                format!("{quoted} is a route of the REST API; give what stands before /api")
            }
            EndpointError::Excess { what, .. } => {
                format!("{quoted} has {what}; remove it from the endpoint")
            }
        }
    })
}

/// The error for a password in an endpoint, with the keys to use instead.
fn userinfo_error() -> String {
    format!(
        "{}; use headers or bearer_token_file",
        EndpointError::Userinfo
    )
}
