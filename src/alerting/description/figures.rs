//! Figures as text.

use std::time::SystemTime;

use convex_client::ClockSample;

use crate::fleet::{Lag, PendingUpgrade};

use super::{elapsed, utc};

/// Says how far a peer is behind the head of its network.
pub(super) fn describe_lag(lag: Lag) -> String {
    let Lag { blocks, time } = lag;
    let time = elapsed(time);
    format!("It is {blocks} blocks, {time} behind the head of the network.")
}

/// Says how far a peer's clock is off.
pub(super) fn describe_clock(clock: ClockSample) -> String {
    let ClockSample { skew, uncertainty } = clock;
    let direction = if skew < 0.0 { "behind" } else { "ahead" };
    let skew = skew.abs();
    format!("Its clock is {skew:.1} s {direction} ± {uncertainty:.1} s.")
}

/// Says when a certificate ends.
pub(super) fn describe_end(ends: SystemTime, wall: SystemTime) -> String {
    let at = utc(ends);
    match (ends.duration_since(wall), wall.duration_since(ends)) {
        (Ok(left), _) => format!("Its certificate expires at {at}, in {}.", elapsed(left)),
        (_, Ok(past)) => format!("Its certificate expired at {at}, {} ago.", elapsed(past)),
        (Err(_), Err(_)) => format!("Its certificate expires at {at}."),
    }
}

/// Says when an upgrade takes effect.
pub(super) fn describe_upgrade(upgrade: &PendingUpgrade, wall: SystemTime) -> String {
    let at = utc(upgrade.takes_effect());
    let version = upgrade.version;
    match upgrade.due_in(wall) {
        Some(left) => format!(
            "version {version} takes effect at {at}, in {}",
            elapsed(left)
        ),
        None => format!("version {version} has been due since {at}, with the next block"),
    }
}
