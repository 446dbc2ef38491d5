//! TLS to a peer: trust, expiry, server names, and the measurements of a handshake.

use std::time::{Duration, SystemTime};

use convex_client::FailureReason;
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::fleet::{Condition, EndpointObservation};
use rcgen::Certificate;
use tokio_rustls::TlsAcceptor;

use crate::support::contract::{peer, prober, verdict};
use crate::support::fake::{FakePeer, Script};
use crate::support::tls::{acceptor, acceptor_with_lives};

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
        probed.attempt.certificate.unwrap().ends
            > SystemTime::now() + Duration::from_secs(86_400 * 365 * 100)
    );
}

#[tokio::test]
async fn the_expiry_of_a_certificate_from_an_unknown_issuer_is_recorded() {
    let (fake, _) = tls_peer("localhost", 2150).await;
    let probed = probe(&watched(&fake, None)).await;
    assert_eq!(probed.reason(), Some(Reason::Client(FailureReason::Tls)));
    assert!(probed.attempt.certificate.is_some());
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
    let expires = observation.endpoints[0]
        .attempt
        .certificate
        .as_ref()
        .unwrap()
        .ends;
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

/// Polls a peer with this chain, and returns its health, and whether a certificate ends soon.
async fn judge(serving: (TlsAcceptor, Vec<u8>)) -> (String, bool, String) {
    let (acceptor, root) = serving;
    let fake = FakePeer::with_tls(Script::default(), Some(acceptor)).await;
    let mut peer = watched(&fake, None);
    peer.http.ca = Some(vec![root]);
    let observation = prober(&peer).poll().await;
    let record = verdict(&peer, &observation);
    let certificate = record.endpoints[0].certificate.as_ref().unwrap();
    (
        record.health.as_str().to_owned(),
        record.conditions.contains(&Condition::CertificateExpiring),
        certificate.subject.clone(),
    )
}

#[tokio::test]
async fn the_certificate_of_the_chain_that_ends_first_is_judged_by_its_share_that_is_left() {
    const DAY: i64 = 86_400;
    let (leaf, between) = ("CN=leaf", "CN=between");
    // Ages and remaining lives of leaf and intermediate certificate, in seconds.
    for (leaf_life, between_life, soon, named) in [
        ((DAY, 200 * DAY), (DAY, 400 * DAY), false, leaf),
        // The class of fault: only the leaf was judged.
        ((DAY, 200 * DAY), (400 * DAY, 5 * DAY), true, between),
        ((300 * DAY, 20 * DAY), (DAY, 400 * DAY), true, leaf),
        // Short-lived, and renewed in time.
        ((3600, 6 * DAY), (DAY, 400 * DAY), false, leaf),
        ((3 * DAY, 3 * DAY), (DAY, 400 * DAY), false, leaf),
        ((5 * DAY, DAY), (DAY, 400 * DAY), true, leaf),
    ] {
        let serving = acceptor_with_lives("localhost", leaf_life, between_life);
        let health = if soon { "degraded" } else { "up" };
        let expected = (health.to_owned(), soon, named.to_owned());
        assert_eq!(
            judge(serving).await,
            expected,
            "{leaf_life:?} {between_life:?}"
        );
    }
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
