//! The verdict on one network, on the fleet page and on its own.

use std::sync::Arc;
use std::time::Duration;

use crate::fleet::{
    Evidence, HeadBasis, Health, Histories, Losable, NetworkReset, NetworkSnapshot, NetworkVerdict,
    OrderState, PeerRecord, Quorum, Snapshot, StakeClass, StateDifference,
};

use super::format::{
    TimeFormat, Timestamp, count, latency, number, percent, push_fmt, short_cvm, short_duration,
};
use super::headline;
use super::view::{FleetView, HealthFilter};

/// A card; unknown values are `None`.
pub(super) struct NetworkCard<'a> {
    pub(super) name: &'a str,
    /// CSS class: `up`, `degraded`, `down` or `unknown`, as for peers.
    pub(super) class: &'static str,
    state: &'static str,
    pub(super) head: Option<String>,
    /// Whether the head rests on the stake of the configured peers only.
    pub(super) head_of_configured: bool,
    pub(super) finality_advanced: Option<Timestamp>,
    /// What the peers of a reset network show.
    pub(super) reset: Option<ResetSummary>,
    /// Why the network stalls, if the next block says so.
    pub(super) stall_cause: Option<String>,
    /// Number of distinct states at one block; none if nothing was compared recently.
    pub(super) groups: Option<usize>,
    pub(super) compared: ComparedSummary,
    pub(super) histories: HistoriesSummary,
    /// The newest block at which peers have different states, with these.
    pub(super) difference: Option<String>,
    pub(super) split: Evidence,
    pub(super) registered: Option<String>,
    pub(super) quorum: Option<QuorumSummary>,
    pub(super) stake: Option<String>,
    pub(super) accounts: Option<String>,
    pub(super) counts: Vec<HealthCount>,
}

/// What the peers of a reset network show.
pub(super) struct ResetSummary {
    /// The genesis hash that all of them show.
    pub(super) shown: String,
    /// The network's genesis hash, and where it is from.
    pub(super) expected: String,
    pub(super) origin: &'static str,
    /// Since when all of them show it.
    pub(super) since: Timestamp,
}

/// How much was compared recently.
pub(super) struct ComparedSummary {
    pub(super) answering: usize,
    pub(super) peers: usize,
    /// Share of the registered stake.
    pub(super) stake: Option<String>,
    /// When a peer was last compared.
    pub(super) last: Option<Timestamp>,
    /// Whether blocks are made, but nothing was compared for long.
    pub(super) nothing_for_long: bool,
}

/// How many histories of blocks the signed orders have.
pub(super) struct HistoriesSummary {
    pub(super) is_different: bool,
    pub(super) text: String,
}

/// The quorum of a network.
pub(super) struct QuorumSummary {
    pub(super) margin: String,
    /// Whether the quorum is lost.
    pub(super) is_lost: bool,
    /// How many peers can be lost before the quorum is.
    pub(super) losable: String,
    /// Shares of the stake by class, except zero ones.
    pub(super) shares: Vec<(&'static str, String)>,
}

/// The number of peers with one health, with the query string of a page that shows them.
pub(super) struct HealthCount {
    pub(super) health: &'static str,
    pub(super) count: usize,
    pub(super) query: String,
}

/// Counts peers by health, the worst first, without zero counts; of all networks if `network` is
/// empty.
pub(super) fn health_counts(snapshot: &Snapshot, network: &str) -> Vec<HealthCount> {
    let in_network = |it: &&Arc<PeerRecord>| network.is_empty() || it.peer.network == network;
    [Health::Down, Health::Degraded, Health::Unknown, Health::Up]
        .into_iter()
        .map(|health| HealthCount {
            health: health.as_str(),
            count: snapshot
                .peers
                .iter()
                .filter(in_network)
                .filter(|it| it.health == health)
                .count(),
            query: FleetView {
                health: HealthFilter::Only(health),
                network: network.to_owned(),
                ..FleetView::default()
            }
            .query(),
        })
        .filter(|it| it.count > 0)
        .collect()
}

impl ResetSummary {
    fn new(reset: &NetworkReset, snapshot: &Snapshot, times: TimeFormat) -> Self {
        Self {
            shown: reset.shown.to_string(),
            expected: reset.expected.to_string(),
            origin: if reset.pinned {
                "as configured"
            } else {
                "as shown before"
            },
            since: times.at(snapshot.time_of(reset.since)),
        }
    }
}

impl ComparedSummary {
    fn new(verdict: &NetworkVerdict, snapshot: &Snapshot, times: TimeFormat) -> Self {
        let compared = &verdict.compared;
        Self {
            answering: compared.answering,
            peers: compared.peers,
            stake: compared.stake.map(percent),
            last: compared.last.map(|last| times.at(snapshot.time_of(last))),
            nothing_for_long: verdict.nothing_compared,
        }
    }
}

impl HistoriesSummary {
    fn new(histories: Option<&Histories>) -> Self {
        let Some(histories) = histories else {
            return Self {
                is_different: false,
                text: "not compared".to_owned(),
            };
        };
        let groups = histories.groups.len();
        let is_different = groups > 1;
        let mut text = match (is_different, histories.compared_stake) {
            (true, _) => format!("{groups} different"),
            (false, Some(stake)) => format!("one, {} of the stake compared", percent(stake)),
            (false, None) => "one".to_owned(),
        };
        if is_different && let Some(fork) = &histories.fork {
            push_fmt(&mut text, format_args!(" from block {}", count(fork.block)));
        }
        Self { is_different, text }
    }
}

/// Returns why a network stalls, if that is because the next block is dated ahead of the clock.
pub(super) fn stall_cause(verdict: &NetworkVerdict) -> Option<String> {
    let production = verdict.consensus.production.as_ref()?;
    let pending = production.pending.as_ref()?;
    let is_cause = verdict.order == OrderState::Stalled && pending.age_seconds < 0.0;
    is_cause.then(|| {
        format!(
            "block {} is dated {} ahead of this host's clock",
            count(pending.block.index),
            ahead(pending.age_seconds)
        )
    })
}

/// Formats how far ahead of the clock a block with this negative age is dated.
pub(super) fn ahead(age_seconds: f64) -> String {
    short_duration(Duration::try_from_secs_f64(-age_seconds).unwrap_or_default())
}

/// Formats a number of seconds with three digits.
pub(super) fn describe_seconds(seconds: f64) -> String {
    latency(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Describes a block at which peers have different states: the beginning of each hash, and a peer
/// that has it.
pub(super) fn describe_difference(difference: &StateDifference) -> String {
    let mut text = format!("block {}: ", number(difference.block));
    for (i, (state, peer)) in difference.states.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        push_fmt(&mut text, format_args!("{separator}{state:.6}… at {peer}"));
    }
    text
}

/// Returns the shares of the weight by standing, except zero ones.
pub(super) fn shares(quorum: &Quorum) -> Vec<(&'static str, String)> {
    StakeClass::ALL
        .iter()
        .zip(quorum.ratios)
        .filter(|(_, ratio)| *ratio > 0.0)
        .map(|(class, ratio)| (class.as_str(), percent(ratio)))
        .collect()
}

/// Describes how many peers can be lost before the quorum is.
fn describe_losable(losable: Losable) -> String {
    match losable {
        Losable { worst: 0, best: 0 } => "no peer can be lost".to_owned(),
        Losable { worst: 1, best: 1 } => "1 peer can be lost".to_owned(),
        Losable { worst, best } if worst == best => format!("{best} peers can be lost"),
        Losable { worst, best } => format!("{worst} to {best} peers can be lost"),
    }
}

impl<'a> NetworkCard<'a> {
    /// What the network does, in the words of all pages.
    pub(super) const fn state(&self) -> &'static str {
        self.state
    }

    pub(super) fn new(
        network: &'a NetworkSnapshot,
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let verdict = &network.verdict;
        let quorum = verdict.quorum.as_ref().map(|quorum| QuorumSummary {
            margin: percent(quorum.margin),
            is_lost: quorum.margin < 0.0,
            losable: describe_losable(quorum.losable),
            shares: shares(quorum),
        });
        let (state, class) = headline::state(network);
        Self {
            name: &network.name,
            class: if class.is_empty() { "up" } else { class },
            state,
            head: verdict.head.map(number),
            head_of_configured: verdict.head_basis == Some(HeadBasis::Configured),
            finality_advanced: verdict.finality_advanced.map(|at| times.at(at)),
            reset: verdict
                .reset
                .as_ref()
                .map(|reset| ResetSummary::new(reset, snapshot, times)),
            stall_cause: stall_cause(verdict),
            groups: verdict.state_groups(),
            histories: HistoriesSummary::new(verdict.consensus.histories.as_ref()),
            compared: ComparedSummary::new(verdict, snapshot, times),
            difference: verdict.difference.as_ref().map(describe_difference),
            split: verdict.split,
            registered: verdict.registered.map(number),
            quorum,
            stake: verdict.stake_copper.map(short_cvm),
            accounts: network
                .poll_answer
                .as_ref()
                .and_then(|it| it.accounts)
                .map(number),
            counts: health_counts(snapshot, &network.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use cad3::Hash;

    use super::*;

    #[test]
    fn losable_peers_are_a_range_where_stake_is_not_observed() {
        for (worst, best, expected) in [
            (0, 0, "no peer can be lost"),
            (1, 1, "1 peer can be lost"),
            (2, 2, "2 peers can be lost"),
            (0, 1, "0 to 1 peers can be lost"),
        ] {
            assert_eq!(describe_losable(Losable { worst, best }), expected);
        }
    }

    #[test]
    fn a_difference_names_the_block_and_each_state_with_a_peer() {
        let difference = StateDifference {
            block: 1_234,
            states: vec![
                (Hash::new([0xab; 32]).into(), "a".to_owned()),
                (Hash::new([0x0c; 32]).into(), "b".to_owned()),
            ],
            groups: 2,
        };
        assert_eq!(
            describe_difference(&difference),
            "block 1,234: abababababab… at a, 0c0c0c0c0c0c… at b"
        );
    }
}
