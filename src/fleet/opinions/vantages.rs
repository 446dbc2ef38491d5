//! The agent itself and the other agents whose opinions it reads.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, Mode};
use crate::fleet::{Fleet, lock};

use super::acknowledged::{Acknowledged, MAX_ACKNOWLEDGED};
use super::firing::FiringAlert;
use super::opinion::{NetworkOpinion, Opinion, PeerOpinion};

/// How long an opinion counts: one lost request does not change what follows from it.
const OPINION_VALID: Duration = Duration::from_secs(12);

/// This agent, and the others whose opinions it reads.
#[derive(Clone, Debug, Default)]
pub struct Vantages {
    /// Name of this agent.
    pub name: String,
    /// Where this agent runs.
    pub mode: Mode,
    /// The others, in the order of the configuration.
    pub others: Vec<OtherVantage>,
}

/// Another agent.
#[derive(Clone, Debug)]
pub struct OtherVantage {
    /// What the configuration calls it.
    pub name: String,
    /// What it last said, while that counts.
    pub opinion: Option<Arc<ReceivedOpinion>>,
    /// When the last opinion that arrived was asked for, whether or not it still counts.
    pub last_asked: Option<Instant>,
}

/// The opinion of another agent on the peers and networks that this agent watches as well.
#[derive(Debug)]
pub struct ReceivedOpinion {
    /// When it was asked for; it was formed later, so its ages are not more than the time since.
    pub asked: Instant,
    /// Where the other agent runs.
    pub mode: Mode,
    /// Peers by name.
    pub peers: BTreeMap<String, PeerOpinion>,
    /// Networks by name.
    pub networks: BTreeMap<String, NetworkOpinion>,
    /// Alerts that fire there.
    pub firing: HashSet<FiringAlert>,
    /// Alerts that were acknowledged there.
    pub acknowledged: Vec<Acknowledged>,
}

impl ReceivedOpinion {
    /// Takes an opinion that was asked for at `asked`.
    #[must_use]
    pub fn new(opinion: Opinion, asked: Instant) -> Self {
        let peers = opinion.peers.into_iter();
        let networks = opinion.networks.into_iter();
        Self {
            asked,
            mode: opinion.mode,
            peers: peers.map(|peer| (peer.name.clone(), peer)).collect(),
            networks: networks
                .map(|network| (network.name.clone(), network))
                .collect(),
            firing: opinion.firing.into_iter().collect(),
            acknowledged: opinion.acknowledged,
        }
    }
}

impl Vantages {
    /// Follows a new configuration; the opinions of agents that stay are kept.
    fn apply(&mut self, config: &Config) {
        let mut known = std::mem::take(&mut self.others);
        let others = config.vantages.iter().map(|vantage| {
            let same = known.iter().position(|known| known.name == vantage.name);
            same.map_or_else(
                || OtherVantage {
                    name: vantage.name.clone(),
                    opinion: None,
                    last_asked: None,
                },
                |same| known.swap_remove(same),
            )
        });
        self.others = others.collect();
        self.name.clone_from(&config.vantage);
        self.mode = config.mode;
    }

    /// Returns what counts at `now`.
    pub(in crate::fleet) fn at(&self, now: Instant) -> Self {
        let mut current = self.clone();
        for other in &mut current.others {
            other.opinion = other
                .opinion
                .take()
                .filter(|opinion| now.saturating_duration_since(opinion.asked) <= OPINION_VALID);
        }
        current
    }
}

impl Fleet {
    /// Follows the names of the agents in `config`.
    pub(in crate::fleet) fn apply_vantages(&self, config: &Config) {
        lock(&self.vantages).apply(config);
    }

    /// Returns the name of this agent.
    #[must_use]
    pub fn vantage(&self) -> String {
        lock(&self.vantages).name.clone()
    }

    /// Records what the other agent `vantage` says, which was asked at `asked`. Only opinions on
    /// peers and networks that are watched here are kept, so that an answer takes no more memory
    /// than the fleet.
    pub fn record_opinion(&self, vantage: &str, mut opinion: Opinion, asked: Instant) {
        let (peers, networks): (HashSet<String>, HashSet<String>) = {
            let watched = lock(&self.watched);
            let names = watched.slots.iter().map(|slot| slot.peer().name.clone());
            (names.collect(), watched.networks.keys().cloned().collect())
        };
        opinion.peers.retain(|peer| peers.contains(&peer.name));
        let on_networks = &mut opinion.networks;
        on_networks.retain(|network| networks.contains(&network.name));
        opinion.firing.retain(|it| {
            let is_watched = |peer| peers.contains(peer);
            networks.contains(&it.network) && it.peer.as_ref().is_none_or(is_watched)
        });
        let acknowledged = &mut opinion.acknowledged;
        acknowledged.retain(|it| networks.contains(&it.alert.network));
        acknowledged.truncate(MAX_ACKNOWLEDGED);
        acknowledged.iter_mut().for_each(Acknowledged::shorten);
        let received = Arc::new(ReceivedOpinion::new(opinion, asked));
        let mut vantages = lock(&self.vantages);
        let mut others = vantages.others.iter_mut();
        if let Some(other) = others.find(|other| other.name == vantage) {
            other.opinion = Some(received);
            other.last_asked = Some(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config;
    use crate::fleet::Health;

    use super::*;

    fn fleet(vantages: &str) -> Fleet {
        let fleet = Fleet::default();
        fleet.apply(&config(vantages));
        fleet
    }

    /// Watches a peer `p` of a network `n`.
    fn config(vantages: &str) -> Config {
        let text = format!(
            "vantage: own\nnetworks: [{{ name: n }}]\nvantages: {vantages}\n\
             peers: [{{ name: p, network: n, endpoints: ['tcp://127.0.0.1:1'] }}]\n"
        );
        config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap()
    }

    const TWO: &str = "[{ name: b, url: 'http://b' }, { name: c, url: 'http://c' }]";

    /// An opinion on these peers of the network `n`.
    fn opinion(peers: &[&str]) -> Opinion {
        let on_peer = |name: &&str| PeerOpinion {
            name: (*name).to_owned(),
            network: "n".to_owned(),
            key: None,
            health: Health::Up,
            good_poll_age_seconds: Some(0.0),
            interval_seconds: 15.0,
            proven: Vec::new(),
        };
        Opinion {
            vantage: "other".to_owned(),
            mode: Mode::Central,
            networks: Vec::new(),
            peers: peers.iter().map(on_peer).collect(),
            firing: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    /// The other agents, each with the peers of which it has an opinion that counts.
    fn opinions(fleet: &Fleet) -> Vec<(String, Option<Vec<String>>)> {
        let others = fleet.snapshot().vantages.others.into_iter();
        let peers = |it: Arc<ReceivedOpinion>| it.peers.keys().cloned().collect();
        others
            .map(|other| (other.name, other.opinion.map(peers)))
            .collect()
    }

    fn expected(opinions: &[(&str, Option<&[&str]>)]) -> Vec<(String, Option<Vec<String>>)> {
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let all = opinions.iter();
        all.map(|(name, peers)| ((*name).to_owned(), peers.map(owned)))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_opinion_counts_for_a_while_and_only_on_what_is_watched() {
        let fleet = fleet(TWO);
        assert_eq!(opinions(&fleet), expected(&[("b", None), ("c", None)]));
        fleet.record_opinion("b", opinion(&["p", "stranger"]), Instant::now());
        fleet.record_opinion("nobody", opinion(&["p"]), Instant::now());
        let told = expected(&[("b", Some(&["p"])), ("c", None)]);
        assert_eq!(opinions(&fleet), told);
        tokio::time::advance(OPINION_VALID).await;
        assert_eq!(opinions(&fleet), told);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(opinions(&fleet), expected(&[("b", None), ("c", None)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_keeps_the_opinions_of_agents_that_stay() {
        let fleet = fleet(TWO);
        fleet.record_opinion("b", opinion(&["p"]), Instant::now());
        fleet.record_opinion("c", opinion(&["p"]), Instant::now());
        fleet.apply(&config(
            "[{ name: d, url: 'http://d' }, { name: c, url: 'http://c' }]",
        ));
        assert_eq!(
            opinions(&fleet),
            expected(&[("d", None), ("c", Some(&["p"]))])
        );
        fleet.apply(&config("[]"));
        assert_eq!(opinions(&fleet), Vec::new());
    }
}
