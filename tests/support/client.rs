//! An HTTP client that trusts one authority and may present a certificate.

use std::sync::Arc;

use reqwest::{Method, Response};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::DEADLINE;
use super::authority::{Authority, Identity};

pub(crate) struct Client(reqwest::Client);

impl Client {
    /// Makes a client that trusts only `authority` and presents `identity`.
    pub(crate) fn new(authority: &Authority, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&authority.pem())).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = match identity {
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                let chain = vec![certificate(&identity.certificate)];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build();
        Self(client.unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> reqwest::Result<Response> {
        self.get_as(url, None).await
    }

    pub(crate) async fn get_as(
        &self,
        url: &str,
        user: Option<&(String, String)>,
    ) -> reqwest::Result<Response> {
        self.send(Method::GET, url, &[], user).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        self.send(method, url, headers, None).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        user: Option<&(String, String)>,
    ) -> reqwest::Result<Response> {
        let mut request = self.0.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((name, password)) = user {
            request = request.basic_auth(name, Some(password));
        }
        request.send().await
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
