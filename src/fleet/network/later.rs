//! Disputes that later blocks settle. Pure.
//!
//! A peer that stands still at a block keeps a state that nobody shows any more, and so keeps a
//! dispute open with the few that did. Those of them that agree since then with most of the stake
//! are right.

use std::collections::HashMap;

use super::agreement::{RingVerdict, WeightedRing};
use super::recent::Connected;

/// Takes out of the dispute all peers that at `block`, the newest one with several states, or above
/// show the same as peers with more than half of the `registered` stake.
pub(super) fn settle(
    verdicts: &mut [RingVerdict],
    rings: &[WeightedRing<'_>],
    block: i64,
    registered: u128,
) {
    let mut shown_by = HashMap::new();
    let mut connected = Connected::new(rings.len());
    let is_counted = |peer: usize| {
        let is_diverged = matches!(verdicts[peer], RingVerdict::Diverged { .. });
        rings[peer].weight > 0 && !is_diverged
    };
    for peer in (0..rings.len()).filter(|peer| is_counted(*peer)) {
        let states = rings[peer].ring.newest_first();
        for state in states.take_while(|(number, _)| *number >= block) {
            connected.connect(peer, *shown_by.entry(state).or_insert(peer));
        }
    }
    let mut stake: HashMap<usize, u128> = HashMap::new();
    for peer in (0..rings.len()).filter(|peer| is_counted(*peer)) {
        *stake.entry(connected.group_of(peer)).or_default() += u128::from(rings[peer].weight);
    }
    for (peer, verdict) in verdicts.iter_mut().enumerate() {
        let stake = stake.get(&connected.group_of(peer));
        if *verdict == RingVerdict::Disputed && stake.is_some_and(|stake| stake * 2 > registered) {
            *verdict = RingVerdict::Undisputed;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use crate::fleet::network::ring::Ring;

    use super::*;

    fn ring(text: &str) -> Ring {
        Ring::parse(text, Instant::now())
    }

    #[test]
    fn only_peers_that_later_agree_with_most_of_the_stake_leave_the_dispute() {
        for (rings, stakes, expected) in [
            // The last one stands at block 6; the first one goes on with the others.
            (["5a 6a 8a", "5a 8a", "5a 8a", "5a 6x"], [1; 4], "uuu?"),
            // Agreement before the dispute says nothing.
            (["5a 6a", "5a 7a", "5a 8a", "5a 6x"], [1; 4], "?uu?"),
            // Half of the stake is not more than half.
            (["5a 6a 8a", "5a 8a", "5a", "5a 6x"], [1; 4], "?uu?"),
            // Agreement with others who agree.
            (["6a 7a", "7a 8a", "8a", "6x"], [1; 4], "uuu?"),
            // Who has no vote connects nobody.
            (["6a 7a", "7a 8a", "8a", "6x"], [1, 0, 1, 1], "?uu?"),
        ] {
            let rings = rings.map(ring);
            let weighted: Vec<_> = rings.iter().zip(stakes).collect();
            let weighted: Vec<WeightedRing<'_>> = weighted
                .into_iter()
                .map(|(ring, weight)| WeightedRing { ring, weight })
                .collect();
            let mut verdicts = [RingVerdict::Undisputed; 4];
            (verdicts[0], verdicts[3]) = (RingVerdict::Disputed, RingVerdict::Disputed);
            settle(
                &mut verdicts,
                &weighted,
                6,
                stakes.iter().map(|it| u128::from(*it)).sum(),
            );
            let letters = verdicts.map(|verdict| match verdict {
                RingVerdict::Disputed => '?',
                RingVerdict::Undisputed | RingVerdict::Diverged { .. } => 'u',
            });
            assert_eq!(String::from_iter(letters), expected, "{rings:?}");
        }
    }
}
