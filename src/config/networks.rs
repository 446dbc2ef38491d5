//! The networks of the file, and the network of each peer.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;

use super::canary::{Canary, CanaryCheck, CanaryPositions, canary};
use super::discovery::{Discovery, discovery};
use super::error::Position;
use super::keys::{NETWORK, NETWORK_VERDICTS, nearest};
use super::peers::Peer;
use super::scalar::{DAY, duration, duration_or_zero, hash, name, one_of};
use super::section::{Names, Section};
use super::slo::{Slo, slo, unreachable_minimum};
use super::source::Reported;
use super::value::Value;
use super::verdicts::Thresholds;

/// Name of the network of a file that defines none.
const DEFAULT_NETWORK: &str = "default";
/// How often the stakes of a network are read. A read goes through the whole registry, so reading
/// more often would load the peer.
const STAKE_INTERVAL: Duration = Duration::from_secs(60);
const STAKE_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;
/// How often the beliefs of a network's peers are read.
const CONSENSUS_INTERVAL: Duration = Duration::from_secs(60);
const CONSENSUS_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;

/// A network of peers with the same genesis state.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The `network` label; unique.
    pub name: String,
    /// Genesis hash that its peers must have, if pinned.
    pub genesis: Option<Hash>,
    /// Thresholds for the network and its discovered peers.
    pub verdicts: Thresholds,
    /// How registered peers are discovered; `None` if they are not.
    pub discovery: Option<Discovery>,
    /// Time between two reads of the stakes.
    pub stake_interval: Duration,
    /// Time between two reads of the beliefs of its peers; `None` if they are not read.
    pub consensus_interval: Option<Duration>,
    /// The service level of the operator's own peers.
    pub slo: Slo,
    /// The transactions that prove that its peers work; `None` if there are none.
    pub canary: Option<Canary>,
}

/// A network as the file defines it.
struct Entry {
    /// `None` if invalid; peers without `network` are then not reported.
    name: Option<String>,
    network: Result<Network, Reported>,
    positions: Positions,
}

/// Where values are that are checked against other parts of the file.
#[derive(Default)]
struct Positions {
    /// That of `slo.serving_min`, if it is set.
    serving_min: Option<Position>,
    canary: Option<CanaryPositions>,
}

/// The networks of the file, to which its peers refer.
pub(super) struct Networks(Vec<Entry>);

impl Networks {
    /// Reads `networks`; `verdicts` has the thresholds that a network does not set.
    pub(super) fn read(
        file: &Section,
        verdicts: Result<Thresholds, Reported>,
    ) -> Result<Self, Reported> {
        let Some(items) = file.list("networks")? else {
            let network = verdicts.map(|verdicts| Network {
                name: DEFAULT_NETWORK.to_owned(),
                genesis: None,
                verdicts,
                discovery: None,
                stake_interval: STAKE_INTERVAL,
                consensus_interval: Some(CONSENSUS_INTERVAL),
                slo: Slo::default(),
                canary: None,
            });
            return Ok(Self(vec![Entry {
                name: Some(DEFAULT_NETWORK.to_owned()),
                network,
                positions: Positions::default(),
            }]));
        };
        let mut names = Names::default();
        let mut networks = Vec::new();
        for (path, node) in items {
            let section = Section::open(file.source, path, node, &NETWORK);
            let claimed = section
                .as_ref()
                .map_err(|reported| *reported)
                .and_then(|section| names.claim(section, name));
            let name = claimed.as_ref().ok().cloned();
            let read = section.and_then(|section| network(&section, claimed, verdicts));
            let (network, positions) = match read {
                Ok((network, positions)) => (Ok(network), positions),
                Err(reported) => (Err(reported), Positions::default()),
            };
            networks.push(Entry {
                name,
                network,
                positions,
            });
        }
        if networks.is_empty() {
            return Err(file.report_value(
                "networks",
                "is empty; add a network, or remove the key to use one named `default`",
            ));
        }
        Ok(Self(networks))
    }

    /// Returns the network of a peer.
    pub(super) fn network_of(&self, peer: &Section) -> Result<&Network, Reported> {
        let named = peer.read("network", |value| self.find(value))?;
        let ((Some(entry), _) | (None, [entry])) = (named, self.0.as_slice()) else {
            if self.0.iter().any(|entry| entry.name.is_none()) {
                return Err(Reported);
            }
            let message = format!("is missing; expected {}", one_of(&self.names()));
            return Err(peer.report(peer.position, "network", message));
        };
        entry.network.as_ref().map_err(|reported| *reported)
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
            format!("{} is not a network of this file; {advice}", value.quoted())
        })
    }

    /// Parses the name of one of these networks.
    pub(super) fn name(&self, value: &Value) -> Result<String, String> {
        self.find(value)?;
        value.text()
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|entry| entry.name.as_deref())
            .collect()
    }

    /// Reports each network whose service level cannot be met by its `peers`.
    pub(super) fn check_slo(&self, file: &Section, peers: &[Arc<Peer>]) -> Result<(), Reported> {
        let mut result = Ok(());
        for (i, entry) in self.0.iter().enumerate() {
            if let (Ok(network), Some(position)) = (&entry.network, entry.positions.serving_min)
                && let Some(message) = unreachable_minimum(network.slo, &network.name, peers)
            {
                let path = format!("networks[{i}].slo.serving_min");
                result = Err(file.source.report(position, path, message));
            }
        }
        result
    }

    /// Reports each canary that does not fit the rest of the file.
    pub(super) fn check_canaries(
        &self,
        file: &Section,
        peers: &[Arc<Peer>],
        state_dir: Option<&Path>,
    ) -> Result<(), Reported> {
        let mut result = Ok(());
        for (i, entry) in self.0.iter().enumerate() {
            if let (Ok(network), Some(positions)) = (&entry.network, &entry.positions.canary)
                && let Some(canary) = &network.canary
            {
                let check = CanaryCheck {
                    network: &network.name,
                    path: format!("networks[{i}]"),
                    consensus_interval: network.consensus_interval,
                    peers,
                    state_dir,
                };
                result = result.and(check.run(file, canary, positions));
            }
        }
        result
    }

    pub(super) fn into_networks(self) -> Result<Vec<Network>, Reported> {
        let networks = self.0.into_iter();
        networks.map(|entry| entry.network).collect()
    }
}

fn network(
    section: &Section,
    name: Result<String, Reported>,
    verdicts: Result<Thresholds, Reported>,
) -> Result<(Network, Positions), Reported> {
    let genesis = section.read("genesis", hash);
    let verdicts = Thresholds::read(section, &NETWORK_VERDICTS, verdicts);
    let discovery = discovery(section);
    let stake_interval = section.read("stake_interval", |value| duration(value, STAKE_INTERVALS));
    let consensus_interval = section.read("consensus_interval", |value| {
        duration_or_zero(value, CONSENSUS_INTERVALS)
    });
    let slo = slo(section);
    let canary = canary(section);
    let (name, (slo, serving_min)) = (name?, slo?);
    let (canary, canary_positions) = canary?.unzip();
    let network = Network {
        name,
        genesis: genesis?,
        verdicts: verdicts?,
        discovery: discovery?,
        stake_interval: stake_interval?.unwrap_or(STAKE_INTERVAL),
        consensus_interval: consensus_interval?.unwrap_or(Some(CONSENSUS_INTERVAL)),
        slo,
        canary,
    };
    let positions = Positions {
        serving_min,
        canary: canary_positions,
    };
    Ok((network, positions))
}
