//! What each agent says about a peer or a network at the moment of a snapshot.

use std::time::Duration;

use crate::fleet::peer::REACHED_INTERVALS;
use crate::fleet::{Health, NetworkSnapshot, OrderState, PeerRecord, Snapshot};

use super::on_network::{NetworkConclusion, NetworkView, conclude_on_network};
use super::on_peer::{PeerConclusion, PeerView, conclude_on_peer};
use super::opinion::{NetworkOpinion, PeerOpinion, Proof};
use super::reached::{reached_stake_ratio, share_of_stake};
use super::vantages::ReceivedOpinion;

impl Snapshot {
    /// Returns what the other agents say about a peer, with the age of each opinion when it was
    /// formed; none for those that say nothing.
    pub fn opinions_on_peer<'a>(
        &'a self,
        record: &'a PeerRecord,
    ) -> impl Iterator<Item = (&'a str, Option<(&'a ReceivedOpinion, &'a PeerOpinion)>)> {
        self.vantages.others.iter().map(move |other| {
            let opinion = other.opinion.as_deref();
            let opinion = opinion.and_then(|it| Some((it, it.on_peer(record)?)));
            (other.name.as_str(), opinion)
        })
    }

    /// Returns what the other agents say about a network; none for those that say nothing.
    pub fn opinions_on_network<'a>(
        &'a self,
        network: &'a NetworkSnapshot,
    ) -> impl Iterator<Item = (&'a str, Option<(&'a ReceivedOpinion, &'a NetworkOpinion)>)> {
        self.vantages.others.iter().map(move |other| {
            let opinion = other.opinion.as_deref();
            let opinion = opinion.and_then(|it| Some((it, it.networks.get(&network.name)?)));
            (other.name.as_str(), opinion)
        })
    }

    /// Returns how long ago something was, of which another agent said that it was this many
    /// seconds ago.
    #[must_use]
    pub fn age_of(&self, opinion: &ReceivedOpinion, age_seconds: f64) -> Duration {
        let age = Duration::try_from_secs_f64(age_seconds).unwrap_or(Duration::MAX);
        age.saturating_add(self.now.saturating_duration_since(opinion.asked))
    }

    /// Returns where the cause lies when a peer is down, according to all agents of this agent's
    /// mode; none if it is down for none of them, or no other one has evidence.
    #[must_use]
    pub fn conclusion_on_peer(&self, record: &PeerRecord) -> Option<PeerConclusion> {
        if self.vantages.others.is_empty() {
            return None;
        }
        let own = PeerView {
            mode: self.vantages.mode,
            health: record.health,
            reaches: record.health != Health::Down && record.is_reached(self.now),
            is_impostor: proves_impostor(&Proof::against_peer(record)),
        };
        let others = self.opinions_on_peer(record).filter_map(|(_, it)| it);
        let others = others.map(|(received, opinion)| PeerView {
            mode: received.mode,
            health: opinion.health,
            reaches: self.is_reached_by(received, opinion),
            is_impostor: proves_impostor(&opinion.proven),
        });
        let views: Vec<PeerView> = others.chain([own]).collect();
        conclude_on_peer(self.vantages.mode, &views)
    }

    /// Returns what becomes of what this agent finds absent from a network.
    #[must_use]
    pub fn conclusion_on_network(&self, network: &NetworkSnapshot) -> NetworkConclusion {
        let conclude = || self.conclude_on_network(network);
        *network.conclusion.get_or_init(conclude)
    }

    fn conclude_on_network(&self, network: &NetworkSnapshot) -> NetworkConclusion {
        let verdict = &network.verdict;
        let others = self.opinions_on_network(network).filter_map(|(_, it)| it);
        let others: Vec<_> = others
            .map(|(received, opinion)| NetworkView {
                reached: opinion.reached_stake_ratio,
                is_stalled: opinion.order_state == OrderState::Stalled.as_str(),
                is_quorum_at_risk: opinion.quorum_at_risk,
                head: opinion.head_block.map(|block| block.0),
                head_advance_age: opinion
                    .head_advance_age_seconds
                    .map(|age| self.age_of(received, age)),
            })
            .collect();
        let (is_stalled, is_quorum_at_risk) = (
            verdict.order == OrderState::Stalled,
            self.is_quorum_at_risk(network),
        );
        let finds_something = |view: &NetworkView| view.is_stalled || view.is_quorum_at_risk;
        if !is_stalled && !is_quorum_at_risk && !others.iter().any(finds_something) {
            return NetworkConclusion::default();
        }
        let advanced = verdict.head_advanced;
        let own = NetworkView {
            reached: reached_stake_ratio(network, self),
            is_stalled,
            is_quorum_at_risk,
            head: verdict.head,
            head_advance_age: advanced.map(|at| self.now.saturating_duration_since(at)),
        };
        let by_any = share_of_stake(network, self, |record| {
            let others = self.opinions_on_peer(record).filter_map(|(_, it)| it);
            let mut reaching = others.map(|(received, it)| self.is_reached_by(received, it));
            record.is_reached(self.now) || reaching.any(|reaches| reaches)
        });
        // Others also reach peers that are not watched here.
        let reached = others.iter().filter_map(|view| view.reached);
        let together = reached.chain(by_any).max_by(f64::total_cmp);
        let peers = self.peers.iter().chain(&self.others);
        let peers = peers.filter(|record| record.peer.network == network.name);
        let stall_after = peers.map(|record| record.peer.verdicts.stall_after).max();
        conclude_on_network(&own, &others, together, stall_after.unwrap_or_default())
    }

    /// Whether another agent has reached a peer within two of its intervals.
    fn is_reached_by(&self, received: &ReceivedOpinion, opinion: &PeerOpinion) -> bool {
        let interval = Duration::try_from_secs_f64(opinion.interval_seconds);
        let valid = interval.map(|interval| interval.saturating_mul(REACHED_INTERVALS));
        let age = opinion
            .good_poll_age_seconds
            .map(|age| self.age_of(received, age));
        age.zip(valid.ok()).is_some_and(|(age, valid)| age <= valid)
    }
}

impl ReceivedOpinion {
    /// Returns the opinion on a peer: the one with its name in its network. Operators choose names,
    /// while a key is only claimed by who answers, so that keys do not find a peer. But where both
    /// agents know a key and the keys are not equal, the other agent means another peer.
    pub(super) fn on_peer(&self, record: &PeerRecord) -> Option<&PeerOpinion> {
        let opinion = self.peers.get(&record.peer.name)?;
        let keys = record.own_key().zip(opinion.key.as_ref());
        let is_other = keys.is_some_and(|(own, other)| own.to_string() != *other);
        (opinion.network == record.peer.network && !is_other).then_some(opinion)
    }
}

/// Whether it is proven that what answers is not the peer.
fn proves_impostor(proven: &[Proof]) -> bool {
    proven.iter().any(|proof| proof.is_of_identity())
}
