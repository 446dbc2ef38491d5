//! TLS of the agent's HTTP server: `tls_server_config`, and the server configuration made of its
//! files, which may be replaced at any time.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    NamedGroup, ProtocolVersion, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use sha3::{Digest, Sha3_256};

use super::super::keys::TLS_SERVER;
use super::super::scalar::{boolean, choice};
use super::super::secret_file::world_readable_warning;
use super::super::section::Section;
use super::super::source::Reported;
use super::super::value::Value;
use super::client_certificate::NameVerifier;
use super::pem::{self, Pem, Unusable, parse_certificates};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// TLS of the agent's HTTP server. Equal if the settings are, whatever is in the files.
#[derive(Clone, Debug)]
pub struct Tls {
    settings: Settings,
    initial: LoadedTls,
}

/// The keys of `tls_server_config`.
#[derive(Clone, Debug, PartialEq)]
struct Settings {
    cert: Pem,
    key: Pem,
    client_auth: ClientAuth,
    client_ca: Option<Pem>,
    /// Empty: certificates with any name are accepted.
    allowed_names: Vec<String>,
    versions: Vec<ProtocolVersion>,
    /// For TLS 1.2 and 1.3.
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<NamedGroup>,
    prefer_server_order: bool,
    http2: bool,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    /// No certificate is requested.
    None,
    /// A certificate is optional, but must be valid.
    IfGiven,
    /// A valid certificate is required.
    Required,
}

/// The files as loaded, ready to serve.
#[derive(Clone)]
pub struct LoadedTls {
    /// Hash of the content of all files.
    fingerprint: [u8; 32],
    server: Arc<ServerConfig>,
    key_world_readable: bool,
}

impl Tls {
    /// Returns the files as they were when the configuration was loaded.
    #[must_use]
    pub fn initial(&self) -> &LoadedTls {
        &self.initial
    }

    /// Loads the files again; `None` if they have not changed since `known`. Blocks.
    ///
    /// # Errors
    /// Which file is unusable, and why.
    pub fn reload_if_changed(&self, known: &LoadedTls) -> Result<Option<LoadedTls>, String> {
        let loaded = self.settings.load_if_changed(Some(known));
        loaded.map_err(|Unusable { key, message }| format!("{key}: {message}"))
    }

    /// Whether every client needs a certificate.
    #[must_use]
    pub fn requires_certificate(&self) -> bool {
        self.settings.client_auth == ClientAuth::Required
    }

    /// Whether clients can authenticate with a certificate.
    #[must_use]
    pub fn accepts_certificates(&self) -> bool {
        self.settings.client_auth != ClientAuth::None
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl LoadedTls {
    /// Returns the configuration for rustls.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for LoadedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedTls").finish_non_exhaustive()
    }
}

/// Reads `tls_server_config`. `http2` says whether HTTP/2 is offered to clients.
pub(super) fn tls(file: &Section, http2: bool) -> Result<Option<Tls>, Reported> {
    let Some(section) = file.section("tls_server_config", &TLS_SERVER)? else {
        return Ok(None);
    };
    let cert = Pem::require(&section, &pem::CERT);
    let key = Pem::require(&section, &pem::KEY);
    let client_ca = Pem::read(&section, &pem::CLIENT_CA);
    let client_auth = section.read("client_auth_type", client_auth);
    let allowed_names = list(&section, "client_allowed_sans", Value::text);
    let versions = versions(&section);
    let suites = list(&section, "cipher_suites", suite);
    let groups = list(&section, "curve_preferences", group);
    let prefer_server_order = section.read("prefer_server_cipher_suites", boolean);

    let settings = Settings {
        cert: cert?,
        key: key?,
        client_auth: client_auth?.unwrap_or(ClientAuth::None),
        client_ca: client_ca?,
        allowed_names: allowed_names?,
        versions: versions?,
        suites: complete_suites(suites?),
        groups: groups?,
        prefer_server_order: prefer_server_order?.unwrap_or(true),
        http2,
    };
    check_client_auth(&section, &settings)?;
    match settings.load_if_changed(None) {
        Ok(Some(initial)) => {
            if initial.key_world_readable {
                let position = section.value_position(settings.key.key);
                let warning = world_readable_warning(&settings.key.quoted());
                section
                    .source
                    .warn(position.unwrap_or(section.position), warning);
            }
            Ok(Some(Tls { settings, initial }))
        }
        Ok(None) => Ok(None),
        Err(Unusable { key, message }) => Err(section.report_value(key, message)),
    }
}

/// Checks that the keys about client certificates fit together.
fn check_client_auth(section: &Section, settings: &Settings) -> Result<(), Reported> {
    if settings.client_auth == ClientAuth::None {
        let message = "has no effect without client certificates; set client_auth_type to \
                       RequireAndVerifyClientCert or VerifyClientCertIfGiven, or remove it";
        if let Some(ca) = &settings.client_ca {
            return Err(section.report_key(ca.key, message));
        }
        if !settings.allowed_names.is_empty() {
            return Err(section.report_key("client_allowed_sans", message));
        }
    } else if settings.client_ca.is_none() {
        let message = "is missing; add it, to verify client certificates";
        return Err(section.report_key("client_ca_file", message));
    }
    Ok(())
}

/// Reads the items of a list with `parse`; empty if the key is missing.
fn list<'a, T>(
    section: &Section<'a>,
    key: &str,
    parse: impl Fn(&Value<'a>) -> Result<T, String>,
) -> Result<Vec<T>, Reported> {
    section.read_list(key, parse)?.into_iter().collect()
}

fn client_auth(value: &Value) -> Result<ClientAuth, String> {
    match value.text()?.as_str() {
        "NoClientCert" => Ok(ClientAuth::None),
        "VerifyClientCertIfGiven" => Ok(ClientAuth::IfGiven),
        "RequireAndVerifyClientCert" => Ok(ClientAuth::Required),
        "RequestClientCert" | "RequireAnyClientCert" => Err(format!(
            "{} does not verify certificates and is not supported; \
             use RequireAndVerifyClientCert or VerifyClientCertIfGiven",
            value.quoted()
        )),
        _ => Err(format!(
            "{} is not allowed; expected NoClientCert, VerifyClientCertIfGiven or \
             RequireAndVerifyClientCert",
            value.quoted()
        )),
    }
}

/// Reads the TLS versions from `min_version` to `max_version`.
fn versions(section: &Section) -> Result<Vec<ProtocolVersion>, Reported> {
    let allowed = [
        ("TLS12", ProtocolVersion::TLSv1_2),
        ("TLS13", ProtocolVersion::TLSv1_3),
    ];
    let version = |key| section.read(key, |value| choice(value, &allowed));
    let (min, max) = (version("min_version"), version("max_version"));
    let (min, max) = (
        min?.unwrap_or(ProtocolVersion::TLSv1_2),
        max?.unwrap_or(ProtocolVersion::TLSv1_3),
    );
    let versions: Vec<_> = VERSIONS
        .iter()
        .map(|it| it.version)
        .filter(|it| (u16::from(min)..=u16::from(max)).contains(&u16::from(*it)))
        .collect();
    if versions.is_empty() {
        return Err(section.report_value("max_version", "lower than min_version; raise it"));
    }
    Ok(versions)
}

/// Returns the name of a suite in Go, and so in Prometheus, where those of TLS 1.3 have no version.
fn suite_name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replace("TLS13_", "TLS_")
}

fn suite(value: &Value) -> Result<SupportedCipherSuite, String> {
    let text = value.text()?;
    let all = ring::ALL_CIPHER_SUITES;
    let found = all.iter().find(|suite| suite_name(**suite) == text);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|suite| suite_name(*suite)).collect();
        format!(
            "{} is not supported; supported: {}",
            value.quoted(),
            names.join(", ")
        )
    })
}

/// Adds all suites of a TLS version for which none is named.
fn complete_suites(named: Vec<SupportedCipherSuite>) -> Vec<SupportedCipherSuite> {
    let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let unnamed = |suite: &SupportedCipherSuite| !named.iter().any(|it| is_13(it) == is_13(suite));
    let all = ring::ALL_CIPHER_SUITES.iter().copied();
    let others: Vec<_> = all.filter(unnamed).collect();
    named.into_iter().chain(others).collect()
}

fn group(value: &Value) -> Result<NamedGroup, String> {
    choice(
        value,
        &[
            ("X25519", NamedGroup::X25519),
            ("CurveP256", NamedGroup::secp256r1),
            ("CurveP384", NamedGroup::secp384r1),
        ],
    )
}

impl Settings {
    /// Loads the files; `None` if they have not changed since `known`.
    fn load_if_changed(&self, known: Option<&LoadedTls>) -> Result<Option<LoadedTls>, Unusable> {
        let (certificate, _) = self.cert.load()?;
        let (key, key_world_readable) = self.key.load()?;
        let ca = self.client_ca.as_ref().map(Pem::load).transpose()?;
        let ca = ca.map(|(ca, _)| ca);
        let mut digest = Sha3_256::new();
        for file in [Some(&certificate), Some(&key), ca.as_ref()] {
            let bytes = file.map_or(&[][..], |file| file.as_slice());
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
        }
        let fingerprint = digest.finalize().into();
        if known.is_some_and(|known| known.fingerprint == fingerprint) {
            return Ok(None);
        }
        let server = self.server(&certificate, &key, ca.as_ref().map(|ca| ca.as_slice()))?;
        Ok(Some(LoadedTls {
            fingerprint,
            server: Arc::new(server),
            key_world_readable,
        }))
    }

    fn server(
        &self,
        certificate: &[u8],
        key: &[u8],
        ca: Option<&[u8]>,
    ) -> Result<ServerConfig, Unusable> {
        let unusable = |key| move |message: String| Unusable { key, message };
        let chain = parse_certificates(certificate).map_err(unusable(self.cert.key))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Unusable {
            key: self.key.key,
            message: format!(
                "contains no private key ({error}); expected PEM with `-----BEGIN PRIVATE KEY-----`"
            ),
        })?;
        let provider = Arc::new(self.provider());
        let verifier = match ca {
            Some(ca) => self
                .verifier(ca, &provider)
                .map_err(unusable(self.client_ca.as_ref().map_or("", |ca| ca.key)))?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let versions: Vec<_> = VERSIONS
            .into_iter()
            .filter(|it| self.versions.contains(&it.version))
            .collect();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| unusable("cipher_suites")(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| {
                unusable(self.key.key)(format!("does not match the certificate: {error}"))
            })?;
        server.ignore_client_order = self.prefer_server_order;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.http2 {
            server.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(server)
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        provider.cipher_suites.clone_from(&self.suites);
        if !self.groups.is_empty() {
            let all = provider.kx_groups;
            let find = |name: &NamedGroup| all.iter().find(|group| group.name() == *name).copied();
            provider.kx_groups = self.groups.iter().filter_map(find).collect();
        }
        provider
    }

    fn verifier(
        &self,
        ca: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut roots = RootCertStore::empty();
        for certificate in parse_certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|error| format!("a certificate cannot be trusted: {error}"))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_auth {
            ClientAuth::IfGiven => builder.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Required => builder,
        };
        let inner = builder.build().map_err(|error| error.to_string())?;
        if self.allowed_names.is_empty() {
            return Ok(inner);
        }
        Ok(Arc::new(NameVerifier {
            inner,
            allowed_names: self.allowed_names.clone(),
        }))
    }
}
