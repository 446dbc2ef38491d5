//! TLS to a peer: trust, expiry, server names, and the measurements of a handshake.

use std::time::{Duration, SystemTime};

use convex_client::FailureReason;
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, EndpointObservation};
use rcgen::Certificate;

use crate::support::contract::{peer, prober, verdict};
use crate::support::fake::{FakePeer, Script};
use crate::support::tls::acceptor;

/// Starts a peer that speaks TLS, and returns its self-signed certificate for `name`, which expires
/// in `year`.
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
    peer.polling.retries = 0;
    peer
}

async fn probe(peer: &Peer) -> EndpointObservation {
    prober(peer).poll().await.endpoints.remove(0)
}

#[tokio::test]
async fn a_configured_ca_is_trusted_and_each_phase_is_measured() {
    let (fake, certificate) = tls_peer("localhost", 2150).await;
    let probed = probe(&watched(&fake, Some(certificate))).await;
    assert_eq!(probed.failure, None);
    let phases = probed.attempt.phases;
    assert!(
        phases.resolve.is_some() && phases.connect.is_some() && phases.tls.is_some(),
        "{phases:?}"
    );
    assert!(
        probed.attempt.certificate_ends.unwrap()
            > SystemTime::now() + Duration::from_secs(86_400 * 365 * 100)
    );
}

#[tokio::test]
async fn the_expiry_of_a_certificate_from_an_unknown_issuer_is_recorded() {
    let (fake, _) = tls_peer("localhost", 2150).await;
    let probed = probe(&watched(&fake, None)).await;
    assert_eq!(probed.reason(), Some(Reason::Client(FailureReason::Tls)));
    assert!(probed.attempt.certificate_ends.is_some());
}

#[tokio::test]
async fn an_expired_certificate_has_its_own_reason_and_its_expiry_is_recorded() {
    let (fake, certificate) = tls_peer("localhost", 2022).await;
    let peer = watched(&fake, Some(certificate));
    let observation = prober(&peer).poll().await;
    assert_eq!(
        observation.endpoints[0].reason(),
        Some(Reason::Client(FailureReason::TlsExpired))
    );
    let expires = observation.endpoints[0].attempt.certificate_ends.unwrap();
    assert_eq!(
        expires
            .duration_since(SystemTime::UNIX_EPOCH)
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
async fn a_certificate_that_expires_soon_degrades_the_peer() {
    let (fake, certificate) = tls_peer("localhost", 2150).await;
    let mut peer = watched(&fake, Some(certificate));
    peer.verdicts.certificate = Duration::from_secs(86_400 * 365 * 200);
    let record = verdict(&peer, &prober(&peer).poll().await);
    assert_eq!(
        (record.last_poll.up(), record.health.as_str()),
        (Some(true), "degraded")
    );
    assert!(record.conditions.contains(&Condition::CertificateExpiring));
}

#[tokio::test]
async fn the_configured_server_name_is_sent_and_verified() {
    let (fake, certificate) = tls_peer("peer.example", 2150).await;
    let mut peer = watched(&fake, Some(certificate));
    assert_eq!(
        probe(&peer).await.reason(),
        Some(Reason::Client(FailureReason::Tls)),
        "the certificate is for another name"
    );
    peer.http.server_name = Some("peer.example".to_owned());
    assert_eq!(probe(&peer).await.failure, None);
}

#[tokio::test]
async fn a_peer_without_tls_fails_in_the_handshake() {
    let fake = FakePeer::start(Script::default()).await;
    let mut peer = watched(&fake, None);
    peer.polling.timeout = Duration::from_secs(2);
    let probed = probe(&peer).await;
    assert!(
        matches!(
            probed.reason(),
            Some(Reason::Client(
                FailureReason::Tls | FailureReason::ConnectTimeout
            ))
        ),
        "{:?}",
        probed.failure
    );
}
