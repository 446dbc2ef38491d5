//! The thresholds of verdicts: `verdicts` of the file, over it that of a network, over both that of a peer.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::Keys;
use super::scalar::{DAY, TEN_YEARS, count, duration, number};
use super::section::{Refused, Section};

const SECOND: Duration = Duration::from_secs(1);
/// All coins there can be, CVM.
const SUPPLY_CVM: f64 = 1e9;
const CVM: RangeInclusive<f64> = 0.0..=SUPPLY_CVM;

/// When what was measured becomes a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// An order that should move and has not for this long is stalled.
    pub stall_after: Duration,
    /// Blocks behind the network's head from which a peer lags.
    pub lag_blocks: u64,
    /// How long a peer must be that far behind.
    pub lag_for: Duration,
    /// A clock further off than this is a condition.
    pub clock_skew: Duration,
    /// A TLS certificate that ends sooner than this is a condition.
    pub certificate: Duration,
    /// Own stake less than this above the eviction limit is a condition, CVM.
    pub own_stake_margin_cvm: f64,
    /// A controller with less than this is short of coins, CVM.
    pub controller_balance_cvm: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            stall_after: Duration::from_secs(60),
            lag_blocks: 10,
            lag_for: Duration::from_secs(30),
            clock_skew: SECOND,
            certificate: 21 * DAY,
            own_stake_margin_cvm: 100.0,
            controller_balance_cvm: 10.0,
        }
    }
}

impl Thresholds {
    /// Reads `verdicts` of a section, which has these `keys`, over what holds without it.
    pub(super) fn read(
        section: &Section,
        keys: &Keys,
        base: Result<Self, Refused>,
    ) -> Result<Self, Refused> {
        let Some(section) = section.section("verdicts", keys)? else {
            return base;
        };
        let span = |key, range| section.read(key, |value| duration(value, range));
        let coins = |key| section.read(key, |value| number(value, CVM));
        let stall_after = span("stall_after", SECOND..=DAY);
        let lag_blocks = section.read("lag_blocks", |value| count(value, 1..=1_000_000));
        let lag_for = span("lag_for", Duration::ZERO..=DAY);
        let clock_skew = span("clock_skew", Duration::from_millis(1)..=DAY);
        let certificate = span("certificate", SECOND..=TEN_YEARS);
        let own_stake_margin_cvm = coins("own_stake_margin_cvm");
        let controller_balance_cvm = coins("controller_balance_cvm");
        let base = base?;
        Ok(Self {
            stall_after: stall_after?.unwrap_or(base.stall_after),
            lag_blocks: lag_blocks?.map_or(base.lag_blocks, u64::from),
            lag_for: lag_for?.unwrap_or(base.lag_for),
            clock_skew: clock_skew?.unwrap_or(base.clock_skew),
            certificate: certificate?.unwrap_or(base.certificate),
            own_stake_margin_cvm: own_stake_margin_cvm?.unwrap_or(base.own_stake_margin_cvm),
            controller_balance_cvm: controller_balance_cvm?.unwrap_or(base.controller_balance_cvm),
        })
    }
}
