//! Thresholds of verdicts: `verdicts` of the file, overridden by those of a network, then by those
//! of a peer.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::Keys;
use super::scalar::{DAY, TEN_YEARS, count, duration, number};
use super::section::Section;
use super::source::Reported;

const SECOND: Duration = Duration::from_secs(1);
/// Maximum supply of coins, CVM.
const SUPPLY_CVM: f64 = 1e9;
const CVM: RangeInclusive<f64> = 0.0..=SUPPLY_CVM;

/// At which measured values a condition is raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Time without progress after which an order that should advance is stalled.
    pub stall_after: Duration,
    /// Number of blocks behind the network's head from which a peer lags.
    pub lag_blocks: u64,
    /// How long a peer must be that far behind to lag.
    pub lag_for: Duration,
    /// Age of the oldest block final at the head but not at the peer, above which the peer lags.
    pub lag_time: Duration,
    /// How long a peer whose finality went back may stand still, for example while it restarts.
    pub restart_grace: Duration,
    /// Largest tolerated difference of a clock.
    pub clock_skew: Duration,
    /// Remaining validity below which a TLS certificate is reported.
    pub certificate: Duration,
    /// Smallest tolerated margin of own stake above the eviction limit, CVM.
    pub own_stake_margin_cvm: f64,
    /// Smallest tolerated balance of a controller, CVM.
    pub controller_balance_cvm: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            stall_after: Duration::from_secs(60),
            lag_blocks: 10,
            lag_for: Duration::from_secs(30),
            lag_time: Duration::from_secs(120),
            restart_grace: Duration::from_secs(120),
            clock_skew: SECOND,
            certificate: 21 * DAY,
            own_stake_margin_cvm: 100.0,
            controller_balance_cvm: 10.0,
        }
    }
}

impl Thresholds {
    /// Reads `verdicts` of a section, with these valid `keys`; `base` has the values of those that
    /// are not set.
    pub(super) fn read(
        section: &Section,
        keys: &Keys,
        base: Result<Self, Reported>,
    ) -> Result<Self, Reported> {
        let Some(section) = section.section("verdicts", keys)? else {
            return base;
        };
        let span = |key, range| section.read(key, |value| duration(value, range));
        let coins = |key| section.read(key, |value| number(value, CVM));
        let stall_after = span("stall_after", SECOND..=DAY);
        let lag_blocks = section.read("lag_blocks", |value| count(value, 1..=1_000_000));
        let lag_for = span("lag_for", Duration::ZERO..=DAY);
        let lag_time = span("lag_time", SECOND..=DAY);
        let restart_grace = span("restart_grace", SECOND..=DAY);
        let clock_skew = span("clock_skew", Duration::from_millis(1)..=DAY);
        let certificate = span("certificate", SECOND..=TEN_YEARS);
        let own_stake_margin_cvm = coins("own_stake_margin_cvm");
        let controller_balance_cvm = coins("controller_balance_cvm");
        let base = base?;
        Ok(Self {
            stall_after: stall_after?.unwrap_or(base.stall_after),
            lag_blocks: lag_blocks?.map_or(base.lag_blocks, u64::from),
            lag_for: lag_for?.unwrap_or(base.lag_for),
            lag_time: lag_time?.unwrap_or(base.lag_time),
            restart_grace: restart_grace?.unwrap_or(base.restart_grace),
            clock_skew: clock_skew?.unwrap_or(base.clock_skew),
            certificate: certificate?.unwrap_or(base.certificate),
            own_stake_margin_cvm: own_stake_margin_cvm?.unwrap_or(base.own_stake_margin_cvm),
            controller_balance_cvm: controller_balance_cvm?.unwrap_or(base.controller_balance_cvm),
        })
    }
}
