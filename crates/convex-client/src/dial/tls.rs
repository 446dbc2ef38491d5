//! TLS with rustls, which trusts the system's root certificates or given ones.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore, SignatureScheme};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::certificate::CertificateEnd;
use crate::failure::{Failure, FailureReason};

use super::roots::system_roots;
use super::stream::{Spoken, Stream};

/// What a client trusts. Shared by all endpoints that trust the same.
#[derive(Debug)]
pub(crate) struct Trust {
    config: ClientConfig,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl Trust {
    /// Trusts the certificates (DER) in `ca`, or the system's root certificates if `ca` is absent.
    ///
    /// # Errors
    /// A certificate in `ca` is not usable.
    pub(crate) fn new(ca: Option<&[Vec<u8>]>) -> Result<Self, String> {
        let roots = match ca {
            Some(certificates) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots
                        .add(CertificateDer::from(certificate.clone()))
                        .map_err(|error| format!("a CA certificate is not usable: {error}"))?;
                }
                Arc::new(roots)
            }
            None => system_roots().store,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            match WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()
            {
                Ok(verifier) => verifier as Arc<dyn ServerCertVerifier>,
                // Without root certificates, http endpoints must still work.
                Err(error) => Arc::new(NoRoots {
                    reason: error.to_string(),
                    schemes: provider
                        .signature_verification_algorithms
                        .supported_schemes(),
                }),
            };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        // A resumed session shows no certificate, so its end would not be seen.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config, verifier })
    }

    /// Returns the configuration for another client.
    pub(crate) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Does the handshake with the server `name` by `deadline`, and records which of its
    /// certificates ends first, also if they are refused.
    ///
    /// # Errors
    /// The handshake fails.
    pub(super) async fn handshake(
        &self,
        stream: Stream,
        name: ServerName<'static>,
        deadline: Instant,
        certificate: &mut Option<Arc<CertificateEnd>>,
    ) -> Result<Stream, Failure> {
        let recorder = Arc::new(RecordingVerifier {
            verifier: Arc::clone(&self.verifier),
            first_end: OnceLock::new(),
        });
        let mut config = self.config.clone();
        let verifier = Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>;
        config.dangerous().set_certificate_verifier(verifier);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let finished = timeout_at(deadline, connecting.into_fallible()).await;
        *certificate = recorder.first_end.get().cloned().or(certificate.take());
        match finished {
            Ok(Ok(tls)) => Ok(Stream::Tls(Box::new(tls))),
            Ok(Err((error, stream))) => Err(handshake_failure(&error, &stream)),
            Err(_) => Err(Failure::new(
                FailureReason::ConnectTimeout,
                "the TLS handshake did not finish in time",
            )),
        }
    }
}

fn handshake_failure(error: &io::Error, stream: &Stream) -> Failure {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_failure(error, stream.spoken_instead(Spoken::Tls));
    }
    let Failure { reason, message } = Failure::from_io(error);
    Failure::new(reason, format!("in the TLS handshake: {message}"))
}

/// Returns the failure for an error of TLS on a port that speaks `spoken` instead, if that is
/// known.
pub(crate) fn tls_failure(error: &rustls::Error, spoken: Option<Spoken>) -> Failure {
    use rustls::CertificateError::{Expired, ExpiredContext};
    use rustls::Error::{InvalidCertificate, InvalidMessage as Invalid};
    match error {
        InvalidCertificate(Expired | ExpiredContext { .. }) => {
            Failure::new(FailureReason::TlsExpired, error.to_string())
        }
        Invalid(InvalidMessage::InvalidContentType) => {
            let what = spoken.map_or("this port does not speak TLS", Spoken::in_words);
            Failure::new(FailureReason::Tls, format!("{what}, not https"))
        }
        _ => Failure::new(FailureReason::Tls, error.to_string()),
    }
}

/// Notes which certificate ends first, then verifies them. So it is also known of a chain that is
/// refused.
#[derive(Debug)]
struct RecordingVerifier {
    verifier: Arc<dyn ServerCertVerifier>,
    first_end: OnceLock<Arc<CertificateEnd>>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        if let Some(first_end) = CertificateEnd::of(chain) {
            self.first_end.get_or_init(|| Arc::new(first_end));
        }
        self.verifier
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Verifier without root certificates, which refuses every certificate with a clear error.
#[derive(Debug)]
struct NoRoots {
    reason: String,
    schemes: Vec<SignatureScheme>,
}

impl NoRoots {
    fn refuse<T>(&self) -> Result<T, rustls::Error> {
        Err(rustls::Error::General(format!(
            "no root certificates: {}",
            self.reason
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
        self.refuse()
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.refuse()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.refuse()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
