//! The peers of the file, defaults filled in.

use std::sync::Arc;
use std::time::Duration;

use convex_client::{Endpoint, EndpointError};

use super::access::http_options;
use super::error::Position;
use super::keys::{PEER, PEER_VERDICTS};
use super::labels::labels;
use super::maintenance::maintenance;
use super::networks::Networks;
use super::rhythm::Rhythm;
use super::scalar::{TEN_YEARS, account, choice, duration, hash, name};
use super::section::{Names, Refused, Section, Value};
use super::sidecar::sidecar;
use super::verdicts::Thresholds;
use super::{Mode, Peer, Role};

/// The peers of the file; at least one. `rhythms` are those of own peers and of references.
pub(super) fn peers(
    file: &Section,
    networks: Result<&Networks, Refused>,
    rhythms: [Result<Rhythm, Refused>; 2],
    mode: Result<Mode, Refused>,
) -> Result<Vec<Arc<Peer>>, Refused> {
    let mut names = Names::default();
    let mut peers = Vec::new();
    let mut sound = Ok(());
    let items = file.list("peers")?;
    let missing = items.is_none();
    for (path, node) in items.into_iter().flatten() {
        let peer = Section::open(file.source, path, node, &PEER).and_then(|section| {
            let name = names.claim(&section, name);
            peer(&section, name, networks, rhythms, mode)
        });
        match peer {
            Ok(peer) => peers.push(Arc::new(peer)),
            Err(refused) => sound = Err(refused),
        }
    }
    sound?;
    if peers.is_empty() {
        let what = if missing { "is missing" } else { "is empty" };
        let position = file.value_position("peers").unwrap_or(file.position);
        let message = format!("{what}; there is nothing to watch without a peer");
        return Err(file.report(position, "peers", message));
    }
    Ok(peers)
}

fn peer(
    section: &Section,
    name: Result<String, Refused>,
    networks: Result<&Networks, Refused>,
    rhythms: [Result<Rhythm, Refused>; 2],
    mode: Result<Mode, Refused>,
) -> Result<Peer, Refused> {
    let network = networks.and_then(|networks| networks.of(section));
    let roles = [Role::Own, Role::Reference].map(|role| (role.as_str(), role));
    let role = section.read("role", |value| choice(value, &roles));
    let endpoints = endpoints(section);
    let key = section.read("key", hash);
    let labels = labels(section);
    let account = section.read("account", account);
    let http = http_options(section);
    let [of_own, of_references] = rhythms;
    let rhythm = role.and_then(|role| match role {
        Some(Role::Reference) => of_references,
        Some(Role::Own) | None => of_own,
    });
    let rhythm = Rhythm::read(section, rhythm);
    let verdicts = network.map(|network| network.verdicts);
    let verdicts = Thresholds::read(section, &PEER_VERDICTS, verdicts);
    let expect_block_every = section.read("expect_block_every", |value| {
        duration(value, Duration::from_secs(1)..=TEN_YEARS)
    });
    let maintenance = maintenance(section);
    let sidecar = sidecar(section, mode);
    let network = network?;
    Ok(Peer {
        name: name?,
        network: network.name.clone(),
        genesis: network.genesis,
        role: role?.unwrap_or(Role::Own),
        endpoints: endpoints?,
        key: key?,
        labels: labels?,
        account: account?,
        http: http?,
        cadence: rhythm?.cadence(),
        verdicts: verdicts?,
        expect_block_every: expect_block_every?,
        maintenance: maintenance?,
        sidecar: sidecar?,
        sampled: None,
    })
}

/// The peer's endpoints, HTTP first; at least one, at most one a transport.
fn endpoints(peer: &Section) -> Result<Vec<Endpoint>, Refused> {
    let mut endpoints: Vec<(Endpoint, Position)> = Vec::new();
    let mut sound = Ok(());
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
            Err(message) => sound = Err(peer.source.report(node.position, path, message)),
        }
    }
    sound?;
    if endpoints.is_empty() {
        let position = peer.value_position("endpoints").unwrap_or(peer.position);
        return Err(peer.report(
            position,
            "endpoints",
            "no endpoint; give at least one, as in `[http://127.0.0.1:8080, tcp://127.0.0.1:18888]`",
        ));
    }
    endpoints.sort_by_key(|(endpoint, _)| endpoint.transport());
    Ok(endpoints
        .into_iter()
        .map(|(endpoint, _)| endpoint)
        .collect())
}

/// An endpoint, told of as written when the environment was put into it.
pub(super) fn endpoint(value: &Value) -> Result<Endpoint, String> {
    let text = value.text()?;
    if text.contains('@') && !text.contains("://") {
        // The suggestion would repeat the password.
        return Err(userinfo(&EndpointError::Userinfo));
    }
    Endpoint::parse(&text).map_err(|error| {
        if !value.is_substituted() && error != EndpointError::Userinfo {
            return error.to_string();
        }
        // What the environment gave may be a secret in the wrong place: tell the text as written.
        let found = value.found();
        match error {
            EndpointError::NoScheme { .. } => {
                format!("{found} has no scheme; expected http://, https:// or tcp://")
            }
            EndpointError::Scheme { .. } => {
                format!("{found} has another scheme; expected http, https or tcp")
            }
            EndpointError::Url { reason, .. } => format!("{found} is not a URL: {reason}"),
            EndpointError::Userinfo => userinfo(&error),
            EndpointError::Excess { what, .. } => {
                format!("{found} carries {what}, which an endpoint does not have")
            }
        }
    })
}

fn userinfo(error: &EndpointError) -> String {
    format!("{error}; use headers or bearer_token_file")
}
