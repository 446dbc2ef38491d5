//! The networks of the file, and which of them a peer belongs to.

use std::time::Duration;

use super::Network;
use super::keys::{DISCOVERY, NETWORK, NETWORK_VERDICTS, nearest};
use super::rhythm::{INTERVAL, certificate};
use super::scalar::{boolean, count, duration, hash, one_of};
use super::section::{Names, Refused, Section, Value};

/// The network of a file that defines none.
const IMPLIED_NETWORK: &str = "default";

/// A network as the file defines it.
struct Entry {
    /// None when it is refused: then peers that name no network are not told off for it.
    name: Option<String>,
    network: Result<(Network, Option<Duration>), Refused>,
}

/// The networks of the file, for its peers to refer to.
pub(super) struct Networks(Vec<Entry>);

impl Networks {
    pub(super) fn read(file: &Section) -> Result<Self, Refused> {
        let Some(items) = file.list("networks")? else {
            let network = Network {
                name: IMPLIED_NETWORK.to_owned(),
                genesis: None,
            };
            return Ok(Self(vec![Entry {
                name: Some(network.name.clone()),
                network: Ok((network, None)),
            }]));
        };
        let mut names = Names::default();
        let mut networks = Vec::new();
        for (path, node) in items {
            let section = Section::open(file.source, path, node, &NETWORK);
            let name = section
                .as_ref()
                .map_err(|r| *r)
                .and_then(|s| names.claim(s));
            networks.push(Entry {
                name: name.as_ref().ok().cloned(),
                network: section.and_then(|section| network(&section, name)),
            });
        }
        if networks.is_empty() {
            let position = file.value_position("networks").unwrap_or(file.position);
            return Err(file.report(
                position,
                "networks",
                "is empty; define a network, or remove the key for one named `default`",
            ));
        }
        Ok(Self(networks))
    }

    /// The network that a peer belongs to.
    pub(super) fn of(&self, peer: &Section) -> Result<&(Network, Option<Duration>), Refused> {
        let named = peer.read("network", |value| self.find(value))?;
        let ((Some(entry), _) | (None, [entry])) = (named, self.0.as_slice()) else {
            if self.0.iter().any(|entry| entry.name.is_none()) {
                return Err(Refused);
            }
            let message = format!("is missing; expected {}", one_of(&self.names()));
            return Err(peer.report(peer.position, "network", message));
        };
        entry.network.as_ref().map_err(|refused| *refused)
    }

    fn find(&self, value: &Value) -> Result<&Entry, String> {
        let wanted = value.text()?;
        let entry = self
            .0
            .iter()
            .find(|entry| entry.name.as_ref() == Some(&wanted));
        entry.ok_or_else(|| {
            let names = self.names();
            let advice = match nearest(&wanted, names.iter().copied()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("define it under `networks`, or use {}", one_of(&names)),
            };
            format!("{} is not a network of this file; {advice}", value.found())
        })
    }

    fn names(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|entry| entry.name.as_deref())
            .collect()
    }

    pub(super) fn into_networks(self) -> Result<Vec<Network>, Refused> {
        let networks = self.0.into_iter();
        networks.map(|entry| Ok(entry.network?.0)).collect()
    }
}

fn network(
    section: &Section,
    name: Result<String, Refused>,
) -> Result<(Network, Option<Duration>), Refused> {
    let genesis = section.read("genesis", hash);
    let certificate = certificate(section, &NETWORK_VERDICTS);
    let discovery = discovery(section);
    let network = Network {
        name: name?,
        genesis: genesis?,
    };
    discovery?;
    Ok((network, certificate?))
}

/// Checks a network's `discovery`, which may stand there as long as it is off.
fn discovery(network: &Section) -> Result<(), Refused> {
    let Some(section) = network.section("discovery", &DISCOVERY)? else {
        return Ok(());
    };
    let enabled = section.read("enabled", |value| {
        if boolean(value)? {
            Err("true is not yet supported by this version; write false".to_owned())
        } else {
            Ok(())
        }
    });
    let interval = section.read("interval", |value| duration(value, INTERVAL));
    let max_peers = section.read("max_peers", |value| count(value, 1..=100_000));
    let allow_private = section.read("allow_private", boolean);
    let http_port = section.read("http_port", |value| count(value, 1..=u16::MAX.into()));
    enabled?;
    interval?;
    max_peers?;
    allow_private?;
    http_port?;
    Ok(())
}
