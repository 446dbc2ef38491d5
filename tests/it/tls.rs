//! TLS towards a peer: trust, expiry, names, and what is recorded of a handshake.

use std::time::{Duration, SystemTime};

use convex_peer_monitor::config::Peer;
use convex_peer_monitor::fleet::Condition;
use convex_peer_monitor::peer::{Exchange, Reason};

use rcgen::Certificate;

use crate::support::contract::{peer, prober, verdict};
use crate::support::fake::{FakePeer, Script};
use crate::support::tls::acceptor;

/// A peer behind TLS with a certificate of its own for `name` that ends in `year`; and the certificate.
async fn tls_peer(name: &str, year: i32) -> (FakePeer, Certificate) {
    let (acceptor, certificate) = acceptor(name, year, &[]);
    (
        FakePeer::with_tls(Script::default(), Some(acceptor)).await,
        certificate,
    )
}

fn watched(fake: &FakePeer, ca: Option<Certificate>) -> Peer {
    let mut peer = peer(&[&format!("https://localhost:{}", fake.http.port())]);
    peer.http.ca = ca.map(|certificate| vec![certificate.der().to_vec()]);
    peer.cadence.retries = 0;
    peer
}

async fn exchange(peer: &Peer) -> Exchange {
    prober(peer).poll().await.endpoints[0].exchange.clone()
}

fn reason(exchange: &Exchange) -> Option<Reason> {
    exchange.failure.as_ref().map(|failure| failure.reason)
}

#[tokio::test]
async fn a_configured_ca_is_trusted_and_the_phases_are_told_apart() {
    let (fake, certificate) = tls_peer("localhost", 2150).await;
    let exchange = exchange(&watched(&fake, Some(certificate))).await;
    assert_eq!(exchange.failure, None);
    let phases = exchange.phases;
    assert!(
        phases.resolve.is_some() && phases.connect.is_some() && phases.tls.is_some(),
        "{phases:?}"
    );
    assert!(
        exchange.certificate_ends.unwrap()
            > SystemTime::now() + Duration::from_secs(86_400 * 365 * 100)
    );
}

#[tokio::test]
async fn an_unknown_issuer_is_refused_and_the_certificate_still_known() {
    let (fake, _) = tls_peer("localhost", 2150).await;
    let exchange = exchange(&watched(&fake, None)).await;
    assert_eq!(reason(&exchange), Some(Reason::Tls));
    assert!(exchange.certificate_ends.is_some());
}

#[tokio::test]
async fn an_expired_certificate_has_its_own_reason_and_its_end_is_recorded() {
    let (fake, certificate) = tls_peer("localhost", 2022).await;
    let peer = watched(&fake, Some(certificate));
    let observation = prober(&peer).poll().await;
    assert_eq!(
        reason(&observation.endpoints[0].exchange),
        Some(Reason::TlsExpired)
    );
    let ends = observation.endpoints[0].exchange.certificate_ends.unwrap();
    assert_eq!(
        ends.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        1_640_995_200,
        "2022-01-01"
    );
    assert!(
        verdict(&peer, &observation)
            .conditions
            .contains(&Condition::CertificateExpiring)
    );
}

#[tokio::test]
async fn a_certificate_that_ends_soon_degrades_a_peer_that_answers() {
    let (fake, certificate) = tls_peer("localhost", 2150).await;
    let mut peer = watched(&fake, Some(certificate));
    peer.verdicts.certificate = Duration::from_secs(86_400 * 365 * 200);
    let record = verdict(&peer, &prober(&peer).poll().await);
    assert_eq!(
        (record.up, record.health.as_str()),
        (Some(true), "degraded")
    );
    assert!(record.conditions.contains(&Condition::CertificateExpiring));
}

#[tokio::test]
async fn the_configured_server_name_is_asked_for_and_verified() {
    let (fake, certificate) = tls_peer("peer.example", 2150).await;
    let mut peer = watched(&fake, Some(certificate));
    assert_eq!(
        reason(&exchange(&peer).await),
        Some(Reason::Tls),
        "the certificate is for another name"
    );
    peer.http.server_name = Some("peer.example".to_owned());
    assert_eq!(exchange(&peer).await.failure, None);
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told_from_one_that_is_not_there() {
    let fake = FakePeer::start(Script::default()).await;
    let mut peer = watched(&fake, None);
    peer.cadence.timeout = Duration::from_secs(2);
    let exchange = exchange(&peer).await;
    assert!(
        matches!(
            reason(&exchange),
            Some(Reason::Tls | Reason::ConnectTimeout)
        ),
        "{:?}",
        exchange.failure
    );
}
