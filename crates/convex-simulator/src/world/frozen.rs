//! Peers that are frozen: at a block that needs an upgrade which they lack, or by a fault. They
//! execute no more blocks, merge no beliefs and publish none (PEER-PROTOCOL, section 14).

use std::time::Duration;

use crate::script::ActiveFaults;

use super::{STATE_DELAY_MS, World, to_i64, to_ms};

/// Where a peer freezes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frozen {
    /// Index of the first block that it does not execute, which is final for it.
    pub(super) block: i64,
    /// When it would have executed that block, in milliseconds since the start.
    pub(super) since_ms: i64,
}

impl Frozen {
    pub(super) fn since(self) -> Duration {
        Duration::from_millis(u64::try_from(self.since_ms).unwrap_or_default())
    }
}

impl World {
    /// Returns where `peer` freezes with these faults; none while no block has been made at which
    /// it does.
    pub(super) fn frozen(&self, peer: usize, faults: &ActiveFaults) -> Option<Frozen> {
        let upgrades = self.script.upgrades();
        let lacking = (!upgrades.is_empty()).then(|| {
            let supported = upgrades.supported(peer);
            let executes = |block: &_| upgrades.version_after(*block) <= supported;
            self.blocks.partition_point(executes)
        });
        let by_fault = faults.frozen.map(|since| {
            let since_ms = to_ms(since);
            self.blocks.partition_point(|block| block.made < since_ms)
        });
        let first = lacking.into_iter().chain(by_fault).min()?;
        let block = self.blocks.get(first)?;
        Some(Frozen {
            block: to_i64(first),
            since_ms: block.reaches_ms(STATE_DELAY_MS) + faults.late_ms + self.jitter_ms[peer],
        })
    }

    /// Whether `peer` is frozen at `now`.
    pub(super) fn is_frozen(&self, peer: usize, now: Duration) -> bool {
        let faults = self.script.active_faults(peer, now);
        self.frozen(peer, &faults)
            .is_some_and(|frozen| frozen.since_ms <= to_ms(now))
    }
}
