//! Economics of the network: units of coin, and how stake becomes weight in consensus.
//!
//! The rules are those of the peer's source, which did not change from release 0.8.0 to 0.8.5.
//! Names such as `Coin.GOLD` refer to that source.

/// Copper in one CVM (`Coin.GOLD`).
pub const COPPER_PER_CVM: i64 = 1_000_000_000;

/// Maximum amount of coin, in copper (`Coin.MAX_SUPPLY`).
pub const MAX_SUPPLY_COPPER: i64 = 1_000_000_000 * COPPER_PER_CVM;

/// Minimum own stake of a peer, in copper. With less, other peers ignore it and anyone may evict it
/// (`CPoSConstants.MINIMUM_EFFECTIVE_STAKE`).
pub const MINIMUM_OWN_STAKE_COPPER: i64 = 1000 * COPPER_PER_CVM;

/// Share of all weight that must agree for consensus (`CPoSConstants.CONSENSUS_THRESHOLD`).
pub const CONSENSUS_THRESHOLD: f64 = 0.67;

/// Time after a peer's last block before its weight starts to decay, in milliseconds
/// (`CPoSConstants.PEER_DECAY_DELAY`).
const DECAY_DELAY_MS: i64 = 3 * 60 * 1000;

/// Time in which the weight decays by the factor e, in milliseconds
/// (`CPoSConstants.PEER_DECAY_TIME`, whose comment says 30 minutes, but whose value is 5).
const DECAY_TIME_MS: i64 = 5 * 60 * 1000;

/// Minimum of the decay (`CPoSConstants.PEER_DECAY_MINIMUM`).
const DECAY_MINIMUM: f64 = 0.001;

/// Returns the share of a peer's stake that counts in a state, [`DECAY_MINIMUM`] to 1
/// (`Economics.stakeDecay`).
///
/// The arguments are the times of the peer's last block in the order and of the state, in
/// milliseconds. A peer without a block has the minimum. The current time does not matter: on an
/// idle network nothing decays.
pub(super) fn decay(last_block_ms: Option<i64>, state_time_ms: i64) -> f64 {
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

/// Returns the weight of a peer in consensus, in shares of stake (`State.computeStakes`). The
/// weight depends on the shares, own and delegated, and not on the coin they are worth: rewards add
/// no weight.
pub(super) fn weight(shares: i64, decay: f64) -> f64 {
    float(shares) * decay
}

/// Returns the own stake above [`MINIMUM_OWN_STAKE_COPPER`], in copper; negative if the stake is
/// lower (`Context.evictPeer`, `State.checkBlock`, `BeliefMerge.isValidPeer`).
pub(super) const fn eviction_margin(own_copper: i64) -> i64 {
    own_copper.saturating_sub(MINIMUM_OWN_STAKE_COPPER)
}

/// Converts copper to CVM.
#[must_use]
pub fn cvm(copper: i64) -> f64 {
    float(copper) / float(COPPER_PER_CVM)
}

/// Splits the balance of a peer into the worth of its own and of the delegated shares, in copper
/// (`PeerStatus.getPeerStake`, `getDelegatedStake`). The arguments must not be negative.
pub(super) fn split_balance(balance: i64, own_shares: i64, delegated_shares: i64) -> (i64, i64) {
    let shares = i128::from(own_shares) + i128::from(delegated_shares);
    if shares <= 0 {
        return (balance, 0);
    }
    let delegated = i128::from(balance) * i128::from(delegated_shares) / shares;
    let delegated = i64::try_from(delegated).unwrap_or(balance);
    (balance - delegated, delegated)
}

/// Converts to the nearest double.
#[expect(
    clippy::cast_precision_loss,
    reason = "amounts and times keep more precision than weights and thresholds need"
)]
pub(super) fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_559_818_830;
    const MINUTE: i64 = 60_000;

    #[test]
    fn weight_decays_after_three_minutes_down_to_a_thousandth() {
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
    fn extreme_times_keep_the_decay_in_range() {
        for last in [i64::MIN, -1, 0, i64::MAX] {
            for state in [i64::MIN, -1, 0, i64::MAX] {
                let decay = decay(Some(last), state);
                assert!((DECAY_MINIMUM..=1.0).contains(&decay), "{last} {state}");
            }
        }
    }

    #[test]
    fn own_stake_is_the_balance_without_the_delegated_part() {
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
            assert_eq!(split_balance(balance, own, delegated), expected);
        }
    }

    #[test]
    fn the_eviction_margin_is_relative_to_a_thousand_coins() {
        assert_eq!(eviction_margin(1_000_000_000_000), 0);
        assert_eq!(eviction_margin(999_999_999_999), -1);
        assert_eq!(eviction_margin(i64::MIN), i64::MIN);
        assert_eq!(cvm(66_600_000_021_225).to_string(), "66600.000021225");
    }
}
