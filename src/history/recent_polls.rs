//! The last polls of a peer, packed to save memory: there can be ten thousand peers.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use convex_client::{OrderPoints, Transport};

use crate::failure::Reason;
use crate::fleet::{Health, Lag, reserve_bounded};
use crate::label_enum::label_enum;

use super::time::unix_millis;

/// Number of polls kept for each peer.
pub const POLLS_KEPT: usize = 60;

/// Packed value of an unknown latency.
const NO_LATENCY: u32 = u32::MAX;

label_enum! {
    /// The outcome of a poll.
    pub enum Outcome {
        Up = "up", "An endpoint answered correctly.";
        Failed = "failed", "No endpoint answered correctly.";
        Excused = "excused", "The poll failed because of the agent itself and is ignored.";
    }
}

/// The result of one poll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poll {
    /// When the poll began.
    pub at: SystemTime,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether the peer was in maintenance.
    pub maintenance: bool,
    /// The peer's health after the poll.
    pub health: Health,
    /// Why endpoints failed, in the order of [`Transport::ALL`]. One of them may be set even if the
    /// poll was successful.
    pub failures: [Option<Reason>; Transport::ALL.len()],
    /// Latency of endpoints that did not fail, in the order of [`Transport::ALL`].
    pub latency: [Option<Duration>; Transport::ALL.len()],
    /// Heights of the peer's order.
    pub order: Option<OrderPoints>,
    /// Block of the peer's state.
    pub state_block: Option<i64>,
    /// How far the peer lagged behind.
    pub lag: Option<Lag>,
}

/// A [`Poll`] in 48 bytes. Heights are stored relative to `block`, exact up to 2^31 blocks.
#[derive(Clone, Copy, Debug)]
struct PackedPoll {
    block: i64,
    below: [i32; 3],
    state_below: i32,
    lag_blocks: i32,
    /// Microseconds.
    latency: [u32; Transport::ALL.len()],
    seconds: u32,
    milliseconds: u16,
    lag_seconds: u16,
    /// Positions in [`Reason::ALL`], starting at 1; 0 means none.
    failures: [u8; Transport::ALL.len()],
    health: Health,
    flags: u8,
}

const _: () = assert!(size_of::<PackedPoll>() == 48);

// Bits of `PackedPoll::flags`.
const OUTCOME_MASK: u8 = 0b11;
const IN_MAINTENANCE: u8 = 1 << 2;
const HAS_ORDER: u8 = 1 << 3;
const HAS_STATE_BLOCK: u8 = 1 << 4;
const HAS_LAG: u8 = 1 << 5;

impl PackedPoll {
    fn pack(poll: &Poll) -> Self {
        let ms = unix_millis(poll.at);
        let block = poll.order.map(|order| order.block).or(poll.state_block);
        let block = block.unwrap_or(0);
        let below = |other: i64| {
            let distance = i128::from(block) - i128::from(other);
            let limits = (i128::from(i32::MIN), i128::from(i32::MAX));
            i32::try_from(distance.clamp(limits.0, limits.1)).unwrap_or(i32::MAX)
        };
        let order = poll.order.map_or([block; 4], OrderPoints::by_level);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let lag = poll.lag.unwrap_or(Lag {
            blocks: 0,
            time: Duration::ZERO,
        });
        let short = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        let micros = |latency: Option<Duration>| {
            let micros = latency.map_or(NO_LATENCY.into(), |latency| latency.as_micros());
            u32::try_from(micros).unwrap_or(NO_LATENCY - 1)
        };
        let position = |reason: Option<Reason>| {
            let position = Reason::ALL.iter().position(|other| Some(*other) == reason);
            position.map_or(0, |position| u8::try_from(position + 1).unwrap_or(0))
        };
        Self {
            block,
            below: [below(order[1]), below(order[2]), below(order[3])],
            state_below: below(poll.state_block.unwrap_or(block)),
            lag_blocks: i32::try_from(lag.blocks).unwrap_or(i32::MAX),
            latency: poll.latency.map(micros),
            seconds: u32::try_from(ms / 1_000).unwrap_or(u32::MAX),
            milliseconds: short(ms % 1_000),
            lag_seconds: short(lag.time.as_secs()),
            failures: poll.failures.map(position),
            health: poll.health,
            flags: poll.outcome as u8
                | flag(poll.maintenance, IN_MAINTENANCE)
                | flag(poll.order.is_some(), HAS_ORDER)
                | flag(poll.state_block.is_some(), HAS_STATE_BLOCK)
                | flag(poll.lag.is_some(), HAS_LAG),
        }
    }

    fn unpack(self) -> Poll {
        let has = |flag: u8| self.flags & flag != 0;
        let above = |below: i32| self.block.saturating_sub(i64::from(below));
        let ms = u64::from(self.seconds) * 1_000 + u64::from(self.milliseconds);
        let outcome = Outcome::ALL.get(usize::from(self.flags & OUTCOME_MASK));
        let [proposal, consensus, finality] = self.below.map(above);
        let micros = |latency: u32| {
            (latency != NO_LATENCY).then(|| Duration::from_micros(u64::from(latency)))
        };
        let reason = |position: u8| {
            let index = usize::from(position).checked_sub(1)?;
            Reason::ALL.get(index).copied()
        };
        Poll {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
            outcome: outcome.copied().unwrap_or(Outcome::Excused),
            maintenance: has(IN_MAINTENANCE),
            health: self.health,
            failures: self.failures.map(reason),
            latency: self.latency.map(micros),
            order: has(HAS_ORDER).then_some(OrderPoints {
                block: self.block,
                proposal,
                consensus,
                finality,
            }),
            state_block: has(HAS_STATE_BLOCK).then(|| above(self.state_below)),
            lag: has(HAS_LAG).then(|| Lag {
                blocks: i64::from(self.lag_blocks),
                time: Duration::from_secs(u64::from(self.lag_seconds)),
            }),
        }
    }
}

/// The last polls of a peer, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentPolls(VecDeque<PackedPoll>);

impl RecentPolls {
    pub(super) fn push(&mut self, poll: &Poll) {
        if self.0.len() == POLLS_KEPT {
            self.0.pop_front();
        } else {
            reserve_bounded(&mut self.0, POLLS_KEPT);
        }
        self.0.push_back(PackedPoll::pack(poll));
    }

    pub(super) fn polls(&self) -> Vec<Poll> {
        self.0.iter().map(|packed| packed.unpack()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn any_poll() -> impl Strategy<Value = Poll> {
        let reason = || option::of(select(Reason::ALL.to_vec()));
        let latency =
            || option::of((0..NO_LATENCY - 1).prop_map(|us| Duration::from_micros(us.into())));
        let near = || -1_000_000..1_000_000_i64;
        let order = option::of((near(), near(), near()));
        let lag = option::of((0..1_000_i64, 0..60_000_u64));
        let state = (any::<i32>(), order, option::of(near()), lag);
        let verdict = (
            select(Outcome::ALL),
            select(&Health::ALL[..]),
            any::<bool>(),
        );
        (
            0..4_000_000_000_000_u64,
            verdict,
            [reason(), reason()],
            [latency(), latency()],
            state,
        )
            .prop_map(
                |(ms, (outcome, health, maintenance), failures, latency, state)| {
                    let (base, order, state_block, lag) = state;
                    let base = i64::from(base) << 20;
                    Poll {
                        at: SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
                        outcome,
                        maintenance,
                        health,
                        failures,
                        latency,
                        order: order.map(|(proposal, consensus, finality)| OrderPoints {
                            block: base,
                            proposal: base + proposal,
                            consensus: base + consensus,
                            finality: base + finality,
                        }),
                        state_block: state_block.map(|block| base + block),
                        lag: lag.map(|(blocks, seconds)| Lag {
                            blocks,
                            time: Duration::from_secs(seconds),
                        }),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(poll in any_poll()) {
            prop_assert_eq!(PackedPoll::pack(&poll).unpack(), poll);
        }

        #[test]
        fn any_answer_of_a_peer_can_be_packed(levels in any::<[i64; 4]>(), state in any::<i64>(), blocks in any::<i64>()) {
            let [block, proposal, consensus, finality] = levels;
            let poll = Poll {
                at: SystemTime::UNIX_EPOCH - Duration::from_secs(1),
                outcome: Outcome::Up,
                maintenance: false,
                health: Health::Up,
                failures: [None; 2],
                latency: [Some(Duration::MAX), None],
                order: Some(OrderPoints { block, proposal, consensus, finality }),
                state_block: Some(state),
                lag: Some(Lag { blocks, time: Duration::MAX }),
            };
            let unpacked = PackedPoll::pack(&poll).unpack();
            prop_assert_eq!(unpacked.order.map(|order| order.block), Some(block));
            prop_assert_eq!(unpacked.latency[1], None);
        }
    }

    #[test]
    fn the_oldest_poll_is_dropped_for_the_newest() {
        let mut recent = RecentPolls::default();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        for second in 0..200 {
            recent.push(&Poll {
                at: at(second),
                outcome: Outcome::Up,
                maintenance: false,
                health: Health::Up,
                failures: [None; 2],
                latency: [None; 2],
                order: None,
                state_block: None,
                lag: None,
            });
        }
        let polls = recent.polls();
        assert_eq!(polls.len(), POLLS_KEPT);
        assert_eq!((polls[0].at, polls[59].at), (at(140), at(199)));
        assert_eq!(recent.0.capacity(), POLLS_KEPT);
    }
}
