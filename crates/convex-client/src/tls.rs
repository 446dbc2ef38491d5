//! TLS for the HTTP transport: rustls with the system's roots or a configured CA, recording what reqwest hides.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    WebPkiServerVerifier,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme};

use super::trace;

/// A client configuration that trusts `ca` (certificates, DER), or the system's roots without one.
///
/// # Errors
/// A text that says what is wrong with the certificates: none of them is usable.
pub(super) fn client_config(ca: Option<&[Vec<u8>]>) -> Result<ClientConfig, String> {
    let roots = match ca {
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots
                    .add(CertificateDer::from(certificate.clone()))
                    .map_err(|error| format!("a certificate of ca_file is not usable: {error}"))?;
            }
            Arc::new(roots)
        }
        None => system_roots(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let judge =
        match WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build() {
            Ok(judge) => judge as Arc<dyn ServerCertVerifier>,
            // A host without certificates can still watch plain endpoints.
            Err(error) => Arc::new(NoRoots {
                why: error.to_string(),
                schemes: provider
                    .signature_verification_algorithms
                    .supported_schemes(),
            }),
        };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(RecordingVerifier(judge)))
        .with_no_client_auth();
    // A resumed session shows no certificate, so none is resumed; the store tells when a handshake begins.
    config.resumption = Resumption::store(Arc::new(HandshakeStartHook));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The system's roots, read once. Those that are not usable are skipped, as every client does.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            tracing::warn!(errors = ?found.errors, "this host has no root certificates: no https endpoint can be verified");
        }
        Arc::new(roots)
    }))
}

/// Notes when the certificate ends, then lets the real verifier judge: an expired one is still known by its time.
#[derive(Debug)]
struct RecordingVerifier(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        trace::certificate(not_after(end_entity));
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Stands in where there is no root to verify with: every certificate is refused, in words.
#[derive(Debug)]
struct NoRoots {
    why: String,
    schemes: Vec<SignatureScheme>,
}

impl NoRoots {
    fn refusal<T>(&self) -> Result<T, rustls::Error> {
        Err(rustls::Error::General(format!(
            "no root certificates: {}",
            self.why
        )))
    }
}

impl ServerCertVerifier for NoRoots {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.refusal()
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.refusal()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.refusal()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A session store that keeps nothing. rustls asks it for a hint when it builds the first message of a handshake, which
/// is the one moment between the TCP and the TLS handshake that can be seen from outside.
#[derive(Debug)]
struct HandshakeStartHook;

impl ClientSessionStore for HandshakeStartHook {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        trace::tls_began();
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
