//! The server side of TLS, with a self-signed certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Makes an acceptor for `name` that offers `protocols`, and its certificate, which expires in
/// `year`.
pub(crate) fn acceptor(name: &str, year: i32, protocols: &[&[u8]]) -> (TlsAcceptor, Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let chain = vec![certificate.der().clone()];
    (serving(chain, &key, protocols), certificate)
}

/// Makes an acceptor for `name` whose certificate is valid, issued by an authority in between that
/// expires in `year`; and the certificate of the root in DER and in PEM.
pub(crate) fn acceptor_with_intermediate(name: &str, year: i32) -> (TlsAcceptor, Vec<u8>, String) {
    let authority = |until| {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params
    };
    let root = KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority(2150), root).unwrap();
    let between = KeyPair::generate().unwrap();
    let between = CertifiedIssuer::signed_by(authority(year), between, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &between).unwrap();
    let chain = vec![leaf.der().clone(), between.der().clone()];
    let acceptor = serving(chain, &key, &[]);
    (acceptor, root.der().to_vec(), root.pem())
}

/// Makes an acceptor for `name` whose certificate, and the one of the authority in between, have
/// existed and will exist for so many seconds; and the certificate of the root.
pub(crate) fn acceptor_with_lives(
    name: &str,
    leaf: (i64, i64),
    between: (i64, i64),
) -> (TlsAcceptor, Vec<u8>) {
    let params = |names: &[&str], subject: &str, (age, left): (i64, i64)| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        let at = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            let now = SystemTime::now();
            if seconds < 0 { now - span } else { now + span }
        };
        params.not_before = at(-age).into();
        params.not_after = at(left).into();
        params
    };
    let authority = |subject, life| {
        let mut params = params(&[], subject, life);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    // The root, which is not shown, ends before the others: that does not count.
    let root = authority("root", (1000 * 86_400, 86_400));
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let between = authority("between", between);
    let key = KeyPair::generate().unwrap();
    let between = CertifiedIssuer::signed_by(between, key, &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&[name], "leaf", leaf)
        .signed_by(&key, &between)
        .unwrap();
    let chain = vec![leaf.der().clone(), between.der().clone()];
    (serving(chain, &key, &[]), root.der().to_vec())
}

fn serving(chain: Vec<CertificateDer<'static>>, key: &KeyPair, protocols: &[&[u8]]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
