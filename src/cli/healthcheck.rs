//! `healthcheck`: for a container's HEALTHCHECK, which has no other HTTP client.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{HealthcheckArgs, runtime};

/// A container's health check gives up after 30 s; this one answers before.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn healthcheck(args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let tls = client(args.cert_file.as_deref().zip(args.key_file.as_deref()))?;
    runtime()?.block_on(async {
        let response = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()?
            .get(args.url.clone())
            .send()
            .await
            .with_context(|| format!("no answer from {}", args.url))?;
        if !response.status().is_success() {
            bail!("{} answers {}", args.url, response.status());
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// TLS with whoever listens, and with a certificate of its own where one is given.
fn client(identity: Option<(&Path, &Path)>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let Some((cert_file, key_file)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let chain = CertificateDer::pem_slice_iter(&read(cert_file)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} holds no certificate", cert_file.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
        .with_context(|| format!("{} holds no private key", key_file.display()))?;
    builder
        .with_client_auth_cert(chain, key)
        .context("the key does not go with the certificate")
}

/// Takes every certificate: that of a listener is hardly ever made for the loopback address that it is asked at, and nothing
/// secret is sent or learned here.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
