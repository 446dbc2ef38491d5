//! The version of the protocol and its upgrades.

use cad3::Hash;
use convex_client::seconds_from_ms;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::ExactInteger;
use crate::fleet::{PendingUpgrade, ProtocolVerdict};

/// The version of the protocol and its upgrades.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProtocolReport {
    /// The number of upgrades that were applied.
    version: ExactInteger,
    /// The upgrades that are scheduled, the next one first; at most 16.
    pending: Vec<UpgradeReport>,
    /// Whether the time of the next upgrade has come, and peers with more than half of the stake
    /// that can execute it stand still as well.
    failed: bool,
    /// Keys of registered peers whose own stake went missing shortly before an upgrade.
    withdrawn: Vec<String>,
}

/// An upgrade of the protocol that is scheduled.
#[derive(Debug, Serialize, ToSchema)]
struct UpgradeReport {
    /// The version that it makes.
    version: ExactInteger,
    /// The first block dated at this time or later applies it, seconds since the epoch.
    takes_effect: f64,
    /// Shares of the network's weight; absent while that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<ReadinessReport>,
}

/// Who can execute an upgrade, as shares of the network's weight.
#[derive(Debug, Serialize, ToSchema)]
struct ReadinessReport {
    /// Says that its release can.
    ready: f64,
    /// Says that its release cannot, or has too little own stake to vote.
    unable: f64,
    /// Not watched, does not answer, or does not say.
    unknown: f64,
}

impl ProtocolReport {
    pub(super) fn new(protocol: &ProtocolVerdict) -> Self {
        let upgrade = |upgrade: &PendingUpgrade| UpgradeReport {
            version: ExactInteger(upgrade.version),
            takes_effect: seconds_from_ms(upgrade.takes_effect_ms),
            readiness: upgrade
                .readiness
                .map(|[ready, unable, unknown]| ReadinessReport {
                    ready,
                    unable,
                    unknown,
                }),
        };
        Self {
            version: ExactInteger(protocol.version),
            pending: protocol.pending.iter().map(upgrade).collect(),
            failed: protocol.failed,
            withdrawn: protocol.withdrawn.iter().map(Hash::to_string).collect(),
        }
    }
}
