//! Upgrades of the protocol: when each is scheduled on chain and takes effect, and which peers can
//! execute it (PEER-PROTOCOL, section 14).

use std::time::Duration;

use super::fault::Fault;
use super::fault_kind::FaultKind;
use super::peers::PeerSet;
use super::world::Block;

/// The version that release 0.8.17 can execute.
const USUAL_VERSION: i64 = 1;

/// A peer that cannot execute an upgrade withdraws its stake this long before it at the latest, and
/// up to [`WITHDRAWAL_SPREAD_SECONDS`] earlier.
const WITHDRAWAL: Duration = Duration::from_secs(300);

/// See [`WITHDRAWAL`].
const WITHDRAWAL_SPREAD_SECONDS: usize = 300;

/// The difference between two peers in the time of their withdrawal, in seconds.
const WITHDRAWAL_STEP_SECONDS: usize = 67;

/// The upgrades of a script, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upgrades(Vec<Upgrade>);

/// One upgrade. All times are since the start of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Upgrade {
    takes_effect: Duration,
    /// The peers that can execute it.
    able: PeerSet,
    /// When it is scheduled on chain.
    from: Duration,
    /// When it is taken off the schedule again, unless it has taken effect.
    to: Option<Duration>,
}

impl Upgrades {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let upgrades = faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Upgrade(takes_effect) => Some(Upgrade {
                takes_effect,
                able: fault.peers.clone(),
                from: fault.from,
                to: fault.to,
            }),
            _ => None,
        });
        let mut upgrades: Vec<_> = upgrades.collect();
        upgrades.sort_by_key(|upgrade| upgrade.takes_effect);
        Self(upgrades)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the highest version that `peer` can execute.
    pub(super) fn supported(&self, peer: usize) -> i64 {
        if self.is_empty() {
            return USUAL_VERSION;
        }
        let able = self.0.iter().take_while(|it| it.able.contains(peer));
        count(able)
    }

    /// Returns the version of the state after `block`.
    pub(super) fn version_after(&self, block: Block) -> i64 {
        count(self.0.iter().filter(|it| it.is_applied_by(block)))
    }

    /// Returns the version of the state after `block`, and when each version takes effect; none
    /// before an upgrade was ever scheduled.
    pub(super) fn protocol_after(&self, block: Block) -> Option<(i64, Vec<Duration>)> {
        let made = since_start(block.made);
        if !self.0.iter().any(|it| it.from <= made) {
            return None;
        }
        let scheduled = self.0.iter().filter(|it| {
            let is_pending = it.from <= made && it.to.is_none_or(|to| made < to);
            is_pending || it.is_applied_by(block)
        });
        let activations = scheduled.map(|it| it.takes_effect).collect();
        Some((self.version_after(block), activations))
    }

    /// Whether `peer` has withdrawn its stake by `now`.
    pub(super) fn has_withdrawn(&self, peer: usize, now: Duration) -> bool {
        let mut withdrawals = self.0.iter().filter_map(|it| it.withdrawal_of(peer));
        withdrawals.any(|at| at <= now)
    }

    /// Returns the times at which the schedule, or the stake of one of `peers` peers, changes.
    pub(super) fn chain_changes(&self, peers: usize) -> impl Iterator<Item = Duration> {
        let schedule = self.0.iter().flat_map(|it| [Some(it.from), it.to]);
        let withdrawals = self
            .0
            .iter()
            .flat_map(move |it| (0..peers).map(|peer| it.withdrawal_of(peer)));
        schedule.chain(withdrawals).flatten()
    }
}

impl Upgrade {
    /// Whether it has taken effect in the state after `block`.
    fn is_applied_by(&self, block: Block) -> bool {
        self.from <= since_start(block.made)
            && self.takes_effect <= since_start(block.confirmed)
            && self.to.is_none_or(|to| self.takes_effect < to)
    }

    /// Returns when `peer` withdraws its stake: half way if the upgrade is scheduled too late for
    /// the usual time. None if it can execute the upgrade, or that is taken off the schedule
    /// before.
    fn withdrawal_of(&self, peer: usize) -> Option<Duration> {
        let spread = peer * WITHDRAWAL_STEP_SECONDS % WITHDRAWAL_SPREAD_SECONDS;
        let before = WITHDRAWAL + Duration::from_secs(spread as u64);
        let usual = self.takes_effect.checked_sub(before);
        let at = usual
            .filter(|usual| *usual >= self.from)
            .unwrap_or_else(|| (self.from + self.takes_effect.max(self.from)) / 2);
        let is_unable = !self.able.contains(peer);
        (is_unable && self.to.is_none_or(|to| at < to)).then_some(at)
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

/// Converts milliseconds since the start; times before it become the start.
fn since_start(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn upgrades(specs: &[&str]) -> Upgrades {
        let faults: Vec<_> = specs
            .iter()
            .map(|spec| Fault::parse(spec, 4).unwrap())
            .collect();
        Upgrades::new(&faults)
    }

    /// The version after a block at this second, and the seconds at which versions take effect.
    fn protocol(upgrades: &Upgrades, second: i64) -> Option<(i64, Vec<u64>)> {
        let ms = second * 1_000;
        let block = Block {
            made: ms,
            dated: ms,
            confirmed: ms,
        };
        let (version, activations) = upgrades.protocol_after(block)?;
        Some((version, activations.iter().map(Duration::as_secs).collect()))
    }

    #[test]
    fn an_upgrade_is_scheduled_and_takes_effect_with_the_first_block_of_its_time() {
        let found = upgrades(&["upgrade=60s:1-3:10s"]);
        assert_eq!(protocol(&found, 9), None);
        assert_eq!(protocol(&found, 10), Some((0, vec![60])));
        assert_eq!(protocol(&found, 59), Some((0, vec![60])));
        assert_eq!(protocol(&found, 60), Some((1, vec![60])));
    }

    #[test]
    fn an_upgrade_can_be_put_off_until_it_has_taken_effect() {
        let found = upgrades(&["upgrade=21d:1-3:10s..20s", "upgrade=40s:1-3:20s..50s"]);
        assert_eq!(protocol(&found, 19), Some((0, vec![21 * 86_400])));
        assert_eq!(protocol(&found, 20), Some((0, vec![40])));
        assert_eq!(protocol(&found, 60), Some((1, vec![40])), "it stays");
        let abandoned = upgrades(&["upgrade=40s:all:10s..20s"]);
        assert_eq!(protocol(&abandoned, 60), Some((0, vec![])));
    }

    #[test]
    fn peers_support_what_they_can_execute_of_the_upgrades_in_their_order() {
        let supported = |specs: &[&str]| [0, 1, 2].map(|peer| upgrades(specs).supported(peer));
        assert_eq!(supported(&[]), [1, 1, 1]);
        assert_eq!(supported(&["upgrade=60s:1-2"]), [1, 1, 0]);
        assert_eq!(
            supported(&["upgrade=90s:1,3", "upgrade=60s:1-2"]),
            [2, 1, 0]
        );
    }

    #[test]
    fn peers_that_cannot_follow_withdraw_five_to_ten_minutes_before_at_different_times() {
        let found = upgrades(&["upgrade=1h:1"]);
        let withdrawals: Vec<_> = (0..4).map(|peer| found.0[0].withdrawal_of(peer)).collect();
        assert_eq!(withdrawals[0], None);
        for (i, at) in withdrawals.iter().enumerate().skip(1) {
            let before = (3_600 * S).checked_sub(at.unwrap()).unwrap();
            assert!((300 * S..600 * S).contains(&before), "{before:?}");
            assert!(!withdrawals[..i].contains(at));
            assert!(!found.has_withdrawn(i, at.unwrap().checked_sub(S).unwrap()));
            assert!(found.has_withdrawn(i, at.unwrap()));
        }
        let soon = upgrades(&["upgrade=60s:1:20s"]);
        assert_eq!(soon.0[0].withdrawal_of(1), Some(40 * S));
        let put_off = upgrades(&["upgrade=1h:1:20s..30s"]);
        assert_eq!(put_off.0[0].withdrawal_of(1), None);
    }
}
