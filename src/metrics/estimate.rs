//! How many series a configuration makes: counted on peers that answer everything, not guessed from a formula.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::chain::RegisteredPeer;
use convex_client::{
    Api, Attempt, ClockSample, Endpoint, OrderPoints, Phases, PollAnswer, Status, Timed, Transport,
};
use prometheus::Registry;
use tokio::time::Instant;

use crate::config::{Config, Discovery, Network, Peer, Role};
use crate::fleet::{
    Lag, NetworkSnapshot, NetworkVerdict, PeerRecord, QueryRecord, Quorum, Snapshot, Stake,
    Standing,
};
use crate::fleet::{Observation, Probed};
use crate::self_check::{Finding, Plan};
use crate::sidecar::{ProcessReading, Reading, StoreReading, Unavailable};

use super::{AgentFacts, exposition};

/// Series of an exposition once every configured peer, and as many as discovery may add, have answered all that can be
/// asked.
#[must_use]
pub fn series(config: &Config, registry: &Registry) -> u64 {
    let count = |peer: Option<&Peer>| {
        let snapshot = Snapshot {
            wall: SystemTime::now(),
            now: Instant::now(),
            peers: peer.map(answering).into_iter().collect(),
            others: Vec::new(),
            networks: config
                .networks
                .iter()
                .map(|network| answering_network(&network.name, config))
                .collect(),
            checks: Plan::of(config)
                .checks()
                .map(|check| (check, Finding::Sound))
                .collect(),
        };
        let facts = AgentFacts {
            vantage: config.vantage.clone(),
            mode: config.mode,
            shard: (1, 1),
            reload_successful: true,
            loaded: snapshot.wall,
        };
        exposition(&snapshot, &facts, config.detail, registry, &mut |_| ())
    };
    let base = count(None);
    // Peers of one shape have equally many series: one of each is counted.
    let mut by_shape = HashMap::new();
    let of_peers = config.peers.iter().map(|peer| {
        let schemes: Vec<&str> = peer
            .endpoints
            .iter()
            .map(|endpoint| endpoint.url().scheme())
            .collect();
        *by_shape
            .entry((schemes, peer.genesis.is_some(), peer.role, hosted(peer)))
            .or_insert_with(|| count(Some(peer)) - base)
    });
    let of_peers: u64 = of_peers.sum();
    let of_discovered = config.networks.iter().filter_map(|network| {
        let discovery = network.discovery.as_ref()?;
        let one = count(Some(&discovered(network, discovery))) - base;
        Some(discovery.max_peers as u64 * one)
    });
    base + of_peers + of_discovered.sum::<u64>()
}

/// Whether the host is read for a peer, and whether for its store too.
fn hosted(peer: &Peer) -> Option<bool> {
    peer.sidecar.as_ref().map(|sidecar| sidecar.store.is_some())
}

/// What a host shows of a peer of which it shows all.
fn host_readings(peer: &Peer) -> impl Iterator<Item = Reading> {
    let process = hosted(peer).map(|_| ProcessReading {
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
        unavailable: Unavailable::new(),
    });
    let store = hosted(peer).filter(|store| *store).map(|_| StoreReading {
        store_bytes: Some(1),
        store_filesystem_available_bytes: Some(1),
        store_filesystem_size_bytes: Some(1),
        unavailable: Unavailable::new(),
    });
    process
        .map(Reading::Process)
        .into_iter()
        .chain(store.map(Reading::Store))
}

/// A peer as discovery finds them.
fn discovered(network: &Network, discovery: &Discovery) -> Peer {
    let endpoint = |text| Endpoint::parse(text).expect("a scheme and a host are an endpoint");
    let mut peer = Peer::at(endpoint("tcp://discovered"));
    if discovery.http_port.is_some() {
        peer.endpoints.insert(0, endpoint("http://discovered"));
    }
    peer.network.clone_from(&network.name);
    peer.genesis = network.genesis;
    peer.role = Role::Reference;
    peer
}

/// A network of which all is known.
fn answering_network(name: &str, config: &Config) -> NetworkSnapshot {
    let asked = config
        .queries
        .iter()
        .filter(|query| query.networks.iter().any(|network| network == name));
    let answered = QueryRecord {
        value: Some((1.0, Instant::now())),
        success: true,
        last_success: Some(SystemTime::now()),
    };
    NetworkSnapshot {
        name: name.to_owned(),
        verdict: NetworkVerdict {
            finality_advanced: Some(SystemTime::now()),
            head: Some(1),
            registered: Some(1),
            quorum: Some(Quorum {
                ratios: [1.0, 0.0, 0.0, 0.0],
                margin: 0.33,
                losable: 0,
            }),
            stake_copper: Some(1),
            stake_told: Some(SystemTime::now()),
            query_error: Some(false),
            ..NetworkVerdict::default()
        },
        figures: Some(figures(1)),
        queries: asked
            .map(|query| (query.name.clone(), answered.clone()))
            .collect(),
        ..NetworkSnapshot::default()
    }
}

fn figures(block: i64) -> PollAnswer {
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
    }
}

/// The record of a peer that has answered everything, twice, and advanced in between.
fn answering(peer: &Peer) -> Arc<PeerRecord> {
    let mut record = PeerRecord::new(Arc::new(peer.clone()));
    let standing = Standing {
        lag: Some(Lag {
            blocks: 0,
            time: Duration::ZERO,
        }),
        diverged: Some(false),
        first_block: None,
    };
    for points in [1, 2] {
        let observation = Observation {
            endpoints: peer
                .endpoints
                .iter()
                .map(|endpoint| probed(peer, endpoint, points))
                .collect(),
        };
        record.observe(
            &observation,
            Some(standing),
            Instant::now(),
            SystemTime::now(),
        );
    }
    record
        .identity
        .advertise(peer.key.unwrap_or(Hash::new([1; 32])), None, Some(true));
    for reading in host_readings(peer) {
        record.learn_host(reading, Instant::now());
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

fn probed(peer: &Peer, endpoint: &Endpoint, points: i64) -> Probed {
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
        certificate_ends: tls.then_some(now + peer.verdicts.certificate * 2),
        response_bytes: 1,
        status: Some(Timed {
            value: status,
            took,
        }),
        query: Some(Timed {
            value: Ok(figures(points)),
            took,
        }),
        api: Some(Api::V0_8_3),
        clock: (!http).then_some(Timed { value: clock, took }),
        ..Attempt::default()
    };
    Probed::new(endpoint.transport(), (now, now), attempt, Ok(took))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn a_peer_that_discovery_may_add_counts_as_a_configured_reference() {
        let series = |network: &str, references: &str| {
            let text = format!(
                "networks: [{{ name: n{network} }}]\nmetrics: {{ detail: full }}\n\
                 peers:\n- {{ name: a, endpoints: [http://a] }}\n{references}"
            );
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            series(&config, &Registry::new())
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
    fn a_peer_beside_the_agent_counts_what_its_host_shows() {
        let series = |detail: &str, sidecar: &str| {
            let text = format!(
                "mode: sidecar\nmetrics: {{ detail: {detail} }}\n\
                 peers:\n- {{ name: a, endpoints: [http://a]{sidecar} }}\n- {{ name: b, endpoints: [http://b] }}\n"
            );
            let config = config::parse(&text, "c.yml", Path::new(""), &|_| None).unwrap();
            series(&config, &Registry::new())
        };
        for (detail, of_process, of_store) in [("full", 10, 3), ("lean", 4, 2)] {
            let polled = series(detail, "");
            let seen = series(detail, ", sidecar: { pid_file: x }");
            assert_eq!(seen, polled + of_process, "{detail}");
            let with_store = series(detail, ", sidecar: { pid_file: x, store: y }");
            assert_eq!(with_store, seen + of_store, "{detail}");
        }
    }
}
