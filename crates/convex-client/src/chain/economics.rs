//! How stake becomes weight in consensus, as the peer's source computes it. Releases 0.8.0 to 0.8.5 agree in all of it.

/// Copper in one CVM: `Coin.GOLD`.
pub const COPPER_PER_CVM: i64 = 1_000_000_000;

/// More copper than this cannot exist: `Coin.MAX_SUPPLY`.
pub const MAX_SUPPLY_COPPER: i64 = 1_000_000_000 * COPPER_PER_CVM;

/// Own stake below which a peer is not heard and anybody may evict it: `CPoSConstants.MINIMUM_EFFECTIVE_STAKE`.
pub const MINIMUM_OWN_STAKE_COPPER: i64 = 1000 * COPPER_PER_CVM;

/// The part of all weight that must agree for consensus: `CPoSConstants.CONSENSUS_THRESHOLD`.
pub const CONSENSUS_THRESHOLD: f64 = 0.67;

/// A peer's weight is whole for so long after its last block, milliseconds: `CPoSConstants.PEER_DECAY_DELAY`.
pub const DECAY_DELAY_MS: i64 = 3 * 60 * 1000;

/// Then it falls by the factor e every so many milliseconds: `CPoSConstants.PEER_DECAY_TIME`, whose comment says 30
/// minutes where its value is 5.
pub const DECAY_TIME_MS: i64 = 5 * 60 * 1000;

/// It does not fall below this part: `CPoSConstants.PEER_DECAY_MINIMUM`.
pub const DECAY_MINIMUM: f64 = 0.001;

/// The part of a peer's stake that counts in a state, [`DECAY_MINIMUM`] to 1: `Economics.stakeDecay`. Times in
/// milliseconds, of the peer's last block in the order and of the state itself; a peer that never made a block has the
/// minimum. Wall time has no say: on an idle network nothing decays.
#[must_use]
pub fn decay(last_block_ms: Option<i64>, state_time_ms: i64) -> f64 {
    let Some(last_block_ms) = last_block_ms else {
        return DECAY_MINIMUM;
    };
    let overdue_ms = state_time_ms
        .saturating_sub(last_block_ms)
        .saturating_sub(DECAY_DELAY_MS);
    if overdue_ms <= 0 {
        return 1.0;
    }
    (-float(overdue_ms) / float(DECAY_TIME_MS))
        .exp()
        .max(DECAY_MINIMUM)
}

/// A peer's weight in consensus, in shares of stake: `State.computeStakes`. Shares, own and delegated together, not the
/// coin they are worth: rewards give no weight.
#[must_use]
pub fn weight(shares: i64, decay: f64) -> f64 {
    float(shares) * decay
}

/// How much own stake, copper, is above what keeps a peer heard and safe from eviction; negative when it is not:
/// `Context.evictPeer`, `State.checkBlock`, `BeliefMerge.isValidPeer`.
#[must_use]
pub const fn eviction_margin(own_copper: i64) -> i64 {
    own_copper.saturating_sub(MINIMUM_OWN_STAKE_COPPER)
}

/// Copper as CVM.
#[must_use]
pub fn cvm(copper: i64) -> f64 {
    float(copper) / float(COPPER_PER_CVM)
}

/// What is left of the coin that shares are worth when the delegated ones are paid, and what those are: own and
/// delegated, copper (`PeerStatus.getPeerStake`, `getDelegatedStake`). The arguments are not negative.
pub(super) fn split(balance: i64, own_shares: i64, delegated_shares: i64) -> (i64, i64) {
    let shares = i128::from(own_shares) + i128::from(delegated_shares);
    if shares <= 0 {
        return (balance, 0);
    }
    let delegated = i128::from(balance) * i128::from(delegated_shares) / shares;
    let delegated = i64::try_from(delegated).unwrap_or(balance);
    (balance - delegated, delegated)
}

/// The nearest double; what coins and times there are is exact to a billionth.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people and thresholds"
)]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_559_818_830;
    const MINUTE: i64 = 60_000;

    #[test]
    fn weight_is_whole_for_three_minutes_and_then_falls_to_a_thousandth() {
        for (age, expected) in [
            (-MINUTE, 1.0),
            (0, 1.0),
            (3 * MINUTE, 1.0),
            (8 * MINUTE, (-1.0f64).exp()),
            (13 * MINUTE, (-2.0f64).exp()),
            (37 * MINUTE, (-6.8f64).exp()),
            // exp(-7) would be less than a thousandth.
            (38 * MINUTE, 0.001),
            (i64::MAX / 2, 0.001),
        ] {
            let decay = decay(Some(NOW.saturating_sub(age)), NOW);
            assert!((decay - expected).abs() < 1e-12, "{age}: {decay}");
        }
    }

    #[test]
    fn a_peer_without_a_block_has_the_minimum() {
        assert_eq!(decay(None, NOW).to_bits(), DECAY_MINIMUM.to_bits());
    }

    #[test]
    fn absurd_times_are_no_trouble() {
        for last in [i64::MIN, -1, 0, i64::MAX] {
            for state in [i64::MIN, -1, 0, i64::MAX] {
                let decay = decay(Some(last), state);
                assert!((DECAY_MINIMUM..=1.0).contains(&decay), "{last} {state}");
            }
        }
    }

    #[test]
    fn own_stake_is_what_the_delegated_shares_leave() {
        for (balance, own, delegated, expected) in [
            (
                66_600_000_021_225,
                66_600_000_000_000,
                0,
                (66_600_000_021_225, 0),
            ),
            (10, 2, 1, (7, 3)),
            (5, 0, 0, (5, 0)),
            (5, 0, 9, (0, 5)),
            (
                MAX_SUPPLY_COPPER,
                MAX_SUPPLY_COPPER,
                MAX_SUPPLY_COPPER,
                (MAX_SUPPLY_COPPER / 2, MAX_SUPPLY_COPPER / 2),
            ),
        ] {
            assert_eq!(split(balance, own, delegated), expected);
        }
    }

    #[test]
    fn the_margin_is_counted_from_a_thousand_coins() {
        assert_eq!(eviction_margin(1_000_000_000_000), 0);
        assert_eq!(eviction_margin(999_999_999_999), -1);
        assert_eq!(eviction_margin(i64::MIN), i64::MIN);
        assert_eq!(cvm(66_600_000_021_225).to_string(), "66600.000021225");
    }
}
