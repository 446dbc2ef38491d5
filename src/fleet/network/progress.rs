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

/// The head of a network, and whether it is in trouble.
#[derive(Debug, Default)]
pub(in crate::fleet) struct Progress {
    pub(super) head: Arc<Head>,
    pub(super) basis: Option<HeadBasis>,
    /// Whether peers with enough weight to stop consensus are stuck with blocks above the head.
    is_stalled: bool,
    /// Whether so much stake went back for [`RECEDING_AFTER`] that the head is lower for it.
    is_receding: bool,
}

impl NetworkWatch {
    /// Finds the head, and whether it stands or is lower than before.
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
        let lasting = |member: &Member| {
            let is_lasting = member.has_receded_for(RECEDING_AFTER);
            member
                .reached()
                .max(member.highest().filter(|_| !is_lasting))
        };
        let is_receding = of_registered < highest
            && registered.and_then(|total| find(&lasting, &all, total)) < highest;
        let is_stuck = |member: &&Member| {
            let block = member.ordered.map(|ordered| ordered.block);
            member.is_answering(now) && member.is_stuck && block > of_registered
        };
        let stuck = self.members.values().filter(is_stuck);
        let stuck: u128 = stuck.map(|member| u128::from(member.weight)).sum();
        let is_stalled = of_registered.is_some() && is_a_third(stuck);

        let progress = &mut self.progress;
        (progress.is_receding, progress.is_stalled) = (is_receding, is_stalled);
        progress.basis = head.map(|(_, basis)| basis);
        match head {
            Some((head, _)) => Arc::make_mut(&mut progress.head).set(head, now),
            None => progress.head = Arc::default(),
        }
    }

    /// Returns the state of the network's order.
    pub(super) fn order_state(&self, now: Instant) -> OrderState {
        // Known as long as the status is, even if the peer answers its query with an error.
        let known = || {
            let members = self.members.values();
            members.filter(|member| member.order != OrderState::Unknown)
        };
        let is_advancing =
            |member: &Member| Self::has_vote(member) && member.order == OrderState::Advancing;
        match () {
            () if known().next().is_none() => OrderState::Unknown,
            () if self.progress.is_receding => OrderState::Receding,
            () if self.replaced_final_blocks(now) => OrderState::Receding,
            () if self.progress.is_stalled => OrderState::Stalled,
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
