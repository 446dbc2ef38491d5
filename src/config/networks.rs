//! The networks of the file, and which of them a peer belongs to.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Network;
use super::discovery::discovery;
use super::keys::{NETWORK, NETWORK_VERDICTS, nearest};
use super::scalar::{DAY, duration, hash, name, one_of};
use super::section::{Names, Refused, Section, Value};
use super::verdicts::Thresholds;

/// The network of a file that defines none.
const IMPLIED_NETWORK: &str = "default";
/// How often a network's stakes are asked for. A reading goes through the whole registry: more often would be a load.
const STAKE_INTERVAL: Duration = Duration::from_secs(60);
const STAKE_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;

/// A network as the file defines it.
struct Entry {
    /// None when it is refused: then peers that name no network are not told off for it.
    name: Option<String>,
    network: Result<Network, Refused>,
}

/// The networks of the file, for its peers to refer to.
pub(super) struct Networks(Vec<Entry>);

impl Networks {
    /// The networks of the file, whose thresholds hold where a network has none of its own.
    pub(super) fn read(
        file: &Section,
        verdicts: Result<Thresholds, Refused>,
    ) -> Result<Self, Refused> {
        let Some(items) = file.list("networks")? else {
            let network = verdicts.map(|verdicts| Network {
                name: IMPLIED_NETWORK.to_owned(),
                genesis: None,
                verdicts,
                discovery: None,
                stake_interval: STAKE_INTERVAL,
            });
            return Ok(Self(vec![Entry {
                name: Some(IMPLIED_NETWORK.to_owned()),
                network,
            }]));
        };
        let mut names = Names::default();
        let mut networks = Vec::new();
        for (path, node) in items {
            let section = Section::open(file.source, path, node, &NETWORK);
            let claimed = section
                .as_ref()
                .map_err(|r| *r)
                .and_then(|s| names.claim(s, name));
            networks.push(Entry {
                name: claimed.as_ref().ok().cloned(),
                network: section.and_then(|section| network(&section, claimed, verdicts)),
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
    pub(super) fn of(&self, peer: &Section) -> Result<&Network, Refused> {
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

    /// The name that `value` is, of one of these networks.
    pub(super) fn named(&self, value: &Value) -> Result<String, String> {
        self.find(value)?;
        value.text()
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|entry| entry.name.as_deref())
            .collect()
    }

    pub(super) fn into_networks(self) -> Result<Vec<Network>, Refused> {
        let networks = self.0.into_iter();
        networks.map(|entry| entry.network).collect()
    }
}

fn network(
    section: &Section,
    name: Result<String, Refused>,
    verdicts: Result<Thresholds, Refused>,
) -> Result<Network, Refused> {
    let genesis = section.read("genesis", hash);
    let verdicts = Thresholds::read(section, &NETWORK_VERDICTS, verdicts);
    let discovery = discovery(section);
    let stake_interval = section.read("stake_interval", |value| duration(value, STAKE_INTERVALS));
    Ok(Network {
        name: name?,
        genesis: genesis?,
        verdicts: verdicts?,
        discovery: discovery?,
        stake_interval: stake_interval?.unwrap_or(STAKE_INTERVAL),
    })
}
