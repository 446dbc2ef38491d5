//! The faults of a network: what is wrong with a peer at a given time, and when that changes.

use std::time::Duration;

use super::fault::{Fault, FaultError};
use super::fault_kind::FaultKind;
use super::release::Release;
use super::upgrades::Upgrades;

/// Own stake with `low-stake`, in copper: 500 CVM, half the minimum that avoids eviction.
const LOW_STAKE: i64 = 500_000_000_000;

/// How much later each further peer with one key learns of a block: more than the differences
/// between usual peers.
const DUPLICATE_DELAY_MS: i64 = 41;

/// The faults of a network, none of which contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    faults: Vec<Fault>,
    upgrades: Upgrades,
    /// The release of peers without a fault of their own.
    release: Release,
}

/// The faults of one peer that are active at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ActiveFaults {
    /// Time since which consensus has been stalled.
    pub(super) stall: Option<Duration>,
    /// Number of blocks by which the order fell back, and when it did.
    pub(super) recede: Option<(i64, Duration)>,
    /// Number of blocks that the peer is behind.
    pub(super) lag: i64,
    pub(super) fork: Option<Fork>,
    /// Time since which the peer freezes at the next block.
    pub(super) frozen: Option<Duration>,
    pub(super) isolated: Option<Isolation>,
    /// Time since which no other peer hears this one.
    pub(super) unheard: Option<Duration>,
    /// Index of the peer whose key this one has, together with others.
    pub(super) duplicate_of: Option<usize>,
    /// How far ahead of the clock the peer dates its blocks.
    pub(super) ahead_ms: i64,
    /// How much later the peer learns of each block.
    pub(super) late_ms: i64,
    /// Number of blocks by which the order fell back at this time, to catch up from there.
    pub(super) restart: Option<(i64, Duration)>,
    /// The block that the peer claims to be at.
    pub(super) claim: Option<i64>,
    pub(super) skew_ms: i64,
    pub(super) wrong_genesis: bool,
    pub(super) wrong_key: bool,
    pub(super) wire: Wire,
    pub(super) slow: Duration,
    pub(super) http_500: bool,
    pub(super) release: Release,
    pub(super) queries: Queries,
    pub(super) transactions: Transactions,
}

/// A history of a peer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    /// First block whose state differs; none for the first that is made after the start.
    pub(super) first: Option<i64>,
    /// Start of the fault.
    pub(super) since: Duration,
    /// Whether the first block is also the last one.
    pub(super) stands: bool,
}

/// A group of peers that hears nothing from others, and that others do not hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Isolation {
    /// Number of the fault. The peers of one fault hear each other.
    pub(super) group: usize,
    /// Start of the fault.
    pub(super) since: Duration,
}

/// How a peer treats queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Queries {
    #[default]
    Answered,
    /// Every query fails with this error code.
    Failing(String),
    /// No query is answered.
    Hanging,
}

/// How a peer treats transactions that it could accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Transactions {
    /// They are executed and answered.
    #[default]
    Executed,
    /// They are executed and never answered.
    Unanswered,
    /// They are neither executed nor answered.
    Lost,
    /// Every transaction is refused with this error code.
    Refused(String),
}

/// How a peer treats connections and replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wire {
    #[default]
    Normal,
    /// Reads requests and answers none.
    Tarpit,
    Garbage,
    HugeFrame,
    HalfReply,
    /// Does not listen.
    Refuse,
    /// Resets connections.
    Reset,
}

impl ActiveFaults {
    /// Whether the peer behaves like release 0.8.0.
    pub(super) fn is_old(&self) -> bool {
        self.release == Release::Old
    }
}

impl Script {
    /// Parses the faults of a network with `count` peers.
    ///
    /// # Errors
    /// A text is not a valid fault, or two faults contradict each other.
    pub fn parse<'a>(
        specs: impl IntoIterator<Item = &'a str>,
        count: usize,
    ) -> Result<Self, FaultError> {
        let faults: Vec<Fault> = specs
            .into_iter()
            .map(|spec| Fault::parse(spec, count))
            .collect::<Result<_, _>>()?;
        for (i, fault) in faults.iter().enumerate() {
            for other in &faults[i + 1..] {
                fault.check_compatible(other)?;
            }
        }
        Ok(Self {
            upgrades: Upgrades::new(&faults),
            faults,
            release: Release::default(),
        })
    }

    /// Gives the release of all peers without a fault that gives another one. Without a release, an
    /// upgrade has peers that tell whether they can execute it.
    pub(super) fn with_release(self, release: Option<Release>) -> Self {
        let usual = if self.upgrades.is_empty() {
            Release::default()
        } else {
            Release::Newest
        };
        Self {
            release: release.unwrap_or(usual),
            ..self
        }
    }

    /// Returns the upgrades of the protocol.
    pub(super) const fn upgrades(&self) -> &Upgrades {
        &self.upgrades
    }

    fn active(&self, peer: usize, now: Duration) -> impl Iterator<Item = &Fault> {
        self.numbered(peer, now).map(|(_, fault)| fault)
    }

    fn numbered(&self, peer: usize, now: Duration) -> impl Iterator<Item = (usize, &Fault)> {
        self.faults
            .iter()
            .enumerate()
            .filter(move |(_, fault)| fault.is_active_at(now) && fault.peers.contains(peer))
    }

    /// Returns what is wrong at `now` with `peer`, an index from 0.
    pub(super) fn active_faults(&self, peer: usize, now: Duration) -> ActiveFaults {
        let mut faults = ActiveFaults {
            release: self.release,
            ..ActiveFaults::default()
        };
        for (number, fault) in self.numbered(peer, now) {
            match &fault.kind {
                FaultKind::Isolate => {
                    faults.isolated = Some(Isolation {
                        group: number,
                        since: fault.from,
                    });
                }
                FaultKind::Unheard => faults.unheard = Some(fault.from),
                FaultKind::DuplicateKey => {
                    faults.duplicate_of = fault.peers.first();
                    // Peers that learn of blocks at different times sign different orders.
                    let rank = fault.peers.rank(peer).unwrap_or_default();
                    faults.late_ms += DUPLICATE_DELAY_MS * i64::try_from(rank).unwrap_or_default();
                }
                FaultKind::Ahead(ms) => faults.ahead_ms = *ms,
                FaultKind::Stall => faults.stall = Some(fault.from),
                FaultKind::Recede(blocks) => faults.recede = Some((*blocks, fault.from)),
                FaultKind::Lag(blocks) => faults.lag = *blocks,
                FaultKind::Fork(first) | FaultKind::MinorityFork(first) => {
                    faults.fork = Some(Fork {
                        first: *first,
                        since: fault.from,
                        stands: matches!(fault.kind, FaultKind::MinorityFork(_)),
                    });
                }
                FaultKind::Late(ms) => faults.late_ms += *ms,
                FaultKind::Restart(blocks) => faults.restart = Some((*blocks, fault.from)),
                FaultKind::Claim(block) => faults.claim = Some(*block),
                FaultKind::Skew(ms) => faults.skew_ms = *ms,
                FaultKind::WrongGenesis => faults.wrong_genesis = true,
                FaultKind::WrongKey => faults.wrong_key = true,
                FaultKind::Tarpit => faults.wire = Wire::Tarpit,
                FaultKind::Garbage => faults.wire = Wire::Garbage,
                FaultKind::HugeFrame => faults.wire = Wire::HugeFrame,
                FaultKind::HalfReply => faults.wire = Wire::HalfReply,
                FaultKind::Refuse => faults.wire = Wire::Refuse,
                FaultKind::Reset => faults.wire = Wire::Reset,
                FaultKind::Slow(time) => faults.slow = *time,
                FaultKind::OldApi => faults.release = Release::Old,
                FaultKind::NewApi => faults.release = Release::Newest,
                FaultKind::MapStatus => faults.release = Release::Next,
                FaultKind::HalfDead => faults.queries = Queries::Hanging,
                FaultKind::Http500 => faults.http_500 = true,
                FaultKind::QueryError(code) => faults.queries = Queries::Failing(code.clone()),
                FaultKind::Busy => faults.queries = Queries::Failing("LOAD".to_owned()),
                FaultKind::TxHang => faults.transactions = Transactions::Unanswered,
                FaultKind::TxLose => faults.transactions = Transactions::Lost,
                FaultKind::TxError(code) => {
                    faults.transactions = Transactions::Refused(code.clone());
                }
                FaultKind::Frozen => faults.frozen = Some(fault.from),
                FaultKind::LowStake
                | FaultKind::Stake(_)
                | FaultKind::Unregistered
                | FaultKind::SilentStake
                | FaultKind::Upgrade(_) => {}
            }
        }
        faults
    }

    /// Whether `peer` takes part in making blocks at `now`.
    pub(super) fn makes_blocks(&self, peer: usize, now: Duration) -> bool {
        let prevents_blocks = |fault: &Fault| {
            let has_key_of_other =
                fault.kind == FaultKind::DuplicateKey && fault.peers.first() != Some(peer);
            has_key_of_other
                || matches!(
                    fault.kind,
                    FaultKind::Stall
                        | FaultKind::Recede(_)
                        | FaultKind::MinorityFork(_)
                        | FaultKind::Isolate
                        | FaultKind::Unheard
                        | FaultKind::Claim(_)
                        | FaultKind::Unregistered
                        | FaultKind::WrongGenesis
                        | FaultKind::Tarpit
                        | FaultKind::Refuse
                        | FaultKind::Reset
                        | FaultKind::HalfDead
                        | FaultKind::SilentStake
                )
        };
        !self.active(peer, now).any(prevents_blocks)
    }

    /// Returns the faults at `now` in the registry entry of `peer`, which all peers report alike.
    pub(super) fn stake_faults(&self, peer: usize, now: Duration) -> StakeFaults {
        let mut faults = StakeFaults::default();
        for fault in self.active(peer, now) {
            match fault.kind {
                FaultKind::LowStake => faults.stake = Some(LOW_STAKE),
                FaultKind::Stake(copper) => faults.stake = Some(copper),
                FaultKind::SilentStake => faults.silent = true,
                FaultKind::Unregistered => faults.unregistered = true,
                _ => {}
            }
        }
        if self.upgrades.has_withdrawn(peer, now) {
            faults.stake = Some(0);
        }
        faults
    }

    /// Whether the registry entry of any peer has a fault at `now`.
    pub(super) fn has_stake_faults(&self, now: Duration) -> bool {
        let mut faults = self.faults.iter();
        !self.upgrades.is_empty()
            || faults.any(|fault| is_stake_fault(fault) && fault.is_active_at(now))
    }

    /// Returns the times after the start at which what is on chain about `peers` peers changes, in
    /// order. Each change takes a block to become visible.
    pub(super) fn chain_changes(&self, peers: usize) -> Vec<Duration> {
        let faults = self.faults.iter().filter(|fault| is_stake_fault(fault));
        let mut times: Vec<_> = faults
            .flat_map(|fault| [Some(fault.from), fault.to])
            .flatten()
            .chain(self.upgrades.chain_changes(peers))
            .filter(|time| !time.is_zero())
            .collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    /// Returns the next time after `now` at which a fault ends the connections of `peer`.
    pub(super) fn next_disconnect(&self, peer: usize, now: Duration) -> Option<Duration> {
        let disconnects = self.faults.iter().filter(|fault| {
            let disconnects = matches!(
                fault.kind,
                FaultKind::Refuse | FaultKind::Reset | FaultKind::Restart(_)
            );
            disconnects && fault.peers.contains(peer)
        });
        disconnects
            .map(|fault| fault.from)
            .filter(|from| *from > now)
            .min()
    }

    /// Returns when the refusal that is active at `now` ends; none if it never ends, or none is
    /// active.
    pub(super) fn refusal_end(&self, peer: usize, now: Duration) -> Option<Duration> {
        let mut active = self.active(peer, now);
        active.find(|fault| fault.kind == FaultKind::Refuse)?.to
    }
}

fn is_stake_fault(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::LowStake
            | FaultKind::Stake(_)
            | FaultKind::Unregistered
            | FaultKind::SilentStake
    )
}

/// A fault of a peer's entry in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StakeFaults {
    /// The own stake, in copper, if it is another than usual.
    pub(super) stake: Option<i64>,
    /// The peer has no entry.
    pub(super) unregistered: bool,
    /// The last block is an hour old.
    pub(super) silent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn faults_of_one_peer_add_up_and_end_on_time() {
        let specs = [
            "lag=3:1",
            "skew=-2s:1-2:5s..9s",
            "old-api:1",
            "half-dead:2:..5s",
        ];
        let script = Script::parse(specs, 3).unwrap();
        let both = script.active_faults(0, 5 * S);
        assert_eq!((both.lag, both.skew_ms, both.is_old()), (3, -2000, true));
        assert_eq!(script.active_faults(0, 9 * S).skew_ms, 0);
        assert_eq!(script.active_faults(1, 4 * S).queries, Queries::Hanging);
        assert_eq!(script.active_faults(1, 5 * S).queries, Queries::Answered);
        assert_eq!(script.active_faults(2, 5 * S), ActiveFaults::default());
    }

    #[test]
    fn the_next_disconnect_and_the_end_of_a_refusal_are_known() {
        let script = Script::parse(["refuse:1:5s..6s", "reset:1:8s", "refuse:2"], 2).unwrap();
        let disconnects = [0, 5, 8].map(|at| script.next_disconnect(0, at * S));
        assert_eq!(disconnects, [Some(5 * S), Some(8 * S), None]);
        assert_eq!(script.refusal_end(0, 5 * S), Some(6 * S));
        assert_eq!(script.refusal_end(1, S), None, "never");
    }

    #[test]
    fn stake_faults_change_the_registry_when_they_start_and_end() {
        let specs = ["low-stake:1", "silent-stake:2:5s..7s", "stall:3:6s"];
        let script = Script::parse(specs, 3).unwrap();
        assert_eq!(script.chain_changes(3), [5 * S, 7 * S]);
        let stake_faults = |peer, at| {
            let faults = script.stake_faults(peer, at * S);
            (faults.stake.is_some(), faults.silent)
        };
        assert_eq!(stake_faults(0, 1), (true, false));
        assert_eq!(
            (stake_faults(1, 4), stake_faults(1, 5)),
            ((false, false), (false, true))
        );
        let makers = [0, 1, 2].map(|peer| script.makes_blocks(peer, 6 * S));
        assert_eq!(makers, [true, false, false]);
    }
}
