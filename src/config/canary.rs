//! The canary of a network: transactions that do nothing, which prove that its own peers execute
//! transactions.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cad3::Hash;
use convex_client::Transport;
use convex_client::transaction::{AccountKey, MAX_KEY_FILE_BYTES};

use super::error::Position;
use super::file_read::read_file;
use super::keys::CANARY;
use super::peers::{Peer, Role};
use super::scalar::{DAY, account, boolean, duration, number};
use super::secret_file::{is_world_readable, world_readable_warning};
use super::section::Section;
use super::source::Reported;
use super::value::Value;
use super::yaml::Content;

/// A block a minute is the most that the canary makes.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(60)..=DAY;
const INTERVAL: Duration = Duration::from_secs(600);
/// More is no answer within the deadline of a transaction.
const OBJECTIVES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
const OBJECTIVE: Duration = Duration::from_secs(10);
/// Copper in a Convex coin.
const COPPER_PER_CVM: f64 = 1e9;
/// Smallest and largest budget, CVM: one copper, and more than any canary needs.
const BUDGETS_CVM: RangeInclusive<f64> = 1e-9..=1e6;
/// The text that stands for all own peers.
const OWN: &str = "own";
/// Longest `consensus_interval` with which the canary learns of blocks in time.
const MAX_CONSENSUS_INTERVAL: Duration = Duration::from_secs(120);

/// The canary of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The account that pays; nothing else uses it.
    pub account: u64,
    /// File with the private key of the account.
    pub key_file: PathBuf,
    /// The private key of the account.
    pub key: CanaryKey,
    /// Time between the starts of two rounds. In a round each peer gets one transaction.
    pub interval: Duration,
    /// How long nine of ten transactions may take at most.
    pub objective: Duration,
    /// Names of the peers that transactions are sent through, in file order; `None`: all own ones
    /// with a `tcp://` endpoint.
    pub peers: Option<Vec<String>>,
    /// Most copper that is spent in a day.
    pub daily_budget_copper: u64,
    /// Whether it also sends where nobody else does and the own peers do not hold most of the
    /// stake.
    pub allow_idle: bool,
}

/// The private key of the account. Two are equal if their public keys are.
#[derive(Clone)]
pub struct CanaryKey(Arc<AccountKey>);

impl CanaryKey {
    /// Returns the key to sign with.
    #[must_use]
    pub fn get(&self) -> &AccountKey {
        &self.0
    }

    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> Hash {
        self.0.public_key()
    }
}

impl From<AccountKey> for CanaryKey {
    fn from(key: AccountKey) -> Self {
        Self(Arc::new(key))
    }
}

impl PartialEq for CanaryKey {
    fn eq(&self, other: &Self) -> bool {
        self.public_key() == other.public_key()
    }
}

impl fmt::Debug for CanaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Canary {
    /// Whether transactions are sent through this peer of its network.
    #[must_use]
    pub fn uses(&self, peer: &Peer) -> bool {
        is_usable(peer) && self.peers.as_ref().is_none_or(|it| it.contains(&peer.name))
    }
}

/// Whether a peer can be asked for transactions: another shard asks its own.
fn is_usable(peer: &Peer) -> bool {
    let mut endpoints = peer.endpoints.iter();
    peer.role == Role::Own
        && peer.sampled.is_none()
        && endpoints.any(|endpoint| endpoint.transport() == Transport::Tcp)
}

/// Where the parts of a canary are that are checked against the rest of the file.
#[derive(Debug)]
pub(super) struct CanaryPositions {
    section: Position,
    peers: Vec<Position>,
}

/// Reads `canary` of a network, and where it is.
pub(super) fn canary(network: &Section) -> Result<Option<(Canary, CanaryPositions)>, Reported> {
    let Some(section) = network.section("canary", &CANARY)? else {
        return Ok(None);
    };
    let account = section.require("account", account);
    let key = section.require("key_file", key_file);
    let interval = section.read("interval", |value| duration(value, INTERVALS));
    let objective = section.read("objective", |value| duration(value, OBJECTIVES));
    let peers = peers(&section);
    let budget = section.require("daily_budget_cvm", |value| number(value, BUDGETS_CVM));
    let allow_idle = section.read("allow_idle", boolean);
    let ((key_file, key), (peers, positions)) = (key?, peers?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be positive and at most 1e15"
    )]
    let daily_budget_copper = (budget? * COPPER_PER_CVM).round() as u64;
    let canary = Canary {
        account: account?,
        key_file,
        key,
        interval: interval?.unwrap_or(INTERVAL),
        objective: objective?.unwrap_or(OBJECTIVE),
        peers,
        daily_budget_copper,
        allow_idle: allow_idle?.unwrap_or(false),
    };
    let position = section.key_position("allow_idle");
    if let Some(position) = position.filter(|_| canary.allow_idle) {
        let warning = "allow_idle: on an idle network each transaction of the canary moves the time \
                       of the network, and with it the decay of all peers that make no block: within \
                       37 minutes they are left with a thousandth of their weight, and only the peers \
                       of the canary still count";
        network.source.warn(position, warning.to_owned());
    }
    let section = section.position;
    let positions = CanaryPositions {
        section,
        peers: positions,
    };
    Ok(Some((canary, positions)))
}

/// Reads the private key in the file that the value names.
fn key_file(value: &Value) -> Result<(PathBuf, CanaryKey), String> {
    let path = value.path()?;
    let file = value.quoted_path(&path);
    let (bytes, metadata) = read_file(&path, MAX_KEY_FILE_BYTES as u64)
        .map_err(|error| format!("cannot read {file}: {error}"))?;
    if is_world_readable(&metadata) {
        let warning = world_readable_warning(&file);
        value.source.warn(value.node.position, warning);
    }
    let key = AccountKey::from_key_file(&bytes).map_err(|error| format!("{file} {error}"))?;
    Ok((path, key.into()))
}

/// Reads `peers`: `own`, or a list of names with the position of each.
fn peers(section: &Section) -> Result<(Option<Vec<String>>, Vec<Position>), Reported> {
    let is_own = section.read("peers", |value| match value.node.content {
        Content::List(_) => Ok(false),
        _ if value.text()? == OWN => Ok(true),
        _ => Err(format!(
            "{} is neither `own` nor a list of names of own peers",
            value.quoted()
        )),
    })?;
    if is_own != Some(false) {
        return Ok((None, Vec::new()));
    }
    let names = section.read_list("peers", |value| Ok((value.text()?, value.node.position)))?;
    let names = names.into_iter().collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        let message = "is empty; name at least one peer, or write `own` for all own peers";
        return Err(section.report_value("peers", message));
    }
    let (names, positions) = names.into_iter().unzip();
    Ok((Some(names), positions))
}

/// Checks a canary against the rest of the file, and reports what does not fit.
pub(super) struct CanaryCheck<'a> {
    /// The network's name.
    pub(super) network: &'a str,
    /// Path of the network in the file.
    pub(super) path: String,
    /// The network's `consensus_interval`.
    pub(super) consensus_interval: Option<Duration>,
    /// All peers of the file.
    pub(super) peers: &'a [Arc<Peer>],
    /// The directory of the state.
    pub(super) state_dir: Option<&'a Path>,
}

impl CanaryCheck<'_> {
    pub(super) fn run(
        &self,
        file: &Section,
        canary: &Canary,
        positions: &CanaryPositions,
    ) -> Result<(), Reported> {
        let report = |position, key: &str, message: String| {
            let path = format!("{}.canary{key}", self.path);
            Err(file.source.report(position, path, message))
        };
        let mut result = Ok(());
        if self.state_dir.is_none() {
            let message = "needs `state_dir`: what was signed and spent must survive a restart; set \
                           `state_dir`, or remove `canary`";
            result = report(positions.section, "", message.to_owned());
        }
        let mut usable = self
            .peers
            .iter()
            .filter(|peer| peer.network == self.network);
        match &canary.peers {
            None if !usable.any(|peer| canary.uses(peer)) => {
                let message = format!(
                    "the network {:?} has no peer to send transactions through; add one with \
                     `role: own` and a tcp:// endpoint, or remove `canary`",
                    self.network
                );
                result = report(positions.section, "", message);
            }
            None => {}
            Some(names) => {
                for (i, (name, position)) in names.iter().zip(&positions.peers).enumerate() {
                    if let Err(message) = self.check_peer(name) {
                        result = report(*position, &format!(".peers[{i}]"), message);
                    } else if names[..i].contains(name) {
                        let message = format!("{name:?} is given twice; remove one");
                        result = report(*position, &format!(".peers[{i}]"), message);
                    }
                }
            }
        }
        let learns_of_blocks = self
            .consensus_interval
            .is_some_and(|interval| interval <= MAX_CONSENSUS_INTERVAL);
        if !learns_of_blocks && !canary.allow_idle {
            let warning = "the canary sends only after it has seen blocks of others, unless the own \
                           peers hold more than 67 % of the stake; with a consensus_interval of 0 or \
                           of more than 2m it does not see them in time";
            file.source.warn(positions.section, warning.to_owned());
        }
        result
    }

    fn check_peer(&self, name: &str) -> Result<(), String> {
        let mut peers = self.peers.iter();
        match peers.find(|peer| peer.name == name) {
            None => Err(format!("{name:?} is not a peer of this file")),
            Some(peer) if peer.network != self.network => Err(format!(
                "{name:?} is a peer of the network {:?}, not of {:?}",
                peer.network, self.network
            )),
            Some(peer) if peer.role != Role::Own => Err(format!(
                "{name:?} is a reference; transactions are sent through own peers only"
            )),
            Some(peer) if !is_usable(peer) => Err(format!(
                "{name:?} has no tcp:// endpoint, and transactions are sent over the binary protocol"
            )),
            Some(_) => Ok(()),
        }
    }
}
