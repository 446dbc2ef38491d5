//! Number of series that a configuration produces: counted with the real writer, not computed from
//! a formula.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::RegisteredPeer;
use convex_client::{
    Api, Attempt, CertificateEnd, ClockSample, Endpoint, ORDER_LEVELS, OrderPoints, Phases,
    PollAnswer, ProtocolState, Status, Timed, Transport,
};
use prometheus::Registry;
use tokio::time::Instant;

use crate::config::{Canary, Config, Discovery, Network, Peer, Role};
use crate::fleet::{
    CanaryFunds, CanaryRecord, CanaryResult, Comparison, ConsensusVerdict, EndpointObservation,
    Evidence, Executed, Hearing, Histories, History, Lag, Losable, NetworkSnapshot, NetworkVerdict,
    Observation, OtherVantage, PeerRecord, PendingUpgrade, Production, ProtocolVerdict,
    QueryRecord, Quorum, Seen, ServiceLevel, Snapshot, Stake, Throughput, ThroughputSource,
    Vantages, WalkResult,
};
use crate::self_check::{CheckResult, Plan};
use crate::sidecar::{
    Collections, Collector, JvmReading, ProcessReading, Reading, StoreReading, Unavailable,
};

use super::{AgentFacts, Format, write_exposition};

/// Returns the number of series in an exposition in which all configured peers, and as many as
/// discovery may add, have answered everything.
#[must_use]
pub fn estimate_series(config: &Config, registry: &Registry) -> u64 {
    let count = |peer: Option<&Peer>| {
        let snapshot = Snapshot {
            wall: SystemTime::now(),
            now: Instant::now(),
            peers: peer.map(answering_peer).into_iter().collect(),
            others: Vec::new(),
            networks: config
                .networks
                .iter()
                .map(|network| answering_network(&network.name, config, peer))
                .collect(),
            checks: Plan::new(config)
                .checks()
                .map(|check| (check, CheckResult::Passed))
                .collect(),
            clock_dispute: None,
            vantages: answering_vantages(config),
            firing: Arc::default(),
            acknowledged: Arc::default(),
        };
        let facts = AgentFacts {
            vantage: config.vantage.clone(),
            mode: config.mode,
            url: None,
            shard: (1, 1),
            reload_successful: true,
            loaded: snapshot.wall,
        };
        // What Prometheus asks for.
        let format = Format::OpenMetrics;
        write_exposition(
            format,
            &snapshot,
            &facts,
            config.detail,
            registry,
            &mut |_| (),
        )
    };
    let base = count(None);
    // Peers of the same shape have the same number of series: one of each is counted.
    let mut by_shape = HashMap::new();
    let configured = config.peers.iter().map(|peer| {
        let schemes: Vec<&str> = peer
            .endpoints
            .iter()
            .map(|endpoint| endpoint.url().scheme())
            .collect();
        *by_shape
            .entry((
                schemes,
                peer.genesis.is_some(),
                peer.role,
                sidecar_reads_store(peer),
                has_canary(config, peer),
            ))
            .or_insert_with(|| count(Some(peer)) - base)
    });
    let configured: u64 = configured.sum();
    let discovered = config.networks.iter().filter_map(|network| {
        let discovery = network.discovery.as_ref()?;
        let per_peer = count(Some(&discovered_peer(network, discovery))) - base;
        Some(discovery.max_peers as u64 * per_peer)
    });
    base + configured + discovered.sum::<u64>()
}

/// Whether the canary of its network sends through a peer.
fn has_canary(config: &Config, peer: &Peer) -> bool {
    let mut networks = config.networks.iter();
    let network = networks.find(|network| network.name == peer.network);
    let canary = network.and_then(|network| network.canary.as_ref());
    canary.is_some_and(|canary| canary.uses(peer))
}

/// The other agents of a configuration, all of which answer.
fn answering_vantages(config: &Config) -> Vantages {
    let others = config.vantages.iter().map(|vantage| OtherVantage {
        name: vantage.name.clone(),
        opinion: None,
        last_asked: Some(Instant::now()),
    });
    Vantages {
        others: others.collect(),
        ..Vantages::default()
    }
}

/// Whether a sidecar agent also reads the peer's store; none if the peer's host is not read.
fn sidecar_reads_store(peer: &Peer) -> Option<bool> {
    peer.sidecar.as_ref().map(|sidecar| sidecar.store.is_some())
}

/// Complete readings of the peer's host.
fn host_readings(peer: &Peer) -> impl Iterator<Item = Reading> {
    let reads_store = sidecar_reads_store(peer);
    let process = reads_store.map(|_| ProcessReading {
        process_up: Some(true),
        pid: Some(1),
        resident_memory_bytes: Some(1),
        anonymous_memory_bytes: Some(1),
        memory_limit_bytes: Some(1),
        cpu_seconds: Some(1.0),
        open_fds: Some(1),
        max_fds: Some(1),
        threads: Some(1),
        start_time_seconds: Some(1.0),
        oom_kills: Some(0),
        connections: Some([(1, 0), (2, 0)].into()),
        jvm: Some(JvmReading {
            heap_used_bytes: Some(1),
            heap_capacity_bytes: Some(1),
            heap_max_bytes: Some(1),
            collections: Collector::ALL
                .iter()
                .map(|collector| Collections {
                    collector: *collector,
                    count: 0,
                    pause_seconds: 0.0,
                })
                .collect(),
        }),
        unavailable: Unavailable::new(),
    });
    let store = (reads_store == Some(true)).then(|| StoreReading {
        store_bytes: Some(1),
        store_filesystem_available_bytes: Some(1),
        store_filesystem_size_bytes: Some(1),
        unavailable: Unavailable::new(),
    });
    process
        .map(|process| Reading::Process(Box::new(process)))
        .into_iter()
        .chain(store.map(Reading::Store))
}

/// A peer as discovery would add it.
fn discovered_peer(network: &Network, discovery: &Discovery) -> Peer {
    let endpoint = |text| Endpoint::parse(text).expect("a scheme and a host are an endpoint");
    let mut peer = Peer::from_endpoint(endpoint("tcp://discovered"));
    if discovery.http_port.is_some() {
        peer.endpoints.insert(0, endpoint("http://discovered"));
    }
    peer.network.clone_from(&network.name);
    peer.genesis = network.genesis;
    peer.role = Role::Reference;
    peer
}

/// A network about which everything is known, with `peer` if it is the peer's.
fn answering_network(name: &str, config: &Config, peer: Option<&Peer>) -> NetworkSnapshot {
    let queries = config
        .queries
        .iter()
        .filter(|query| query.networks.iter().any(|network| network == name));
    let result = QueryRecord {
        value: Some((1.0, Instant::now())),
        success: true,
        last_success: Some(SystemTime::now()),
    };
    let mut networks = config.networks.iter();
    let configured = networks.find(|network| network.name == name);
    let own_peers = config.peers.iter().chain(&config.others);
    let services = own_peers
        .filter(|peer| peer.network == name)
        .filter_map(|peer| peer.service_name());
    NetworkSnapshot {
        name: name.to_owned(),
        services: services
            .map(|service| (service.to_owned(), ServiceLevel::default()))
            .collect(),
        verdict: Arc::new(NetworkVerdict {
            finality_advanced: Some(SystemTime::now()),
            head: Some(1),
            registered: Some(1),
            quorum: Some(Quorum {
                ratios: [1.0, 0.0, 0.0, 0.0],
                margin: 0.33,
                losable: Losable::default(),
            }),
            stake_copper: Some(1),
            registry_read: Some(SystemTime::now()),
            query_error: Evidence::Disproven,
            protocol: Some(protocol()),
            consensus: Arc::new(read_consensus(peer.filter(|peer| peer.network == name))),
            ..NetworkVerdict::default()
        }),
        poll_answer: Some(poll_answer(1)),
        throughput: Some(Throughput {
            transactions_per_second: 1.0,
            source: ThroughputSource::Orders,
        }),
        queries: queries
            .map(|query| (query.name.clone(), result.clone()))
            .collect(),
        canary: configured
            .and_then(|network| network.canary.as_ref())
            .map(|canary| Arc::new(working_canary(canary, peer.filter(|it| it.network == name)))),
        ..NetworkSnapshot::default()
    }
}

/// A canary that works, and sends through `peer` if that is one of its peers.
fn working_canary(canary: &Canary, peer: Option<&Peer>) -> CanaryRecord {
    let mut record = CanaryRecord::new(canary);
    record.funds = Some(CanaryFunds {
        balance_copper: 1,
        cost_copper: Some(1),
        ..CanaryFunds::default()
    });
    if let Some(peer) = peer.filter(|peer| canary.uses(peer)) {
        let took = Duration::from_secs(1);
        let result = CanaryResult {
            at: Instant::now(),
            wall: SystemTime::now(),
            outcome: Ok(Executed {
                result: took,
                seen: Some(Seen {
                    peer: String::new(),
                    after: Some(took),
                }),
            }),
        };
        record.record_result(&peer.name, result);
    }
    record
}

/// A protocol of which one upgrade is scheduled: more are rare.
fn protocol() -> ProtocolVerdict {
    ProtocolVerdict {
        pending: vec![PendingUpgrade {
            version: 1,
            takes_effect_ms: 1,
            readiness: Some([1.0, 0.0, 0.0]),
        }],
        ..ProtocolVerdict::default()
    }
}

/// What the orders and beliefs of a network say in which nothing is wrong. The belief of `peer` is
/// read if it has a binary endpoint.
fn read_consensus(peer: Option<&Peer>) -> ConsensusVerdict {
    let now = Instant::now();
    let is_binary = |endpoint: &Endpoint| endpoint.transport() == Transport::Tcp;
    let walked = peer.filter(|peer| peer.endpoints.iter().any(is_binary));
    let walk = WalkResult {
        read: Some((now, SystemTime::now())),
        failure: None,
    };
    let hearing = |peer: &Peer| Hearing {
        key: Hash::new([1; 32]),
        name: peer.name.clone(),
        read: now,
        cells: BTreeMap::new(),
        heard_stake: Some(1.0),
        is_isolated: false,
        is_unheard: false,
    };
    ConsensusVerdict {
        walks: walked
            .map(|peer| (peer.name.clone(), walk))
            .into_iter()
            .collect(),
        levels: Some([1.0; ORDER_LEVELS.len()]),
        histories: Some(Histories {
            groups: vec![History::default()],
            ..Histories::default()
        }),
        hearing: walked.map(hearing).into_iter().collect(),
        production: Some(Production {
            transactions_per_second: Some(1.0),
            finality_seconds: Some(1.0),
            ..Production::default()
        }),
        ..ConsensusVerdict::default()
    }
}

fn poll_answer(block: i64) -> PollAnswer {
    PollAnswer {
        state_hash: Some(Hash::new([1; 32])),
        state_block: Some(block),
        timestamp_ms: Some(1),
        fees_copper: Some(1),
        juice_price_copper: Some(1),
        memory_pool_bytes: Some(1),
        memory_pool_copper: Some(1),
        accounts: Some(1),
        registered_peers: Some(1),
        memory_price_copper: Some(1.0),
        coin_supply_copper: Some(1),
        protocol: Some(ProtocolState {
            version: 0,
            activations_ms: vec![1],
        }),
    }
}

/// The record of a peer that has answered everything twice and advanced in between.
fn answering_peer(peer: &Peer) -> Arc<PeerRecord> {
    let mut record = PeerRecord::new(Arc::new(peer.clone()));
    for points in [1, 2] {
        let observation = Observation {
            asked: Instant::now(),
            endpoints: peer
                .endpoints
                .iter()
                .map(|endpoint| observed(peer, endpoint, points))
                .collect(),
        };
        record.record_poll(&observation, Instant::now(), SystemTime::now());
    }
    let lag = Lag {
        blocks: 0,
        time: Duration::ZERO,
    };
    record.record_lag(Some(lag), Instant::now());
    record.comparison = Comparison::Agrees;
    record.compared = Some(Instant::now());
    record.identity.record_advertised_url(
        peer.key.unwrap_or(Hash::new([1; 32])),
        None,
        Evidence::Proven,
    );
    for reading in host_readings(peer) {
        record.record_host_reading(reading, Instant::now());
    }
    record.stake = Some(Stake {
        registered: RegisteredPeer {
            controller: Some(1),
            own_copper: 1,
            delegated_copper: 0,
            shares: 1,
            last_block_ms: Some(1),
            url: None,
        },
        state_time_ms: 1,
        decay: 1.0,
        weight: Some(1.0),
        controller_balance: Some(1),
    });
    Arc::new(record)
}

fn observed(peer: &Peer, endpoint: &Endpoint, points: i64) -> EndpointObservation {
    let http = endpoint.transport() == Transport::Http;
    let tls = endpoint.url().scheme() == "https";
    let took = Duration::from_millis(1);
    let hash = |pinned: Option<Hash>| pinned.unwrap_or(Hash::new([1; 32]));
    let status = Status {
        genesis: hash(peer.genesis),
        peer_key: hash(peer.key),
        order: OrderPoints {
            block: points,
            proposal: points,
            consensus: points,
            finality: points,
        },
        state: None,
        protocol: Some(1),
    };
    let clock = ClockSample {
        skew: 0.0,
        uncertainty: 0.0,
    };
    let now = SystemTime::now();
    let attempt = Attempt {
        phases: Phases {
            resolve: Some(took),
            connect: Some(took),
            tls: tls.then_some(took),
        },
        certificate: tls.then(|| {
            Arc::new(CertificateEnd {
                begins: now,
                ends: now + peer.verdicts.certificate * 2,
                subject: String::new(),
            })
        }),
        response_bytes: 1,
        status: Some(Timed {
            value: status,
            took,
        }),
        query: Some(Timed {
            value: Ok(poll_answer(points)),
            took,
        }),
        api: Some(Api::V0_8_3),
        clock: (!http).then_some(Timed { value: clock, took }),
        ..Attempt::default()
    };
    EndpointObservation::new(endpoint.transport(), (now, now), attempt, Ok(took))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::fleet::PeerConsensus;

    #[test]
    fn a_peer_that_discovery_may_add_counts_like_a_configured_reference() {
        let series = |network: &str, references: &str| {
            let text = format!(
                "networks: [{{ name: n{network} }}]\nmetrics: {{ detail: full }}\n\
                 peers:\n- {{ name: a, endpoints: [http://a] }}\n{references}"
            );
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            estimate_series(&config, &Registry::new())
        };
        let discovering = |more| {
            series(
                &format!(", discovery: {{ enabled: true, max_peers: 2{more} }}"),
                "",
            )
        };
        let configured = |endpoints: [&str; 2]| {
            let reference = |(name, endpoints)| {
                format!("- {{ name: {name}, role: reference, endpoints: [{endpoints}] }}\n")
            };
            let references = ["b", "c"].into_iter().zip(endpoints).map(reference);
            series("", &references.collect::<String>())
        };
        assert_eq!(discovering(""), configured(["tcp://b", "tcp://c"]));
        assert_eq!(
            discovering(", http_port: 8080"),
            configured(["http://b, tcp://b", "http://c, tcp://c"])
        );
        assert!(discovering("") > series("", ""));
    }

    #[test]
    fn only_a_peer_with_a_binary_endpoint_counts_what_its_belief_says() {
        let found = |endpoint: &str| {
            let text = format!("peers: [{{ name: a, endpoints: ['{endpoint}'] }}]\n");
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            let network = &config.networks[0].name;
            let with = |peer| {
                let snapshot = answering_network(network, &config, peer);
                let PeerConsensus { walk, hearing, .. } = PeerConsensus::new(
                    &answering_peer(&config.peers[0]),
                    &snapshot.verdict.consensus,
                );
                (walk.is_some(), hearing.is_some())
            };
            (with(None), with(Some(&config.peers[0])))
        };
        for (endpoint, is_read) in [("tcp://a", true), ("http://a", false)] {
            let expected = ((false, false), (is_read, is_read));
            assert_eq!(found(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn each_other_agent_counts_its_series() {
        let series = |vantages: &str| {
            let text = format!("{vantages}peers: [{{ name: a, endpoints: [http://a] }}]\n");
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            estimate_series(&config, &Registry::new())
        };
        let two = "vantages: [{ name: b, url: 'http://b' }, { name: c, url: 'http://c' }]\n";
        assert_eq!(series(two), series("") + 4);
    }

    #[test]
    fn a_peer_with_a_sidecar_counts_the_series_of_its_host() {
        let series = |detail: &str, sidecar: &str| {
            let text = format!(
                "mode: sidecar\nmetrics: {{ detail: {detail} }}\n\
                 peers:\n- {{ name: a, endpoints: [http://a]{sidecar} }}\n- {{ name: b, endpoints: [http://b] }}\n"
            );
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            estimate_series(&config, &Registry::new())
        };
        for (detail, process_series, store_series) in [("full", 22, 3), ("lean", 9, 2)] {
            let without = series(detail, "");
            let with_process = series(detail, ", sidecar: { pid_file: x }");
            assert_eq!(with_process, without + process_series, "{detail}");
            let with_store = series(detail, ", sidecar: { pid_file: x, store: y }");
            assert_eq!(with_store, with_process + store_series, "{detail}");
        }
    }
}
