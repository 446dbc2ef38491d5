//! Whether a network makes progress: where its head is, and whether that stands or goes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fleet::OrderState;

use super::head::{HEAD_STAKE_DIVISOR, Head, HeadBasis, reached_by_a_third};
use super::member::Member;
use super::registry::WHOLE;
use super::watch::NetworkWatch;

/// How long the head of a network has to be lower than before until the network is receding.
/// Releases before 0.8.15 go back for a moment while they are healthy.
const RECEDING_AFTER: Duration = Duration::from_secs(30);

/// The head of a network, and since when it is in trouble.
#[derive(Debug, Default)]
pub(in crate::fleet) struct Progress {
    pub(super) head: Arc<Head>,
    pub(super) basis: Option<HeadBasis>,
    /// A head, and since when peers with enough weight to stop consensus have had blocks above it,
    /// none of them final.
    stuck: Option<(i64, Instant)>,
    /// Since when so much stake went back that the head is lower for it.
    below_since: Option<Instant>,
    /// Whether peers that were asked [`RECEDING_AFTER`] later still have so much of it.
    is_receding: bool,
}

impl NetworkWatch {
    /// Finds the head and how long it has been standing or lower than before.
    pub(super) fn update_progress(&mut self, now: Instant) {
        let registered = self.registered_stake();
        let find = |reached: &dyn Fn(&Member) -> Option<i64>,
                    is_counted: &dyn Fn(&Member) -> bool,
                    total| {
            let members = self.members.values().filter(|member| {
                member.is_answering(now) && !member.is_apart() && is_counted(member)
            });
            let blocks = members.filter_map(|member| Some((reached(member)?, member.stake)));
            reached_by_a_third(blocks, total)
        };
        let all = |_: &Member| true;
        let of_registered = registered.and_then(|total| find(&Member::reached, &all, total));
        // Strangers have no part in what less than a third of the stake says.
        let configured = |member: &Member| member.configured;
        let of_configured = || {
            let members = self.members.values().filter(|member| member.configured);
            let total = members.map(|member| u128::from(member.stake)).sum();
            registered.and_then(|_| find(&Member::reached, &configured, total))
        };
        let head = match of_registered {
            Some(head) => Some((head, HeadBasis::Registered)),
            None => of_configured().map(|head| (head, HeadBasis::Configured)),
        };
        let highest = registered
            .filter(|_| of_registered.is_some())
            .and_then(|total| find(&Member::highest, &all, total));
        let is_below = of_registered < highest;
        let below_since = is_below.then(|| self.progress.below_since.unwrap_or(now));
        let is_receding = below_since.zip(registered).is_some_and(|(since, total)| {
            // A peer that was not asked again may have its blocks back.
            let confirmed = |member: &Member| {
                let is_confirmed = member.asked() >= Some(since + RECEDING_AFTER);
                let reached = member.reached();
                if is_confirmed {
                    reached
                } else {
                    reached.max(member.highest())
                }
            };
            find(&confirmed, &all, total) < highest
        });
        let stuck_at =
            of_registered.filter(|head| is_a_third(self.weight_stuck_at(*head, None, now)));

        let progress = &mut self.progress;
        progress.basis = head.map(|(_, basis)| basis);
        match head {
            Some((head, _)) => Arc::make_mut(&mut progress.head).set(head, now),
            None => progress.head = Arc::default(),
        }
        (progress.below_since, progress.is_receding) = (below_since, is_receding);
        progress.stuck = stuck_at.map(|head| match progress.stuck {
            Some((same, since)) if same == head => (head, since),
            _ => (head, now),
        });
    }

    /// Returns the weight of the peers that have blocks above `head`, none of them final; if a time
    /// is given, only of those that were asked then or later.
    fn weight_stuck_at(&self, head: i64, asked: Option<Instant>, now: Instant) -> u128 {
        let is_stuck = |member: &&Member| {
            let ordered = member
                .ordered
                .filter(|ordered| Some(ordered.asked) >= asked);
            member.is_answering(now)
                && ordered.is_some_and(|ordered| ordered.block > head)
                && member.reached() <= Some(head)
        };
        let stuck = self.members.values().filter(is_stuck);
        stuck.map(|member| u128::from(member.weight)).sum()
    }

    /// Returns the state of the network's order.
    pub(super) fn order_state(&self, now: Instant) -> OrderState {
        // Known as long as the status is, even if the peer answers its query with an error.
        let known = || {
            let members = self.members.values();
            members.filter(|member| member.order != OrderState::Unknown)
        };
        let stall_after = known().map(|member| member.stall_after).max();
        let stall_after = stall_after.unwrap_or_default();
        let is_stuck = self.progress.stuck.is_some_and(|(head, since)| {
            is_a_third(self.weight_stuck_at(head, Some(since + stall_after), now))
        });
        let is_advancing =
            |member: &Member| Self::has_vote(member) && member.order == OrderState::Advancing;
        match () {
            () if known().next().is_none() => OrderState::Unknown,
            () if self.progress.is_receding => OrderState::Receding,
            () if self.replaced_final_blocks(now) => OrderState::Receding,
            () if is_stuck => OrderState::Stalled,
            () if known().any(is_advancing) => OrderState::Advancing,
            () => OrderState::Idle,
        }
    }

    /// Whether peers with more than a third of the stake have other blocks now where they had final
    /// ones.
    fn replaced_final_blocks(&self, now: Instant) -> bool {
        let members = self.members.values();
        let replaced = members.filter(|member| member.has_replaced_blocks(now));
        let stake: u128 = replaced.map(|member| u128::from(member.stake)).sum();
        is_a_third(stake)
    }
}

/// Whether this is more than a third of the registered stake or weight.
fn is_a_third(units: u128) -> bool {
    units * HEAD_STAKE_DIVISOR > u128::from(WHOLE)
}
