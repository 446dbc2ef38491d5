//! The stake of a network: its quorum, and the registered peers.

use convex_client::seconds_from_ms;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::peer_json::{ExactInteger, OrderPointsJson};
use crate::fleet::{NetworkSnapshot, Quorum, Snapshot, StakeClass};
use crate::web::peer_names::PeerNames;
use crate::web::registered::RegisteredPeer;

use super::consensus::KeyReport;

/// The network's stake by class, as shares of the total weight, and the quorum that follows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuorumReport {
    /// Distance to the quorum threshold after subtracting all stake that is known to be absent.
    margin: f64,
    /// How many of the heaviest peers that are not proven absent can be lost before the margin is
    /// negative, if all unobserved stake is there.
    losable_peers: usize,
    /// The same if all unobserved stake is lost already.
    losable_peers_worst: usize,
    majority: f64,
    minority: f64,
    down: f64,
    unobserved: f64,
}

/// A registered peer, watched or not. `/api/v1/peers` has more about those that are watched.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegisteredReport<'a> {
    #[serde(flatten)]
    key: KeyReport<'a>,
    /// Stake, own and delegated.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_copper: Option<ExactInteger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_copper: Option<ExactInteger>,
    /// Its share of the registered stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    stake_ratio: Option<f64>,
    /// Its share of the network's weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_ratio: Option<f64>,
    /// How much of its stake counts, 0.001 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    decay: Option<f64>,
    /// When it made its last block, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_block: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<OrderPointsJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_source: Option<OrderSource>,
    /// Number of blocks that it has executed; absent unless it is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_blocks: Option<ExactInteger>,
}

/// Where the order of a registered peer is from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OrderSource {
    /// Its last poll.
    Poll,
    /// Its newest signed order that another peer holds.
    SignedOrder,
}

impl QuorumReport {
    pub(super) fn new(quorum: &Quorum) -> Self {
        let share = |class: StakeClass| quorum.ratios[class as usize];
        Self {
            margin: quorum.margin,
            losable_peers: quorum.losable.best,
            losable_peers_worst: quorum.losable.worst,
            majority: share(StakeClass::Majority),
            minority: share(StakeClass::Minority),
            down: share(StakeClass::Down),
            unobserved: share(StakeClass::Unobserved),
        }
    }
}

impl<'a> RegisteredReport<'a> {
    /// The registered peers of a network, the one with the most stake first.
    pub(super) fn all(network: &'a NetworkSnapshot, snapshot: &'a Snapshot) -> Vec<Self> {
        let names = PeerNames::of(&network.name, snapshot);
        let peers = RegisteredPeer::all(network, snapshot, &names);
        let report = |peer: &RegisteredPeer<'_>| Self::new(peer, snapshot, &names);
        peers.iter().map(report).collect()
    }

    fn new(peer: &RegisteredPeer<'_>, snapshot: &Snapshot, names: &PeerNames<'a>) -> Self {
        let stake = peer.entry.map(|entry| &entry.stake);
        let polled = peer.record.and_then(|record| record.order(snapshot.now));
        let source = if polled.is_some() {
            OrderSource::Poll
        } else {
            OrderSource::SignedOrder
        };
        Self {
            key: KeyReport::new(&peer.key, names),
            stake_copper: stake.map(|stake| ExactInteger(stake.registered.stake_copper())),
            own_copper: stake.map(|stake| ExactInteger(stake.registered.own_copper)),
            stake_ratio: peer.entry.and_then(|entry| entry.share),
            weight_ratio: stake.and_then(|stake| stake.weight),
            decay: stake.map(|stake| stake.decay),
            last_block: stake
                .and_then(|stake| stake.registered.last_block_ms)
                .map(seconds_from_ms),
            order: peer.order.map(OrderPointsJson::new),
            order_source: peer.order.map(|_| source),
            executed_blocks: peer.executed.map(ExactInteger),
        }
    }
}
