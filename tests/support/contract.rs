//! What the agent must find at any working peer, over either transport: the same assertions for
//! real, simulated and scripted peers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::{
    ClientOptions, Endpoint, HttpClient, HttpOptions, Phases, PollAnswer, ProtocolState, Status,
    TcpClient, TlsSettings, Transport,
};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, Evidence, Health, Observation, PeerRecord};
use convex_peer_monitor::poller::Prober;
use tokio::time::Instant;

/// A configured peer whose verdicts follow from a single poll.
pub(crate) fn peer(endpoints: &[&str]) -> Peer {
    let endpoints: Vec<Endpoint> = endpoints
        .iter()
        .map(|text| Endpoint::parse(text).unwrap())
        .collect();
    let mut peer = Peer::from_endpoint(endpoints[0].clone());
    "tested".clone_into(&mut peer.name);
    peer.endpoints = endpoints;
    peer.polling.down_after = 1;
    peer.polling.up_after = 1;
    peer
}

pub(crate) fn prober(peer: &Peer) -> Prober {
    Prober::new(Arc::new(peer.clone()), 1 << 20, &TlsSettings::default())
}

/// Returns the record of a peer after this one poll.
pub(crate) fn verdict(peer: &Peer, observation: &Observation) -> PeerRecord {
    let mut record = PeerRecord::new(Arc::new(peer.clone()));
    record.record_poll(observation, Instant::now(), SystemTime::now());
    record
}

/// Asserts everything that must hold for a working peer at `tcp` and `http`.
pub(crate) async fn holds(tcp: &str, http: &str) {
    let (figures, status) = answers(tcp, Transport::Tcp).await;
    let status = status.expect("every release answers STATUS over TCP");
    let (by_http, http_status) = answers(http, Transport::Http).await;
    if by_http.state_block == figures.state_block {
        assert_eq!(by_http, figures, "both transports report the same state");
    }
    if let Some(http_status) = http_status {
        assert_eq!(
            (http_status.genesis, http_status.peer_key),
            (status.genesis, status.peer_key)
        );
    }
    both_endpoints_together(tcp, http, &status).await;
    for endpoint in [tcp, http] {
        a_sample_is_the_state_of_a_poll(endpoint).await;
        an_unknown_account_is_a_query_error(endpoint).await;
    }
    another_identity_is_detected(tcp, &status).await;
}

async fn answers(url: &str, transport: Transport) -> (PollAnswer, Option<Status>) {
    let peer = peer(&[url]);
    let mut prober = prober(&peer);
    let first = prober.poll().await;
    let second = prober.poll().await;
    for (poll, observation) in [("first", &first), ("second", &second)] {
        let attempt = &observation.endpoints[0].attempt;
        assert_eq!(observation.endpoints[0].failure, None, "{url}, {poll} poll");
        assert!(
            observation.endpoints[0].took.is_some(),
            "{url}, {poll} poll"
        );
        assert!(
            (1..1024).contains(&attempt.response_bytes),
            "{url}: {} bytes",
            attempt.response_bytes
        );
        let record = verdict(&peer, observation);
        assert_eq!(
            (record.last_poll.up(), record.health),
            (Some(true), Health::Up),
            "{url}, {poll} poll"
        );
    }
    assert!(
        first.endpoints[0].attempt.phases.connect.is_some(),
        "{url}: the first poll connects"
    );
    assert_eq!(
        second.endpoints[0].attempt.phases,
        <_>::default(),
        "{url}: the second reuses the connection"
    );
    assert_eq!(second.endpoints[0].transport, transport);
    let attempt = &second.endpoints[0].attempt;
    let figures = attempt
        .query
        .as_ref()
        .unwrap()
        .value
        .as_ref()
        .unwrap()
        .clone();
    assert!(figures.accounts.unwrap() > 0 && figures.registered_peers.unwrap() > 0);
    assert!(figures.state_block.unwrap() >= -1);
    assert!(figures.state_hash.is_some() && figures.timestamp_ms.unwrap() > 1_600_000_000_000);
    assert!(figures.memory_pool_bytes.unwrap() > 0 && figures.memory_price_copper.unwrap() > 0.0);
    assert!(figures.juice_price_copper.unwrap() > 0 && figures.fees_copper.unwrap() >= 0);
    assert!(figures.coin_supply_copper.unwrap() > 0);
    assert_eq!(
        figures.protocol,
        Some(ProtocolState::default()),
        "{url}: version 0 and no upgrade, before one was ever scheduled"
    );
    (figures, attempt.status.as_ref().map(|status| status.value))
}

/// A sample takes the state alone, on the connection of the polls.
async fn a_sample_is_the_state_of_a_poll(url: &str) {
    let endpoint = Endpoint::parse(url).unwrap();
    let options = ClientOptions::default();
    let deadline = || Instant::now() + Duration::from_secs(300);
    let ((poll, polled), (sample, sampled)) = match endpoint.transport() {
        Transport::Tcp => {
            let mut client = TcpClient::new(&endpoint, &options);
            (
                client.poll(deadline()).await,
                client.sample_state(deadline()).await,
            )
        }
        Transport::Http => {
            let tls = TlsSettings::default();
            let mut client = HttpClient::new(&endpoint, &options, &HttpOptions::default(), &tls);
            (
                client.poll(deadline()).await,
                client.sample_state(deadline()).await,
            )
        }
    };
    assert!(
        polled.is_ok() && sampled.is_ok(),
        "{url}: {polled:?} {sampled:?}"
    );
    assert_eq!(
        (sample.phases, sample.reconnects),
        (Phases::default(), 0),
        "{url}"
    );
    assert!(
        sample.status.is_none()
            && sample.clock.is_none() == (endpoint.transport() == Transport::Tcp),
        "{url}"
    );
    assert!(
        sample.response_bytes * 2 < poll.response_bytes,
        "{url}: {} bytes",
        sample.response_bytes
    );
    let (polled, sampled) = (
        poll.state_pair().unwrap(),
        sample.query.unwrap().value.unwrap(),
    );
    assert!(
        sampled.block >= polled.block,
        "{url}: {polled:?} {sampled:?}"
    );
    assert_eq!(
        sampled.block == polled.block,
        sampled.hash == polled.hash,
        "{url}"
    );

    let mut prober = prober(&peer(&[url]));
    let sampled = prober.sample_state(deadline()).await.unwrap().value;
    assert!(
        sampled.block >= polled.block,
        "{url}: {polled:?} {sampled:?}"
    );
}

async fn both_endpoints_together(tcp: &str, http: &str, status: &Status) {
    let mut peer = peer(&[http, tcp]);
    peer.genesis = Some(status.genesis);
    peer.key = Some(status.peer_key);
    let record = verdict(&peer, &prober(&peer).poll().await);
    assert_eq!(record.health, Health::Up, "{:?}", record.conditions);
    assert_eq!(record.identity.genesis_match, Evidence::Proven);
    assert_eq!(record.identity.key_match, Evidence::Proven);
    assert_ne!(record.identity.transports_agree, Evidence::Disproven);
    let order = record.order(Instant::now()).unwrap();
    assert!(
        order.block >= order.proposal
            && order.proposal >= order.consensus
            && order.consensus >= order.finality
    );
    assert!(order.finality >= 0);
}

/// An error in the query itself proves that the query thread works.
async fn an_unknown_account_is_a_query_error(url: &str) {
    let mut peer = peer(&[url]);
    peer.account = Some(1_000_000_000);
    let observation = prober(&peer).poll().await;
    let record = verdict(&peer, &observation);
    assert_eq!(observation.endpoints[0].failure, None, "{url}");
    assert_eq!(
        (record.last_poll.up(), record.health),
        (Some(true), Health::Degraded),
        "{url}"
    );
    assert!(record.conditions.contains(&Condition::QueryError), "{url}");
    assert_eq!(
        record.query_error.as_ref().map(|error| error.code.as_str()),
        Some("NOBODY"),
        "{url}"
    );
}

async fn another_identity_is_detected(url: &str, status: &Status) {
    let other = Hash::new([0xee; 32]);
    for (genesis, key, reason) in [
        (Some(other), Some(status.peer_key), Reason::WrongNetwork),
        (Some(status.genesis), Some(other), Reason::WrongPeer),
    ] {
        let mut peer = peer(&[url]);
        peer.genesis = genesis;
        peer.key = key;
        let observation = prober(&peer).poll().await;
        let mut record = verdict(&peer, &observation);
        let failure = observation.endpoints[0].failure.as_ref();
        assert_eq!(failure.map(|failure| failure.reason), Some(reason));
        assert_eq!(
            (record.last_poll.up(), record.health),
            (Some(false), Health::Down),
            "{reason}"
        );
        // A wrong network takes two polls.
        record.record_poll(&observation, Instant::now(), SystemTime::now());
        assert!(record.conditions.contains(&Condition::Failing(reason)));
        assert!(
            record.poll_answer(Instant::now()).is_none(),
            "another peer's values are not recorded as this peer's"
        );
    }
}
