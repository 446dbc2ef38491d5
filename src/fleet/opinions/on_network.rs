//! What becomes of what an agent finds absent from a network, beside the opinions of others. Pure.
//!
//! An advance of the head refutes a stall, and the reached stake weighs.

use std::time::Duration;

use crate::label_enum::label_enum;

/// An agent whose reached share of the stake is this much below the best cannot make others believe
/// that something is absent.
const MAX_BELOW_BEST: f64 = 0.01;

/// An agent that reaches less than this part of what the best reaches is cut off.
const CUT_OFF_BELOW: f64 = 0.5;

/// Agents that together reach less than one part in this many of the stake cannot tell what a
/// network lacks.
const MIN_STAKE_DIVISOR: f64 = 3.0;

/// What one agent says about one network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NetworkView {
    /// Share of the registered stake that it reaches; none while the stake is unknown.
    pub(super) reached: Option<f64>,
    /// Whether it finds the network stalled.
    pub(super) is_stalled: bool,
    /// Whether it finds that the network can lose no further peer.
    pub(super) is_quorum_at_risk: bool,
    /// The head.
    pub(super) head: Option<i64>,
    /// Time since the head was last seen to advance.
    pub(super) head_advance_age: Option<Duration>,
}

label_enum! {
    /// What becomes of an agent's verdict that something is absent from a network.
    #[derive(Default)]
    pub enum Absence {
        #[default]
        None = "none", "The agent has no such verdict, or agents that reach more have the same.";
        Stands = "stands", "It stands: no agent that reaches more says otherwise.";
        TooLittleReached = "too_little_reached", "All agents together reach too little to tell.";
        Refuted = "refuted", "Another agent shows that it is wrong, or reaches more and does not find it.";
    }
}

/// What several agents say about what a network lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkConclusion {
    /// The network finalises nothing.
    pub stall: Absence,
    /// It can lose no further peer.
    pub quorum: Absence,
    /// Whether this agent reaches less than half of what another one reaches.
    pub is_cut_off: bool,
    /// Whether another agent sees the head advance.
    pub advances: bool,
    /// Whether another agent has trouble of its own with the network.
    pub is_anothers_trouble: bool,
}

/// Weighs what each agent finds absent from a network against the opinions of the others.
/// `together` is the share of the stake that all of them reach. A head that another agent has seen
/// advance within `stall_after` has not stalled.
pub(super) fn conclude_on_network(
    own: &NetworkView,
    others: &[NetworkView],
    together: Option<f64>,
    stall_after: Duration,
) -> NetworkConclusion {
    let has_trouble = |i: usize| {
        let mut beside = others.to_vec();
        let view = std::mem::replace(&mut beside[i], *own);
        weigh(&view, &beside, together, stall_after).is_own_trouble()
    };
    NetworkConclusion {
        is_anothers_trouble: (0..others.len()).any(has_trouble),
        ..weigh(own, others, together, stall_after)
    }
}

/// Weighs what one agent finds absent against the opinions of others.
fn weigh(
    own: &NetworkView,
    others: &[NetworkView],
    together: Option<f64>,
    stall_after: Duration,
) -> NetworkConclusion {
    let all = || others.iter().chain([own]);
    let best = all().filter_map(|view| view.reached).max_by(f64::total_cmp);
    let counts = |view: &NetworkView| match (view.reached, best) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(reached), Some(best)) => best - reached <= MAX_BELOW_BEST,
    };
    let advances = |view: &NetworkView| {
        let age = view.head_advance_age;
        view.head >= own.head && age.is_some_and(|age| age < stall_after)
    };
    let outcome = |finds: fn(&NetworkView) -> bool, is_refuted: bool| {
        let is_shared = || others.iter().any(|view| finds(view) && counts(view));
        match () {
            () if !finds(own) => Absence::None,
            () if is_refuted => Absence::Refuted,
            () if !counts(own) && is_shared() => Absence::None,
            () if !counts(own) => Absence::Refuted,
            () if together.is_some_and(|it| it < 1.0 / MIN_STAKE_DIVISOR) => {
                Absence::TooLittleReached
            }
            () => Absence::Stands,
        }
    };
    let advances = others.iter().any(advances);
    let reached = own.reached.unwrap_or_default();
    NetworkConclusion {
        stall: outcome(|view| view.is_stalled, advances),
        quorum: outcome(|view| view.is_quorum_at_risk, false),
        is_cut_off: best.is_some_and(|best| reached < best * CUT_OFF_BELOW),
        advances,
        is_anothers_trouble: false,
    }
}

impl NetworkConclusion {
    /// Returns the conclusion in a sentence; none if nothing is absent, or if it stands.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        match () {
            () if self.is_blind() => Some(
                "All agents together reach less than a third of the stake: nobody can tell what is absent.",
            ),
            () if self.is_refuted() => {
                Some("Another agent refutes what this one finds absent from the network.")
            }
            () if self.is_anothers_trouble => {
                Some("This agent refutes what another one finds absent from the network.")
            }
            () => None,
        }
    }

    /// Whether the agent finds something absent that another one refutes.
    #[must_use]
    pub fn is_refuted(self) -> bool {
        [self.stall, self.quorum].contains(&Absence::Refuted)
    }

    /// Whether the agent finds something absent, and all agents together reach too little to tell.
    #[must_use]
    pub fn is_blind(self) -> bool {
        [self.stall, self.quorum].contains(&Absence::TooLittleReached)
    }

    /// Whether the agent finds something absent that another one refutes, and that is not explained
    /// by single peers that the agent does not reach.
    #[must_use]
    pub fn is_own_trouble(self) -> bool {
        self.is_refuted() && (self.is_cut_off || (self.advances && self.stall == Absence::Refuted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view that reaches this much and sees a head advance after so many seconds.
    fn view(reached: f64, finds: bool, advance_seconds: u64) -> NetworkView {
        NetworkView {
            reached: Some(reached),
            is_stalled: finds,
            is_quorum_at_risk: finds,
            head: Some(100),
            head_advance_age: Some(Duration::from_secs(advance_seconds)),
        }
    }

    #[test]
    fn what_an_agent_finds_absent_is_weighed() {
        use Absence::{None, Refuted, Stands, TooLittleReached};
        let old = 1_000;
        for (what, own, others, [stall, quorum]) in [
            ("alone", view(0.9, true, old), &[][..], [Stands, Stands]),
            ("nothing is absent", view(0.9, false, 1), &[], [None, None]),
            (
                "another sees the head advance",
                view(0.9, true, old),
                &[view(0.5, false, 59)],
                [Refuted, Stands],
            ),
            (
                "it advanced before the stall",
                view(0.9, true, old),
                &[view(0.5, false, 60)],
                [Stands, Stands],
            ),
            (
                "another reaches more and finds nothing",
                view(0.5, true, old),
                &[view(1.0, false, old)],
                [Refuted, Refuted],
            ),
            (
                "another reaches more and finds the same, and says so itself",
                view(0.5, true, old),
                &[view(1.0, true, old)],
                [None, None],
            ),
            (
                "of equals the worse verdict stands",
                view(0.991, true, old),
                &[view(1.0, false, old)],
                [Stands, Stands],
            ),
            (
                "a point less is as good, more than that is not",
                view(0.989, true, old),
                &[view(1.0, false, old)],
                [Refuted, Refuted],
            ),
            (
                "one that reaches nothing has no verdict",
                view(0.0, true, old),
                &[view(1.0, false, old)],
                [Refuted, Refuted],
            ),
            (
                "all reach too little",
                view(0.3, true, old),
                &[view(0.2, false, old)],
                [TooLittleReached, TooLittleReached],
            ),
            (
                "one that reaches nothing says nothing of another's little",
                view(0.0, true, old),
                &[view(0.2, false, old)],
                [Refuted, Refuted],
            ),
            (
                "nothing at all is reached",
                view(0.0, true, old),
                &[],
                [TooLittleReached, TooLittleReached],
            ),
        ] {
            let reached = others.iter().chain([&own]).filter_map(|view| view.reached);
            let together = reached.max_by(f64::total_cmp);
            let after = Duration::from_secs(60);
            let found = conclude_on_network(&own, others, together, after);
            assert_eq!([found.stall, found.quorum], [stall, quorum], "{what}");
        }
    }

    #[test]
    fn agents_that_reach_different_peers_reach_enough_together() {
        let (own, other) = (view(0.3, true, 1_000), view(0.3, true, 1_000));
        let after = Duration::from_secs(60);
        let found = conclude_on_network(&own, &[other], Some(0.6), after);
        assert_eq!(found.quorum, Absence::Stands);
        assert!(!found.is_blind() && !found.is_own_trouble());
        let found = conclude_on_network(&own, &[other], Some(0.33), after);
        assert!(found.is_blind());
    }

    #[test]
    fn an_agent_that_misses_half_of_a_network_or_its_head_has_trouble_of_its_own() {
        let old = 1_000;
        for (own, other, expected) in [
            (view(0.49, true, old), view(1.0, false, old), true),
            (view(0.5, true, old), view(1.0, false, old), false),
            (view(0.0, true, old), view(0.2, false, old), true),
            (view(0.0, false, old), view(1.0, false, old), false),
            (view(0.0, true, old), view(1.0, true, old), false),
            (view(1.0, true, old), view(1.0, false, 1), true),
            (view(1.0, true, old), view(1.0, false, old), false),
        ] {
            let after = Duration::from_secs(60);
            let found = conclude_on_network(&own, &[other], Some(1.0), after);
            assert_eq!(found.is_own_trouble(), expected, "{own:?} {other:?}");
            // The other one knows it as well.
            let found = conclude_on_network(&other, &[own], Some(1.0), after);
            assert_eq!(found.is_anothers_trouble, expected, "{own:?} {other:?}");
        }
    }

    #[test]
    fn a_head_behind_that_of_the_stall_refutes_nothing() {
        let own = view(0.9, true, 1_000);
        for (head, stall) in [
            (Some(99), Absence::Stands),
            (Some(100), Absence::Refuted),
            (None, Absence::Stands),
        ] {
            let other = NetworkView {
                head,
                ..view(0.9, false, 1)
            };
            let after = Duration::from_secs(60);
            let found = conclude_on_network(&own, &[other], Some(0.9), after);
            assert_eq!(found.stall, stall, "{head:?}");
        }
    }

    #[test]
    fn without_the_registered_stake_nothing_is_weighed() {
        let unknown = NetworkView {
            reached: None,
            ..view(0.0, true, 1_000)
        };
        let after = Duration::from_secs(60);
        let found = conclude_on_network(&unknown, &[], None, after);
        assert_eq!(found.stall, Absence::Stands);
        let known = view(0.2, false, 1_000);
        let found = conclude_on_network(&unknown, &[known], None, after);
        assert_eq!(found.stall, Absence::Refuted, "another knows it");
    }
}
