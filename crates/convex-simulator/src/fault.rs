//! What can be wrong with simulated peers, with which of them and when: one fault as it is written, `KIND[=VALUE]:PEERS[:FROM[..TO]]`.

use std::time::Duration;

use super::kind::{Kind, KindProblem, duration, kinds};
use super::peers::{PeerSet, PeerSetError};

/// One fault: what, with whom, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: Kind,
    /// With which peers.
    pub peers: PeerSet,
    /// Since when, from the start of the network.
    pub from: Duration,
    /// Until when; none: to the end.
    pub to: Option<Duration>,
}

/// Why a text is no fault of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The text as a whole.
    #[error(
        "{0:?} is no fault; expected KIND[=VALUE]:PEERS[:FROM[..TO]], such as lag=40:3:30s..90s"
    )]
    Shape(String),
    /// No such kind.
    #[error("{0:?} is no kind of fault; there are: {list}", list = kinds())]
    Kind(String),
    /// The value is missing, superfluous or wrong.
    #[error("{spec:?}: {problem}")]
    Value {
        /// The fault.
        spec: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The peers.
    #[error("{spec:?}: {problem}")]
    Peers {
        /// The fault.
        spec: String,
        /// What is wrong with them.
        problem: PeerSetError,
    },
    /// The times.
    #[error("{spec:?}: {problem}")]
    Times {
        /// The fault.
        spec: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Two faults that one peer cannot have at once.
    #[error("peer {peer} cannot have {one} and {other} at once; there are: {list}", list = kinds())]
    Contradiction {
        /// The first peer that has both.
        peer: usize,
        /// The name of one.
        one: &'static str,
        /// The name of the other.
        other: &'static str,
    },
}

impl Fault {
    /// Reads a fault of a network with `count` peers.
    ///
    /// # Errors
    /// The text says no fault, or names peers that the network has not.
    pub fn parse(spec: &str, count: usize) -> Result<Self, FaultError> {
        // A code may be written with its colon.
        let (kind, rest) = match spec.strip_prefix("query-error=:") {
            Some(rest) => rest
                .split_once(':')
                .map(|(code, rest)| (format!("query-error={code}"), rest)),
            None => spec
                .split_once(':')
                .map(|(kind, rest)| (kind.to_owned(), rest)),
        }
        .ok_or_else(|| match Kind::parse(spec) {
            Err(KindProblem::Unknown(kind)) => FaultError::Kind(kind),
            _ => FaultError::Shape(spec.to_owned()),
        })?;
        let kind = Kind::parse(&kind).map_err(|problem| match problem {
            KindProblem::Unknown(kind) => FaultError::Kind(kind),
            KindProblem::Value(problem) => FaultError::Value {
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
        let (from, to) = times.map_or(Ok((Duration::ZERO, None)), |times| {
            window(times).map_err(|problem| FaultError::Times {
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

    /// Whether it is in force at `now`, since the start of the network.
    #[must_use]
    pub fn is_at(&self, now: Duration) -> bool {
        self.from <= now && self.to.is_none_or(|to| now < to)
    }

    /// Refuses a pair that one peer cannot have at once.
    ///
    /// # Errors
    /// Both are in force at some time for the same peer, and decide the same of it.
    pub fn go_together(&self, other: &Self) -> Result<(), FaultError> {
        let apart = |a: &Self, b: &Self| a.to.is_some_and(|to| to <= b.from);
        if !self.kind.contradicts(&other.kind) || apart(self, other) || apart(other, self) {
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

fn window(times: &str) -> Result<(Duration, Option<Duration>), String> {
    let Some((from, to)) = times.split_once("..") else {
        return Ok((duration(times)?, None));
    };
    let from = if from.is_empty() {
        Duration::ZERO
    } else {
        duration(from)?
    };
    let to = duration(to)?;
    if to <= from {
        return Err(format!("{times:?} ends before it begins"));
    }
    Ok((from, Some(to)))
}

#[cfg(test)]
mod tests {
    use crate::kind::KINDS;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn every_kind_is_read_as_the_list_writes_it() {
        for (written, _) in KINDS {
            let (name, value) = written
                .split_once('=')
                .map_or((*written, ""), |(name, value)| {
                    let value = match value.trim_end_matches(']') {
                        "BLOCK" | "BLOCKS" => "=40",
                        "DURATION" | "[-]DURATION" => "=5s",
                        "CODE" => "=JUICE",
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
    fn a_fault_says_what_with_whom_and_when() {
        let at = |spec: &str| Fault::parse(spec, 10).unwrap();
        let fault = at("lag=40:3:30s..90s");
        assert_eq!(fault.kind, Kind::Lag(40));
        assert_eq!((fault.from, fault.to), (30 * S, Some(90 * S)));
        assert!(fault.peers.has(2) && !fault.peers.has(3));
        assert!(!fault.is_at(29 * S) && fault.is_at(30 * S) && !fault.is_at(90 * S));
        assert_eq!(at("fork:2:10s").kind, Kind::Fork(None));
        assert_eq!(at("fork=12:2:10s").kind, Kind::Fork(Some(12)));
        assert_eq!(at("skew=-5s:6").kind, Kind::Skew(-5000));
        assert_eq!(at("slow=1m 30s:all").kind, Kind::Slow(90 * S));
        assert_eq!(at("refuse:1:..5s").to, Some(5 * S));
        for code in ["query-error=JUICE:all:1s", "query-error=:JUICE:all:1s"] {
            assert_eq!(at(code).kind, Kind::QueryError("JUICE".to_owned()));
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_would_be_right() {
        for (spec, part) in [
            ("stall", "expected KIND[=VALUE]:PEERS"),
            (
                "explode:1",
                "\"explode\" is no kind of fault; there are: stall, fork[=BLOCK], lag=BLOCKS",
            ),
            ("explode", "no kind of fault"),
            (
                "lag:1",
                "lag needs a number of blocks of at least 1, as in lag=40",
            ),
            ("lag=0:1", "at least 1"),
            ("lag=x:1", "not \"x\""),
            ("stall=3:1", "stall has no value"),
            ("slow=fast:1", "\"fast\" is no duration such as 5s"),
            ("stall:1:10000years", "longer than a hundred years"),
            ("skew=-10000years:1", "longer than a hundred years"),
            ("query-error=a b:1", "query-error needs a code"),
            ("stall:0", "peers are counted from 1"),
            ("stall:11", "there are 10 peers"),
            ("stall:1:5s..5s", "ends before it begins"),
            ("stall:1:soon", "\"soon\" is no duration"),
        ] {
            let error = Fault::parse(spec, 10).unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn a_contradictory_pair_is_refused_where_both_would_be_in_force() {
        let pair = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|spec| Fault::parse(spec, 10).unwrap());
            let result = one.go_together(&other);
            assert_eq!(result.is_ok(), other.go_together(&one).is_ok());
            result
        };
        for (one, other) in [
            ("tarpit:1", "garbage:1-3"),
            ("lag=1:all", "lag=2:50%"),
            ("stall:2", "recede=3:2"),
            ("old-api:2", "map-status:2"),
            ("half-dead:2", "query-error=JUICE:2"),
            ("refuse:2", "slow=1s:2"),
            ("http-500:2", "tarpit:2"),
            ("stall:2:5s", "stall:2:4s..6s"),
        ] {
            let error = pair(one, other).unwrap_err().to_string();
            assert!(error.contains("at once"), "{one} {other}: {error}");
        }
        for (one, other) in [
            ("tarpit:1", "garbage:2-3"),
            ("tarpit:1:5s..6s", "garbage:1:6s"),
            ("lag=3:1", "fork:1"),
            ("lag=3:1", "stall:1"),
            ("slow=1s:1", "garbage:1"),
            ("wrong-key:1", "wrong-genesis:1"),
        ] {
            assert_eq!(pair(one, other), Ok(()), "{one} {other}");
        }
    }
}
