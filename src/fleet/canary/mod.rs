//! What the canary of a network found: how long transactions take, why they fail, what they cost,
//! and why it does not send. Judges nothing but itself.

mod labels;
mod peer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::transaction::AccountControl;
use tokio::time::Instant;

use crate::config::Canary;

use super::{Fleet, lock, reserve_bounded};

pub use labels::{CanaryProblem, CanarySkip, CanaryStage};
pub use peer::{CanaryPeer, CanaryResult, Executed, Seen};

/// Durations of this time count in the percentile.
const PERCENTILE_WINDOW: Duration = Duration::from_secs(6 * 3600);

/// Fewer durations make no percentile.
const MIN_DURATIONS: usize = 10;

/// Most durations that are kept: one a minute.
const MAX_DURATIONS: usize = 360;

/// A result is shown for this many intervals.
const FRESH_INTERVALS: u32 = 3;

/// Consecutive failed rounds after which transactions through a peer fail.
pub const FAILED_ROUNDS: u32 = 2;

/// Number of such peers after which those of the network do.
pub const FAILING_PEERS: usize = 2;

/// The account is short of coins when they last for less than this.
const SHORT_OF_COINS: Duration = Duration::from_secs(3 * 86_400);

const DAY: Duration = Duration::from_secs(86_400);

/// What the canary of one network found.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryRecord {
    /// The account that pays.
    pub account: u64,
    /// Its public key, which signs the canary's transactions.
    pub key: Hash,
    /// Time between two rounds.
    pub interval: Duration,
    /// How long nine of ten transactions may take at most.
    pub objective: Duration,
    /// Most copper that is spent in a day.
    pub daily_budget_copper: u64,
    /// Result at each peer, by name. Empty before the first round.
    pub peers: BTreeMap<String, CanaryPeer>,
    /// How often no transaction was sent, by the reason.
    pub skipped: BTreeMap<CanarySkip, u64>,
    /// When these counters and those of the peers were at 0.
    pub counting_since: SystemTime,
    /// Why none was sent the last time that one was due, and when; none if one was.
    pub last_skip: Option<(CanarySkip, SystemTime)>,
    /// Why none is sent at all.
    pub refusal: Option<CanaryProblem>,
    /// What else the account controls; none before that was read.
    pub control: Option<AccountControl>,
    /// The funds; none before the account was read.
    pub funds: Option<CanaryFunds>,
    /// When results arrived recently, and how long they took, the oldest first.
    durations: VecDeque<(Instant, Duration)>,
}

/// The coins of the account, and what was spent of them, in copper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CanaryFunds {
    /// The balance when it was last read.
    pub balance_copper: u64,
    /// What all transactions of the account cost that this agent signed.
    pub spent_copper: u64,
    /// What those of this day cost.
    pub spent_today_copper: u64,
    /// What the last one cost; none before the first.
    pub cost_copper: Option<u64>,
}

impl CanaryRecord {
    /// Creates the record of a canary that has not sent anything.
    #[must_use]
    pub fn new(canary: &Canary) -> Self {
        Self {
            account: canary.account,
            key: canary.key.public_key(),
            interval: canary.interval,
            objective: canary.objective,
            daily_budget_copper: canary.daily_budget_copper,
            peers: BTreeMap::new(),
            skipped: BTreeMap::new(),
            counting_since: SystemTime::now(),
            last_skip: None,
            refusal: None,
            control: None,
            funds: None,
            durations: VecDeque::new(),
        }
    }

    /// Gives the canary other settings. With another account it begins again.
    fn reconfigure(&mut self, canary: &Canary) {
        if self.account != canary.account || self.key != canary.key.public_key() {
            *self = Self::new(canary);
        }
        self.interval = canary.interval;
        self.objective = canary.objective;
        self.daily_budget_copper = canary.daily_budget_copper;
    }

    /// Records what came of a transaction through the peer `name`.
    pub fn record_result(&mut self, name: &str, result: CanaryResult) {
        if let Ok(executed) = &result.outcome {
            if self.durations.len() == MAX_DURATIONS {
                self.durations.pop_front();
            }
            reserve_bounded(&mut self.durations, MAX_DURATIONS);
            self.durations.push_back((result.at, executed.result));
        }
        self.last_skip = None;
        self.refusal = None;
        let peer = self.peers.entry(name.to_owned()).or_default();
        peer.record(result);
    }

    /// Records that no transaction was sent, which says nothing about peers.
    pub fn record_skip(
        &mut self,
        skip: CanarySkip,
        refusal: Option<CanaryProblem>,
        at: SystemTime,
    ) {
        *self.skipped.entry(skip).or_default() += 1;
        self.last_skip = Some((skip, at));
        self.refusal = refusal;
    }

    /// Returns the peers with failed rounds: how many in a row, and when the first of them was.
    #[must_use]
    pub fn failed_rounds(&self) -> BTreeMap<String, (u32, SystemTime)> {
        let peers = self.peers.iter();
        peers
            .filter_map(|(name, peer)| {
                Some((name.clone(), (peer.failed_rounds, peer.failing_since?)))
            })
            .collect()
    }

    /// Takes failed rounds from before a restart, which must not end an alert. Does not overwrite
    /// newer results.
    pub fn restore_failed_rounds(&mut self, rounds: BTreeMap<String, (u32, SystemTime)>) {
        for (name, (failed_rounds, since)) in rounds {
            self.peers.entry(name).or_insert_with(|| CanaryPeer {
                failed_rounds,
                failing_since: Some(since),
                ..CanaryPeer::default()
            });
        }
    }

    /// Forgets the peers that are no longer among these.
    pub fn retain_peers(&mut self, is_used: impl Fn(&str) -> bool) {
        self.peers.retain(|name, _| is_used(name));
    }

    /// Returns the time within which nine of ten results arrived; none while there are few.
    #[must_use]
    pub fn result_p90(&self, now: Instant) -> Option<Duration> {
        let recent = self.durations.iter().rev();
        let recent =
            recent.take_while(|(at, _)| now.saturating_duration_since(*at) <= PERCENTILE_WINDOW);
        let mut durations: Vec<Duration> = recent.map(|(_, took)| *took).collect();
        if durations.len() < MIN_DURATIONS {
            return None;
        }
        durations.sort_unstable();
        durations
            .get((durations.len() * 9).div_ceil(10) - 1)
            .copied()
    }

    /// Whether it is not known what else the account controls, because the network has more
    /// accounts or peers than are searched.
    #[must_use]
    pub fn has_unknown_control(&self) -> bool {
        self.control.is_some_and(|control| !control.is_complete())
    }

    /// Whether transactions take longer than the objective.
    #[must_use]
    pub fn is_slow(&self, now: Instant) -> bool {
        self.result_p90(now).is_some_and(|p90| p90 > self.objective)
    }

    /// Returns the names of the peers through which transactions fail.
    pub fn failing_peers(&self) -> impl Iterator<Item = &str> {
        let failing = self.peers.iter().filter(|(_, peer)| peer.is_failing());
        failing.map(|(name, _)| name.as_str())
    }

    /// Returns what the last transaction through a peer showed, unless it is outdated.
    #[must_use]
    pub fn fresh_result(&self, name: &str, now: Instant) -> Option<&CanaryResult> {
        let result = self.peers.get(name)?.last.as_ref()?;
        let age = now.saturating_duration_since(result.at);
        (age < self.interval.saturating_mul(FRESH_INTERVALS)).then_some(result)
    }

    /// Returns for how long the coins of the account last at what the last transaction cost; none
    /// before the first one.
    #[must_use]
    pub fn funds_last(&self) -> Option<Duration> {
        let funds = self.funds?;
        let cost = funds.cost_copper.filter(|cost| *cost > 0)?;
        let rounds = funds.balance_copper / cost / (self.peers.len().max(1) as u64);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        Some(self.interval.saturating_mul(rounds))
    }

    /// Returns what is wrong with the account or its coins.
    #[must_use]
    pub fn problems(&self) -> Vec<CanaryProblem> {
        let is_short = self.funds_last().is_some_and(|time| time < SHORT_OF_COINS)
            || self.funds.is_some_and(|funds| funds.balance_copper == 0);
        let is_budget_spent = matches!(self.last_skip, Some((CanarySkip::Budget, _)));
        self.refusal
            .into_iter()
            .chain(is_short.then_some(CanaryProblem::LowBalance))
            .chain(is_budget_spent.then_some(CanaryProblem::BudgetSpent))
            .collect()
    }

    /// Returns what the canary costs in a day, in copper, at what the last transaction cost; none
    /// before the first one.
    #[must_use]
    pub fn daily_cost_copper(&self) -> Option<u64> {
        let cost = self.funds?.cost_copper?;
        let rounds = DAY.as_secs() / self.interval.as_secs().max(1);
        Some(
            cost.saturating_mul(rounds)
                .saturating_mul(self.peers.len().max(1) as u64),
        )
    }
}

impl Fleet {
    /// Returns the account of a network's canary, if it has one.
    #[must_use]
    pub fn canary_account(&self, network: &str) -> Option<u64> {
        let network = self.network(network)?;
        lock(&network.canary).as_ref().map(|record| record.account)
    }

    /// Returns the record of each canary with the name of its network.
    #[must_use]
    pub fn canaries(&self) -> Vec<(String, Arc<CanaryRecord>)> {
        let watched = lock(&self.watched);
        let networks = watched.networks.iter();
        let canaries = networks
            .filter_map(|(name, network)| Some((name.clone(), lock(&network.canary).clone()?)));
        canaries.collect()
    }

    /// Changes the record of a network's canary; ignored where there is none.
    pub fn update_canary(&self, network: &str, change: impl FnOnce(&mut CanaryRecord)) {
        let Some(network) = self.network(network) else {
            return;
        };
        if let Some(record) = lock(&network.canary).as_mut() {
            change(Arc::make_mut(record));
        }
    }
}

/// Follows a new configuration.
pub(super) fn reconfigure(record: &mut Option<Arc<CanaryRecord>>, canary: Option<&Canary>) {
    match (record.as_mut(), canary) {
        (_, None) => *record = None,
        (Some(record), Some(canary)) => Arc::make_mut(record).reconfigure(canary),
        (None, Some(canary)) => *record = Some(Arc::new(CanaryRecord::new(canary))),
    }
}

#[cfg(test)]
pub(crate) mod tests;
