//! Whether the limits on concurrent polls allow all polls that a configuration asks for.

use std::collections::{BTreeMap, BTreeSet};

use convex_client::Endpoint;

use super::{Config, Discovery, Limits, Peer, Polling};

/// Number of hosts that are named; a scan of a whole address range can have thousands.
const MAX_HOSTS: usize = 10;

/// Polls that can be in progress at once if each takes its full timeout, as when nothing answers.
#[derive(Clone, Debug)]
pub struct Capacity {
    limits: Limits,
    total: Demand,
    hosts: BTreeMap<String, Demand>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    peers: usize,
    polls: f64,
}

impl Demand {
    fn add(&mut self, peers: usize, polling: &Polling) {
        self.peers += peers;
        let busy = polling.timeout.div_duration_f64(polling.interval);
        self.polls += f64::from(u32::try_from(peers).unwrap_or(u32::MAX)) * busy;
    }

    /// Returns the number of permits that are enough.
    fn permits(self) -> usize {
        // The sum of thirds is not exact.
        let needed = (self.polls - 1e-6).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and larger numbers become the largest"
        )]
        let needed = needed as usize;
        needed
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are at most a million")]
    fn ratio(self, permits: usize) -> f64 {
        self.polls / permits as f64
    }
}

impl Capacity {
    /// Computes what `peers` need.
    pub fn of<'a>(peers: impl IntoIterator<Item = &'a Peer>, limits: &Limits) -> Self {
        let mut capacity = Self {
            limits: limits.clone(),
            total: Demand::default(),
            hosts: BTreeMap::new(),
        };
        for peer in peers {
            capacity.total.add(1, &peer.polling);
            let hosts: BTreeSet<String> = peer.endpoints.iter().map(Endpoint::host).collect();
            for host in hosts {
                let demand = capacity.hosts.entry(host).or_default();
                demand.add(1, &peer.polling);
            }
        }
        capacity
    }

    /// Computes what all peers of `config` need, those that discovery may add included.
    #[must_use]
    pub fn of_config(config: &Config) -> Self {
        let peers = config.peers.iter().chain(&config.sample);
        let mut capacity = Self::of(peers.map(AsRef::as_ref), &config.limits);
        let networks = config.networks.iter();
        for Discovery { max_peers, .. } in networks.filter_map(|it| it.discovery.as_ref()) {
            capacity.total.add(*max_peers, &config.references);
        }
        capacity
    }

    /// Returns the polls that can be in progress at once in relation to `limits.max_inflight`.
    #[must_use]
    pub fn total_ratio(&self) -> f64 {
        self.total.ratio(self.limits.max_inflight)
    }

    /// Returns the polls that can be in progress at once at the busiest host in relation to
    /// `limits.per_host_inflight`.
    #[must_use]
    pub fn host_ratio(&self) -> f64 {
        let ratios = self.hosts.values();
        ratios
            .map(|host| host.ratio(self.limits.per_host_inflight))
            .fold(0.0, f64::max)
    }

    /// Returns one line per limit that is too low, with what to change.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Limits {
            max_inflight,
            per_host_inflight,
            ..
        } = self.limits;
        let mut busy: Vec<_> = self
            .hosts
            .iter()
            .filter(|(_, demand)| demand.permits() > per_host_inflight)
            .collect();
        busy.sort_by(|a, b| b.1.polls.total_cmp(&a.1.polls));
        let mut warnings: Vec<String> = busy
            .iter()
            .take(MAX_HOSTS)
            .map(|(host, demand)| {
                let subject = format!("the {} peers at {host}", demand.peers);
                warning(&subject, **demand, "per_host_inflight", per_host_inflight)
            })
            .collect();
        if let Some(others) = busy.len().checked_sub(MAX_HOSTS).filter(|n| *n > 0) {
            warnings.push(format!(
                "`limits.per_host_inflight` is too low for {others} more hosts"
            ));
        }
        if self.total.permits() > max_inflight {
            let subject = format!("all {} peers", self.total.peers);
            warnings.push(warning(&subject, self.total, "max_inflight", max_inflight));
        }
        warnings
    }
}

fn warning(subject: &str, demand: Demand, key: &str, limit: usize) -> String {
    let needed = demand.permits();
    format!(
        "{subject} need {needed} polls at once while none answers within its timeout, but \
         `limits.{key}` is {limit}, so polls would be missed; set it to {needed}, or choose a \
         longer `interval` or a shorter `timeout` for them"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        parse(text, "c.yml", std::path::Path::new(""), &|_| None).unwrap()
    }

    /// Peers with the default interval of 15 s and timeout of 5 s, all at one address.
    fn peers_at_one_address(peers: usize, more: &str) -> Config {
        let peer = |i| {
            format!(
                "- {{ name: p{i}, endpoints: ['tcp://10.0.0.1:{i}', 'http://10.0.0.1:{i}'] }}\n"
            )
        };
        let peers: String = (1..=peers).map(peer).collect();
        config(&format!("{more}peers:\n{peers}"))
    }

    #[test]
    fn a_host_with_more_polls_than_permits_is_named_with_what_to_change() {
        let enough = Capacity::of_config(&peers_at_one_address(24, ""));
        assert_eq!(enough.warnings(), Vec::<String>::new());
        assert!((enough.host_ratio() - 1.0).abs() < 1e-6);

        let capacity = Capacity::of_config(&peers_at_one_address(40, ""));
        assert_eq!(
            capacity.warnings(),
            [
                "the 40 peers at 10.0.0.1 need 14 polls at once while none answers within its \
                 timeout, but `limits.per_host_inflight` is 8, so polls would be missed; set it to \
                 14, or choose a longer `interval` or a shorter `timeout` for them"
            ]
        );
        assert!(capacity.host_ratio() > 1.6 && capacity.total_ratio() < 0.03);
        let raised = peers_at_one_address(40, "limits: { per_host_inflight: 14 }\n");
        assert!(Capacity::of_config(&raised).warnings().is_empty());
    }

    #[test]
    fn the_common_limit_counts_peers_that_discovery_may_add() {
        let discovery = "networks: [{ name: n, discovery: { enabled: true, max_peers: 600 } }]\n\
            limits: { max_inflight: 40 }\n";
        let config = peers_at_one_address(1, discovery);
        let warnings = Capacity::of_config(&config).warnings();
        // A third of a poll for the peer, and a twelfth for each that may be discovered.
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with("all 601 peers need 51 polls"),
            "{warnings:?}"
        );
    }

    #[test]
    fn at_most_ten_hosts_are_named() {
        let peer = |i| {
            let host = i / 2;
            format!("- {{ name: p{i}, endpoints: ['tcp://h{host}.example:{i}'], interval: 6s }}\n")
        };
        let peers: String = (2..602).map(peer).collect();
        let config = config(&format!(
            "limits: {{ per_host_inflight: 1 }}\npeers:\n{peers}"
        ));
        let warnings = Capacity::of_config(&config).warnings();
        assert_eq!(warnings.len(), 11);
        assert!(warnings[10].ends_with("for 290 more hosts"), "{warnings:?}");
    }
}
