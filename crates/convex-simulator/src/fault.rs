//! One scripted fault: `KIND[=VALUE]:PEERS[:FROM[..TO]]`.

use std::time::Duration;

use super::fault_kind::{FaultKind, FaultKindError, parse_duration};
use super::fault_table::list_kinds;
use super::peers::{PeerSet, PeerSetError};

/// A fault: what is wrong, with which peers, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The problem.
    pub kind: FaultKind,
    /// The affected peers.
    pub peers: PeerSet,
    /// When it starts, as time since the start of the network.
    pub from: Duration,
    /// When it ends; none if it lasts for as long as the network runs.
    pub to: Option<Duration>,
}

/// Why a text is not a valid fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The text does not have the form of a fault.
    #[error(
        "{0:?} is not a fault; expected KIND[=VALUE]:PEERS[:FROM[..TO]], such as lag=40:3:30s..90s"
    )]
    Syntax(String),
    /// There is no such kind.
    #[error("{0:?} is not a kind of fault; expected one of: {list}", list = list_kinds())]
    Kind(String),
    /// The value is missing, superfluous or invalid.
    #[error("{spec:?}: {problem}")]
    Value {
        /// The fault.
        spec: String,
        /// The problem and what would be right.
        problem: String,
    },
    /// The peers do not exist, or are not written as peers.
    #[error("{spec:?}: {problem}")]
    Peers {
        /// The fault.
        spec: String,
        /// The problem of the selection.
        problem: PeerSetError,
    },
    /// The times are invalid.
    #[error("{spec:?}: {problem}")]
    Times {
        /// The fault.
        spec: String,
        /// The problem and what would be right.
        problem: String,
    },
    /// Two faults contradict each other.
    #[error(
        "peer {peer} cannot have {one} and {other} at the same time; choose other peers or times"
    )]
    Contradiction {
        /// The number of the first peer that has both.
        peer: usize,
        /// The kind of one fault.
        one: &'static str,
        /// The kind of the other fault.
        other: &'static str,
    },
}

impl Fault {
    /// Parses a fault of a network with `count` peers.
    ///
    /// # Errors
    /// The text is not a fault, or selects peers that do not exist.
    pub fn parse(spec: &str, count: usize) -> Result<Self, FaultError> {
        // The code may be written as a keyword, with its colon.
        let keyword = ["query-error=", "tx-error="].into_iter().find_map(|kind| {
            let rest = spec.strip_prefix(kind)?.strip_prefix(':')?;
            Some((kind, rest))
        });
        let (kind, rest) = match keyword {
            Some((kind, rest)) => rest
                .split_once(':')
                .map(|(code, rest)| (format!("{kind}{code}"), rest)),
            None => spec
                .split_once(':')
                .map(|(kind, rest)| (kind.to_owned(), rest)),
        }
        .ok_or_else(|| match FaultKind::parse(spec) {
            Err(FaultKindError::Unknown(kind)) => FaultError::Kind(kind),
            _ => FaultError::Syntax(spec.to_owned()),
        })?;
        let kind = FaultKind::parse(&kind).map_err(|problem| match problem {
            FaultKindError::Unknown(kind) => FaultError::Kind(kind),
            FaultKindError::Value(problem) => FaultError::Value {
                spec: spec.to_owned(),
                problem,
            },
        })?;
        let (peers, times) = match rest.split_once(':') {
            Some((peers, times)) => (peers, Some(times)),
            None => (rest, None),
        };
        let peers = PeerSet::parse(peers, count).map_err(|problem| FaultError::Peers {
            spec: spec.to_owned(),
            problem,
        })?;
        if kind == FaultKind::DuplicateKey && !(0..count).any(|peer| peers.rank(peer) > Some(0)) {
            return Err(FaultError::Value {
                spec: spec.to_owned(),
                problem: "one peer alone has no duplicate; expected two or more, such as \
                          duplicate-key:2,3"
                    .to_owned(),
            });
        }
        let (from, to) = times.map_or(Ok((Duration::ZERO, None)), |times| {
            parse_times(times).map_err(|problem| FaultError::Times {
                spec: spec.to_owned(),
                problem,
            })
        })?;
        Ok(Self {
            kind,
            peers,
            from,
            to,
        })
    }

    /// Whether the fault is active at `now`, a time since the start of the network.
    #[must_use]
    pub fn is_active_at(&self, now: Duration) -> bool {
        self.from <= now && self.to.is_none_or(|to| now < to)
    }

    /// Checks that no peer has two contradictory faults at the same time.
    ///
    /// # Errors
    /// The kinds contradict each other, and both faults are active for the same peer at some time.
    pub fn check_compatible(&self, other: &Self) -> Result<(), FaultError> {
        let ends_before = |a: &Self, b: &Self| a.to.is_some_and(|to| to <= b.from);
        if !self.kind.contradicts(&other.kind)
            || ends_before(self, other)
            || ends_before(other, self)
        {
            return Ok(());
        }
        match self.peers.first_shared(&other.peers) {
            None => Ok(()),
            Some(peer) => Err(FaultError::Contradiction {
                peer,
                one: self.kind.name(),
                other: other.kind.name(),
            }),
        }
    }
}

/// Parses `FROM[..TO]`; an empty FROM is the start of the network.
fn parse_times(times: &str) -> Result<(Duration, Option<Duration>), String> {
    let Some((from, to)) = times.split_once("..") else {
        return Ok((parse_duration(times)?, None));
    };
    let from = if from.is_empty() {
        Duration::ZERO
    } else {
        parse_duration(from)?
    };
    let to = parse_duration(to)?;
    if to <= from {
        return Err(format!("{times:?} does not end after it starts"));
    }
    Ok((from, Some(to)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_table::FAULT_KINDS;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn every_kind_parses_as_the_table_writes_it() {
        for (written, _) in FAULT_KINDS {
            let (name, value) = written
                .split_once('=')
                .map_or((*written, ""), |(name, value)| {
                    let value = match value.trim_end_matches(']') {
                        "BLOCK" | "BLOCKS" => "=40",
                        "DURATION" | "[-]DURATION" | "AT" => "=5s",
                        "CODE" => "=JUICE",
                        "CVM" => "=0.01",
                        other => panic!("{other}"),
                    };
                    (name.trim_end_matches('['), value)
                });
            let fault = Fault::parse(&format!("{name}{value}:all"), 3).unwrap();
            assert_eq!(fault.kind.name(), name);
            assert_eq!((fault.from, fault.to), (Duration::ZERO, None));
        }
    }

    #[test]
    fn the_readme_names_every_kind() {
        let readme = include_str!("../README.md");
        for (written, _) in FAULT_KINDS {
            let name = written.split(['=', '[']).next().unwrap();
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_fault_has_a_kind_peers_and_times() {
        let at = |spec: &str| Fault::parse(spec, 10).unwrap();
        let fault = at("lag=40:3:30s..90s");
        assert_eq!(fault.kind, FaultKind::Lag(40));
        assert_eq!((fault.from, fault.to), (30 * S, Some(90 * S)));
        assert!(fault.peers.contains(2) && !fault.peers.contains(3));
        assert!(
            !fault.is_active_at(29 * S)
                && fault.is_active_at(30 * S)
                && !fault.is_active_at(90 * S)
        );
        assert_eq!(at("fork:2:10s").kind, FaultKind::Fork(None));
        assert_eq!(at("fork=12:2:10s").kind, FaultKind::Fork(Some(12)));
        assert_eq!(at("skew=-5s:6").kind, FaultKind::Skew(-5000));
        assert_eq!(at("slow=1m 30s:all").kind, FaultKind::Slow(90 * S));
        assert_eq!(at("refuse:1:..5s").to, Some(5 * S));
        for code in ["query-error=JUICE:all:1s", "query-error=:JUICE:all:1s"] {
            assert_eq!(at(code).kind, FaultKind::QueryError("JUICE".to_owned()));
        }
    }

    #[test]
    fn an_invalid_fault_is_rejected_with_what_would_be_right() {
        for (spec, part) in [
            ("stall", "expected KIND[=VALUE]:PEERS"),
            (
                "explode:1",
                "\"explode\" is not a kind of fault; expected one of: stall, fork[=BLOCK], minority-fork[=BLOCK]",
            ),
            ("explode", "not a kind of fault"),
            (
                "lag:1",
                "\"\" is not a number of blocks of at least 1; expected lag=BLOCKS, such as lag=40",
            ),
            ("lag=0:1", "at least 1"),
            ("lag=x:1", "\"x\" is not a number of blocks"),
            ("stall=3:1", "stall takes no value"),
            ("slow=fast:1", "\"fast\" is not a duration such as 5s"),
            ("stall:1:10000years", "longer than 100 years"),
            ("skew=-10000years:1", "longer than 100 years"),
            ("query-error=a b:1", "\"a b\" is not an error code"),
            ("stake=much:1", "\"much\" is not a stake"),
            ("stake=-1:1", "\"-1\" is not a stake"),
            ("late:1", "\"\" is not a duration"),
            ("upgrade:1", "\"\" is not a duration"),
            ("frozen=1:1", "frozen takes no value"),
            ("busy=1:1", "busy takes no value"),
            ("restart=0:1", "at least 1"),
            ("claim=-1:1", "expected claim=BLOCKS"),
            ("ahead:1", "\"\" is not a duration"),
            (
                "duplicate-key:2",
                "expected two or more, such as duplicate-key:2,3",
            ),
            ("duplicate-key=3:1", "duplicate-key takes no value"),
            ("unregistered=1:1", "unregistered takes no value"),
            ("stall:0", "peers are numbered from 1"),
            ("stall:11", "there are 10 peers"),
            ("stall:1:5s..5s", "does not end after it starts"),
            ("stall:1:soon", "\"soon\" is not a duration"),
        ] {
            let error = Fault::parse(spec, 10).unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn contradictory_faults_are_rejected_if_both_are_active_at_the_same_time() {
        let pair = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|spec| Fault::parse(spec, 10).unwrap());
            let result = one.check_compatible(&other);
            assert_eq!(result.is_ok(), other.check_compatible(&one).is_ok());
            result
        };
        for (one, other) in [
            ("tarpit:1", "garbage:1-3"),
            ("lag=1:all", "lag=2:50%"),
            ("stall:2", "recede=3:2"),
            ("restart=5:2", "recede=3:2"),
            ("fork:2", "minority-fork:2"),
            ("minority-fork:2", "stall:2"),
            ("frozen:2", "stall:2"),
            ("busy:2", "half-dead:2"),
            ("busy:2", "tarpit:2"),
            ("tx-hang:2", "tx-lose:2"),
            ("tx-error=LOAD:2", "tarpit:2"),
            ("wrong-key:2", "duplicate-key:2-3"),
            ("low-stake:2", "stake=5:2"),
            ("old-api:2", "map-status:2"),
            ("half-dead:2", "query-error=JUICE:2"),
            ("refuse:2", "slow=1s:2"),
            ("http-500:2", "tarpit:2"),
            ("stall:2:5s", "stall:2:4s..6s"),
        ] {
            let error = pair(one, other).unwrap_err().to_string();
            assert!(error.contains("at the same time"), "{one} {other}: {error}");
        }
        for (one, other) in [
            ("tarpit:1", "garbage:2-3"),
            ("tarpit:1:5s..6s", "garbage:1:6s"),
            ("lag=3:1", "fork:1"),
            ("tx-hang:1", "busy:1"),
            ("lag=3:1", "stall:1"),
            ("upgrade=1h:all", "frozen:all"),
            ("late=1s:1", "fork:1"),
            ("restart=20:1", "fork=990:1"),
            ("claim=5:1", "stake=0.01:1"),
            ("slow=1s:1", "garbage:1"),
            ("wrong-key:1", "wrong-genesis:1"),
        ] {
            assert_eq!(pair(one, other), Ok(()), "{one} {other}");
        }
    }
}
