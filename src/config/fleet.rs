//! The networks and peers of the file, defaults filled in.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;

use super::access::http_options;
use super::error::Position;
use super::file::Content;
use super::keys::{
    DEFAULTS, DISCOVERY, Keys, NETWORK, NETWORK_VERDICTS, PEER, PEER_VERDICTS, nearest,
};
use super::scalar::{DAY, account, boolean, choice, count, duration, hash, name, one_of};
use super::section::{Refused, Section, Value};
use super::{Cadence, Network, Peer, Role};
use crate::peer::endpoint::{Endpoint, EndpointError};

/// The network of a file that defines none.
const IMPLIED_NETWORK: &str = "default";

/// Shorter intervals would measure the monitor's own load; longer ones hide more than a day.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;
/// Up to ten years, as humantime counts them.
const CERTIFICATE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(10 * 31_557_600);

/// The labels of the agent's own metrics, and those that Prometheus and its alerts attach themselves.
const RESERVED_LABELS: &[&str] = &[
    "alertname",
    "api",
    "check",
    "condition",
    "controller",
    "genesis",
    "instance",
    "job",
    "le",
    "level",
    "mode",
    "network",
    "peer",
    "peer_key",
    "phase",
    "quantile",
    "query",
    "reason",
    "receiver",
    "request",
    "role",
    "severity",
    "standing",
    "state",
    "transport",
    "url",
    "vantage",
];

/// What a peer has when it does not say otherwise.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    pub(super) rhythm: Rhythm,
    pub(super) certificate: Duration,
}

/// A cadence whose longest interval may still follow its interval.
#[derive(Clone, Copy)]
pub(super) struct Rhythm {
    interval: Duration,
    timeout: Duration,
    retries: u32,
    down_after: u32,
    up_after: u32,
    max_interval: Option<Duration>,
}

impl Rhythm {
    pub(super) const DEFAULT: Self = Self {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        retries: 1,
        down_after: 2,
        up_after: 2,
        max_interval: None,
    };

    /// Reads the cadence keys of a section over what holds without them.
    fn read(section: &Section, base: Result<Self, Refused>) -> Result<Self, Refused> {
        let interval = section.read("interval", |value| duration(value, INTERVAL));
        let timeout = section.read("timeout", |value| duration(value, TIMEOUT));
        let retries = section.read("retries", |value| count(value, 0..=100));
        let down_after = section.read("down_after", |value| count(value, 1..=1000));
        let up_after = section.read("up_after", |value| count(value, 1..=1000));
        let max_interval = section.read("max_interval", |value| duration(value, INTERVAL));
        let base = base?;
        let mut rhythm = Self {
            interval: interval?.unwrap_or(base.interval),
            timeout: timeout?.unwrap_or(base.timeout),
            max_interval: max_interval?.or(base.max_interval),
            ..base
        };
        rhythm.check(section)?;
        rhythm.retries = retries?.unwrap_or(base.retries);
        rhythm.down_after = down_after?.unwrap_or(base.down_after);
        rhythm.up_after = up_after?.unwrap_or(base.up_after);
        Ok(rhythm)
    }

    /// Holds the durations against each other; what is wrong stands at the key that this section has.
    fn check(&self, section: &Section) -> Result<(), Refused> {
        let report = |key, message| {
            let at = |key| section.value_position(key).map(|position| (key, position));
            let (key, position) = at(key)
                .or_else(|| at("interval"))
                .unwrap_or((key, section.position));
            Err(section.report(position, key, message))
        };
        let interval = format_duration(self.interval);
        let mut sound = Ok(());
        if self.timeout >= self.interval {
            let timeout = format_duration(self.timeout);
            sound = report(
                "timeout",
                format!(
                    "timeout {timeout} is not shorter than interval {interval}; set `timeout` below it"
                ),
            );
        }
        if let Some(longest) = self.max_interval.filter(|longest| *longest < self.interval) {
            let longest = format_duration(longest);
            sound = report(
                "max_interval",
                format!(
                    "max_interval {longest} is shorter than interval {interval}; set `max_interval` to at least that"
                ),
            );
        }
        sound
    }

    fn cadence(self) -> Cadence {
        Cadence {
            interval: self.interval,
            timeout: self.timeout,
            retries: self.retries,
            down_after: self.down_after,
            up_after: self.up_after,
            max_interval: self.max_interval.unwrap_or(self.interval),
        }
    }
}

/// The file's `defaults`, over the built-in ones.
pub(super) fn rhythm(file: &Section) -> Result<Rhythm, Refused> {
    match file.section("defaults", &DEFAULTS)? {
        Some(section) => Rhythm::read(&section, Ok(Rhythm::DEFAULT)),
        None => Ok(Rhythm::DEFAULT),
    }
}

/// The certificate threshold under `verdicts` of a section.
pub(super) fn certificate(section: &Section, keys: &Keys) -> Result<Option<Duration>, Refused> {
    match section.section("verdicts", keys)? {
        Some(verdicts) => verdicts.read("certificate", |value| duration(value, CERTIFICATE)),
        None => Ok(None),
    }
}

/// Names given so far, each with its line.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    /// The section's name, which no earlier one has.
    fn claim(&mut self, section: &Section) -> Result<String, Refused> {
        let text = section.need("name", name)?;
        let position = section.value_position("name").unwrap_or(section.position);
        if let Some(line) = self.0.get(&text) {
            let message = format!("{text:?} is already the name on line {line}; names are unique");
            return Err(section.report(position, "name", message));
        }
        self.0.insert(text.clone(), position.line);
        Ok(text)
    }
}

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
    fn of(&self, peer: &Section) -> Result<&(Network, Option<Duration>), Refused> {
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

/// The peers of the file; at least one.
pub(super) fn peers(
    file: &Section,
    networks: Result<&Networks, Refused>,
    defaults: Result<Defaults, Refused>,
) -> Result<Vec<Peer>, Refused> {
    let mut names = Names::default();
    let mut peers = Vec::new();
    let mut sound = Ok(());
    let items = file.list("peers")?;
    let missing = items.is_none();
    for (path, node) in items.into_iter().flatten() {
        let peer = Section::open(file.source, path, node, &PEER).and_then(|section| {
            let name = names.claim(&section);
            peer(&section, name, networks, defaults)
        });
        match peer {
            Ok(peer) => peers.push(peer),
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
    defaults: Result<Defaults, Refused>,
) -> Result<Peer, Refused> {
    let network = networks.and_then(|networks| networks.of(section));
    let roles = [Role::Own, Role::Reference].map(|role| (role.as_str(), role));
    let role = section.read("role", |value| choice(value, &roles));
    let endpoints = endpoints(section);
    let key = section.read("key", hash);
    let labels = labels(section);
    let account = section.read("account", account);
    let http = http_options(section);
    let rhythm = Rhythm::read(section, defaults.map(|defaults| defaults.rhythm));
    let certificate = certificate(section, &PEER_VERDICTS);
    let (network, network_certificate) = network?;
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
        certificate: certificate?
            .or(*network_certificate)
            .unwrap_or(defaults?.certificate),
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

fn endpoint(value: &Value) -> Result<Endpoint, String> {
    let text = value.text()?;
    if text.contains('@') && !text.contains("://") {
        // The suggestion would repeat the password.
        return Err(EndpointError::Userinfo.to_string());
    }
    Endpoint::parse(&text).map_err(|error| {
        if !value.is_substituted() {
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
            EndpointError::Userinfo => error.to_string(),
            EndpointError::Excess { what, .. } => {
                format!("{found} carries {what}, which an endpoint does not have")
            }
        }
    })
}

fn labels(peer: &Section) -> Result<BTreeMap<String, String>, Refused> {
    let mut labels = BTreeMap::new();
    let mut sound = Ok(());
    for (path, key, value) in peer.map("labels")? {
        if let Err(message) = label_name(&key.text) {
            sound = Err(peer.source.report(key.position, path, message));
            continue;
        }
        let text = match value.node.content {
            Content::Null => Err("has no value; give it one or remove the key".to_owned()),
            _ => value.text(),
        };
        match text {
            Ok(text) => {
                labels.insert(key.text.clone(), text);
            }
            Err(message) => sound = Err(peer.source.report(value.node.position, path, message)),
        }
    }
    sound?;
    Ok(labels)
}

fn label_name(text: &str) -> Result<(), String> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let plain = text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit());
    if !plain || text.starts_with("__") {
        return Err(
            "not a label name; expected letters, digits and `_`, not first a digit or `__`"
                .to_owned(),
        );
    }
    if RESERVED_LABELS.contains(&text) {
        return Err(format!(
            "{text:?} is a label that the agent or Prometheus sets itself; choose another name, as in `my_{text}`"
        ));
    }
    Ok(())
}
