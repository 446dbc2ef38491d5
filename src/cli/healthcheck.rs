//! `healthcheck`: requests the agent's health route, for containers without an HTTP client.

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

use crate::config::read_file;

use super::args::HealthcheckArgs;
use super::runtime;

/// Well below the 30 s after which Docker stops a health check.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest file with a certificate or a key, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) fn healthcheck(args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let tls = tls_config(args.cert_file.as_deref().zip(args.key_file.as_deref()))?;
    let shown = &args.url;
    runtime()?.block_on(async {
        let mut client = reqwest::Client::builder();
        if let Some(path) = args.url.socket() {
            client = client.unix_socket(path);
        }
        let response = client
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()?
            .get(args.url.url("/-/healthy"))
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("no answer from {shown}"))?;
        if !response.status().is_success() {
            bail!("{shown} returned {}", response.status());
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// TLS that accepts any server certificate, and sends a client certificate if one is given.
fn tls_config(identity: Option<(&Path, &Path)>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)));
    let Some((cert_file, key_file)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let read = |path: &Path| {
        let read = read_file(path, MAX_FILE_BYTES);
        let (bytes, _) = read.with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(bytes)
    };
    let chain = CertificateDer::pem_slice_iter(&read(cert_file)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} contains no certificate", cert_file.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
        .with_context(|| format!("{} contains no private key", key_file.display()))?;
    builder
        .with_client_auth_cert(chain, key)
        .context("the key does not match the certificate")
}

/// Accepts any certificate: certificates are rarely issued for the loopback address used here, and
/// nothing secret is sent or received.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
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
