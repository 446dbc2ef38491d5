//! State of all peers and networks at one moment.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use convex_client::{PollAnswer, Transport};
use tokio::time::Instant;

use crate::config::Slo;
use crate::self_check::Checks;

use super::wall_time::wall_time;
use super::{
    AcknowledgedAlert, CanaryRecord, ClockDispute, Comparison, FiringAlert, Fleet, Health,
    NetworkConclusion, NetworkVerdict, PeerRecord, QueryRecord, ServiceLevel, Tally, Throughput,
    Vantages, lock,
};

/// State of all peers and networks at one moment. Cheap: records that do not change are shared, not
/// copied.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub wall: SystemTime,
    /// The same moment, for the age of measurements.
    pub now: Instant,
    /// Peers of this shard, in the order of the configuration.
    pub peers: Vec<Arc<PeerRecord>>,
    /// Peers of other shards that are polled as well, to compare whole networks.
    pub others: Vec<Arc<PeerRecord>>,
    /// Networks by name.
    pub networks: Vec<NetworkSnapshot>,
    /// The agent's self-checks.
    pub checks: Checks,
    /// How the clock of this host and those of most peers disagree, if they do.
    pub clock_dispute: Option<ClockDispute>,
    /// This agent, and the other agents with their opinions while those count.
    pub vantages: Vantages,
    /// Alerts that fire, but for those about the agent itself.
    pub firing: Arc<[FiringAlert]>,
    /// Alerts that fire and are acknowledged.
    pub acknowledged: Arc<[AcknowledgedAlert]>,
}

/// State of one network.
#[derive(Clone, Debug, Default)]
pub struct NetworkSnapshot {
    /// Name of the network.
    pub name: String,
    /// Counters of all its endpoints, in the order of [`Transport::ALL`].
    pub tallies: [Tally; Transport::ALL.len()],
    /// The service level that its services have to reach.
    pub slo: Slo,
    /// For how long each service was seen, by name.
    pub services: BTreeMap<String, ServiceLevel>,
    /// Verdict from comparing its peers.
    pub verdict: Arc<NetworkVerdict>,
    /// Newest state of a peer that is up and not diverged, not beyond the head.
    pub poll_answer: Option<PollAnswer>,
    /// Transactions a second; none where neither orders nor accounts tell.
    pub throughput: Option<Throughput>,
    /// Results of custom queries by name.
    pub queries: BTreeMap<String, QueryRecord>,
    /// What the canary found; none without a canary.
    pub canary: Option<Arc<CanaryRecord>>,
    /// What follows from the opinions of all agents, once it was needed. Kept, because each peer's
    /// alerts need it, and it takes all peers to compute.
    pub(crate) conclusion: OnceLock<NetworkConclusion>,
}

impl NetworkSnapshot {
    /// Returns when the counters of the network were at 0.
    #[must_use]
    pub fn counting_since(&self) -> SystemTime {
        self.tallies[0].since
    }
}

impl Snapshot {
    /// Returns the number of peers with this health.
    #[must_use]
    pub fn count(&self, health: Health) -> usize {
        let matching = self.peers.iter().filter(|record| record.health == health);
        matching.count()
    }

    /// Returns the share of a network's weight that is down in maintenance.
    #[must_use]
    pub fn weight_down_in_maintenance(&self, network: &str) -> f64 {
        let peers = self.peers.iter().chain(&self.others);
        let maintained = peers.filter(|record| {
            record.peer.network == network
                && record.health == Health::Down
                && record.in_maintenance(self.wall)
        });
        maintained
            .filter_map(|record| record.stake.as_ref()?.weight)
            .sum()
    }

    /// Whether so much weight is missing from a network, beside what is down in maintenance, that
    /// it can lose no further peer.
    #[must_use]
    pub fn is_quorum_at_risk(&self, network: &NetworkSnapshot) -> bool {
        let quorum = network.verdict.quorum.as_ref();
        quorum
            .is_some_and(|quorum| quorum.is_at_risk(self.weight_down_in_maintenance(&network.name)))
    }

    /// Returns the verdict on each network with its name.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, &NetworkVerdict)> {
        let networks = self.networks.iter();
        networks.map(|network| (network.name.as_str(), &*network.verdict))
    }

    /// Converts an instant to a time of the wall clock as it is now.
    #[must_use]
    pub fn time_of(&self, at: Instant) -> SystemTime {
        wall_time(at, self.now, self.wall).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Fleet {
    /// Takes a snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let watched = lock(&self.watched);
        let now = Instant::now();
        let peers: Vec<Arc<PeerRecord>> = watched.slots.iter().map(|slot| slot.record()).collect();
        let networks = watched
            .networks
            .iter()
            .map(|(name, network)| {
                let verdict = network.verdict();
                NetworkSnapshot {
                    name: name.clone(),
                    tallies: lock(&network.tallies).clone(),
                    slo: *lock(&network.slo),
                    services: lock(&network.services)
                        .iter()
                        .map(|(service, record)| (service.clone(), record.level(now)))
                        .collect(),
                    poll_answer: newest_answer(&peers, name, verdict.head, now).cloned(),
                    throughput: network.throughput(now),
                    queries: lock(&network.queries).clone(),
                    canary: lock(&network.canary).clone(),
                    verdict,
                    conclusion: OnceLock::new(),
                }
            })
            .collect();
        let (peers, others) = peers
            .into_iter()
            .partition(|record| record.peer.sampled.is_none());
        Snapshot {
            wall: SystemTime::now(),
            now,
            networks,
            peers,
            others,
            checks: self.checks(),
            clock_dispute: self.clock_dispute(),
            vantages: lock(&self.vantages).at(now),
            firing: Arc::clone(&lock(&self.firing)),
            acknowledged: Arc::clone(&lock(&self.acknowledged)),
        }
    }

    /// Returns the verdict on each network by name.
    #[must_use]
    pub fn network_verdicts(&self) -> Vec<(String, Arc<NetworkVerdict>)> {
        let watched = lock(&self.watched);
        let networks = watched.networks.iter();
        networks
            .map(|(name, network)| (name.clone(), network.verdict()))
            .collect()
    }
}

/// The newest state of the majority. States beyond the head do not count: a liar could be alone
/// there.
fn newest_answer<'a>(
    peers: &'a [Arc<PeerRecord>],
    network: &str,
    head: Option<i64>,
    now: Instant,
) -> Option<&'a PollAnswer> {
    peers
        .iter()
        .filter(|record| record.peer.network == network)
        .filter(|record| record.last_poll.is_good() && !record.is_apart())
        .filter_map(|record| {
            let confirmed = record.comparison == Comparison::Agrees;
            let answer = record.poll_answer(now)?;
            let counts = match head {
                Some(head) => answer.state_block <= Some(head),
                None => !record.peer.discovered,
            };
            counts.then_some((confirmed, answer))
        })
        .max_by_key(|(confirmed, answer)| (answer.state_block, *confirmed))
        .map(|(_, answer)| answer)
}
