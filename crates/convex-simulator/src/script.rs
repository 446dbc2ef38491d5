//! All faults of a network: what is wrong with one peer at one time, and when that changes.

use std::time::Duration;

use super::fault::{Fault, FaultError};
use super::kind::Kind;

/// The faults of a network; no two of them contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(Vec<Fault>);

/// What is wrong with one peer at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ailments {
    /// The order stands since then.
    pub(super) stall: Option<Duration>,
    /// It fell back by so many blocks then, and stands.
    pub(super) recede: Option<(i64, Duration)>,
    pub(super) lag: i64,
    /// The states differ from this block on; none: from the next block after that time.
    pub(super) fork: Option<(Option<i64>, Duration)>,
    pub(super) skew_ms: i64,
    pub(super) wrong_genesis: bool,
    pub(super) wrong_key: bool,
    pub(super) wire: Wire,
    pub(super) slow: Duration,
    pub(super) http_500: bool,
    pub(super) release: Release,
    pub(super) queries: Queries,
}

/// How a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Release {
    /// 0.8.0: no PING, no REST status.
    Old,
    #[default]
    Current,
    /// As planned for 0.9: the binary status is a map.
    Next,
}

/// What becomes of queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Queries {
    #[default]
    Answered,
    /// With this error code, whatever is asked.
    Failing(String),
    /// Not at all.
    Hanging,
}

/// What becomes of connections and replies, whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wire {
    #[default]
    Sound,
    /// Nothing is answered.
    Tarpit,
    Garbage,
    HugeFrame,
    HalfReply,
    /// Nobody listens.
    Refuse,
    /// Connections are reset.
    Reset,
}

impl Ailments {
    /// Whether it speaks as 0.8.0 does.
    pub(super) fn is_old(&self) -> bool {
        self.release == Release::Old
    }
}

impl Script {
    /// Reads faults for a network of `count` peers.
    ///
    /// # Errors
    /// A text is no fault, or two contradict each other.
    pub fn parse<'a>(
        specs: impl IntoIterator<Item = &'a str>,
        count: usize,
    ) -> Result<Self, FaultError> {
        let specs = specs.into_iter();
        let faults: Vec<Fault> = specs
            .map(|spec| Fault::parse(spec, count))
            .collect::<Result<_, _>>()?;
        for (i, one) in faults.iter().enumerate() {
            for other in &faults[i + 1..] {
                one.go_together(other)?;
            }
        }
        Ok(Self(faults))
    }

    fn of(&self, peer: usize, now: Duration) -> impl Iterator<Item = &Fault> {
        self.0
            .iter()
            .filter(move |fault| fault.is_at(now) && fault.peers.has(peer))
    }

    /// What is wrong with `peer`, by index from 0, at `now`.
    pub(super) fn ailments(&self, peer: usize, now: Duration) -> Ailments {
        let mut found = Ailments::default();
        for fault in self.of(peer, now) {
            match &fault.kind {
                Kind::Stall => found.stall = Some(fault.from),
                Kind::Recede(blocks) => found.recede = Some((*blocks, fault.from)),
                Kind::Lag(blocks) => found.lag = *blocks,
                Kind::Fork(block) => found.fork = Some((*block, fault.from)),
                Kind::Skew(ms) => found.skew_ms = *ms,
                Kind::WrongGenesis => found.wrong_genesis = true,
                Kind::WrongKey => found.wrong_key = true,
                Kind::Tarpit => found.wire = Wire::Tarpit,
                Kind::Garbage => found.wire = Wire::Garbage,
                Kind::HugeFrame => found.wire = Wire::HugeFrame,
                Kind::HalfReply => found.wire = Wire::HalfReply,
                Kind::Refuse => found.wire = Wire::Refuse,
                Kind::Reset => found.wire = Wire::Reset,
                Kind::Slow(time) => found.slow = *time,
                Kind::OldApi => found.release = Release::Old,
                Kind::MapStatus => found.release = Release::Next,
                Kind::HalfDead => found.queries = Queries::Hanging,
                Kind::Http500 => found.http_500 = true,
                Kind::QueryError(code) => found.queries = Queries::Failing(code.clone()),
                Kind::LowStake | Kind::SilentStake => {}
            }
        }
        found
    }

    /// Whether `peer` takes part in making blocks at `now`.
    pub(super) fn makes_blocks(&self, peer: usize, now: Duration) -> bool {
        let idle = |fault: &Fault| {
            matches!(
                fault.kind,
                Kind::Stall
                    | Kind::Recede(_)
                    | Kind::WrongGenesis
                    | Kind::Tarpit
                    | Kind::Refuse
                    | Kind::Reset
                    | Kind::HalfDead
                    | Kind::SilentStake
            )
        };
        !self.of(peer, now).any(idle)
    }

    /// Peers with too little stake, and such that made no block for long, at `now`; the registry of every peer says so.
    pub(super) fn registered(&self, peer: usize, now: Duration) -> Registered {
        let has = |kind: &Kind| self.of(peer, now).any(|fault| fault.kind == *kind);
        Registered {
            low: has(&Kind::LowStake),
            silent: has(&Kind::SilentStake),
        }
    }

    /// Whether anything at all is wrong with stake at `now`.
    pub(super) fn touches_registry(&self, now: Duration) -> bool {
        self.0
            .iter()
            .any(|fault| is_of_registry(fault) && fault.is_at(now))
    }

    /// When the registry changes after the start, in order: each time takes a block to say so.
    pub(super) fn registry_changes(&self) -> Vec<Duration> {
        let faults = self.0.iter().filter(|fault| is_of_registry(fault));
        let mut times: Vec<_> = faults
            .flat_map(|fault| [Some(fault.from), fault.to])
            .flatten()
            .filter(|time| !time.is_zero())
            .collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    /// The next time after `now` that `peer` begins to take connections away, by `refuse` or `reset`.
    pub(super) fn next_cut(&self, peer: usize, now: Duration) -> Option<Duration> {
        let cuts = self.0.iter().filter(|fault| {
            matches!(fault.kind, Kind::Refuse | Kind::Reset) && fault.peers.has(peer)
        });
        cuts.map(|fault| fault.from)
            .filter(|from| *from > now)
            .min()
    }

    /// When the refusal that is in force at `now` ends; none: never, or there is none.
    pub(super) fn refusal_ends(&self, peer: usize, now: Duration) -> Option<Duration> {
        let mut refusing = self
            .of(peer, now)
            .filter(|fault| fault.kind == Kind::Refuse);
        refusing.next()?.to
    }
}

fn is_of_registry(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::LowStake | Kind::SilentStake)
}

/// What the faults make of a peer's entry in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) low: bool,
    pub(super) silent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn faults_of_one_peer_add_up_and_end_at_their_times() {
        let specs = [
            "lag=3:1",
            "skew=-2s:1-2:5s..9s",
            "old-api:1",
            "half-dead:2:..5s",
        ];
        let script = Script::parse(specs, 3).unwrap();
        let both = script.ailments(0, 5 * S);
        assert_eq!((both.lag, both.skew_ms, both.is_old()), (3, -2000, true));
        assert_eq!(script.ailments(0, 9 * S).skew_ms, 0);
        assert_eq!(script.ailments(1, 4 * S).queries, Queries::Hanging);
        assert_eq!(script.ailments(1, 5 * S).queries, Queries::Answered);
        assert_eq!(script.ailments(2, 5 * S), Ailments::default());
    }

    #[test]
    fn it_is_known_when_connections_are_taken_away_and_until_when() {
        let script = Script::parse(["refuse:1:5s..6s", "reset:1:8s", "refuse:2"], 2).unwrap();
        let cuts = [0, 5, 8].map(|at| script.next_cut(0, at * S));
        assert_eq!(cuts, [Some(5 * S), Some(8 * S), None]);
        assert_eq!(script.refusal_ends(0, 5 * S), Some(6 * S));
        assert_eq!(script.refusal_ends(1, S), None, "never");
    }

    #[test]
    fn a_change_of_stake_is_known_by_its_time_and_by_its_end() {
        let specs = ["low-stake:1", "silent-stake:2:5s..7s", "stall:3:6s"];
        let script = Script::parse(specs, 3).unwrap();
        assert_eq!(script.registry_changes(), [5 * S, 7 * S]);
        let registered = |peer, at| {
            let found = script.registered(peer, at * S);
            (found.low, found.silent)
        };
        assert_eq!(registered(0, 1), (true, false));
        assert_eq!(
            (registered(1, 4), registered(1, 5)),
            ((false, false), (false, true))
        );
        let makers = [0, 1, 2].map(|peer| script.makes_blocks(peer, 6 * S));
        assert_eq!(makers, [true, false, false]);
    }
}
