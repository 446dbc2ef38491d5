//! TLS of the agent's own listener: `tls_server_config`, and what is made of its files, which may be replaced at any time.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
use super::super::secret_file::{is_read_by_all, open_to_all, read_file};
use super::super::section::{Refused, Section, Value};
use super::client_certificate::Named;

/// Largest file read, bytes: the public roots of an operating system take a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// TLS of the agent's own listener. Equal when the settings are, whatever the files hold.
#[derive(Clone, Debug)]
pub struct Tls {
    settings: Settings,
    first: Served,
}

/// What `tls_server_config` says.
#[derive(Clone, Debug, PartialEq)]
struct Settings {
    cert_file: PathBuf,
    key_file: PathBuf,
    clients: Clients,
    client_ca_file: Option<PathBuf>,
    /// Empty: any name.
    allowed_names: Vec<String>,
    versions: Vec<ProtocolVersion>,
    /// Of TLS 1.2 and 1.3.
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<NamedGroup>,
    own_order: bool,
    http2: bool,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    /// They are not asked.
    None,
    /// One that is shown must be good.
    IfGiven,
    /// Each has to show a good one.
    All,
}

/// What the files have held, ready to be served.
#[derive(Clone)]
pub struct Served {
    /// Of all the files.
    fingerprint: [u8; 32],
    server: Arc<ServerConfig>,
    /// Whether every user of the host can read the key.
    key_open_to_all: bool,
}

/// Why files cannot be served.
struct Unusable {
    /// The key that names the file.
    key: &'static str,
    message: String,
}

impl Tls {
    /// What was served when the configuration was read.
    #[must_use]
    pub fn first(&self) -> &Served {
        &self.first
    }

    /// What the files hold now; none when that is what `known` holds. Reads from disk.
    ///
    /// # Errors
    /// A text that says which file cannot be used, and why.
    pub fn renewed(&self, known: &Served) -> Result<Option<Served>, String> {
        let renewed = self.settings.renewed(Some(known));
        renewed.map_err(|Unusable { key, message }| format!("{key}: {message}"))
    }

    /// Whether every client has to show a certificate.
    #[must_use]
    pub fn demands_certificate(&self) -> bool {
        self.settings.clients == Clients::All
    }

    /// Whether clients that have a certificate may show it instead of being nobody.
    #[must_use]
    pub fn takes_certificates(&self) -> bool {
        self.settings.clients != Clients::None
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Served {
    /// For rustls.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

/// The file's `tls_server_config`. `http2`: whether it is offered to clients.
pub(super) fn tls(file: &Section, http2: bool) -> Result<Option<Tls>, Refused> {
    let Some(section) = file.section("tls_server_config", &TLS_SERVER)? else {
        return Ok(None);
    };
    let path = |value: &Value| Ok(value.source.resolve(&value.text()?));
    let cert_file = section.need("cert_file", path);
    let key_file = section.need("key_file", path);
    let client_ca_file = section.read("client_ca_file", path);
    let clients = section.read("client_auth_type", clients);
    let allowed_names = texts(&section, "client_allowed_sans", Value::text);
    let versions = versions(&section);
    let suites = texts(&section, "cipher_suites", suite);
    let groups = texts(&section, "curve_preferences", group);
    let own_order = section.read("prefer_server_cipher_suites", boolean);

    let settings = Settings {
        cert_file: cert_file?,
        key_file: key_file?,
        clients: clients?.unwrap_or(Clients::None),
        client_ca_file: client_ca_file?,
        allowed_names: allowed_names?,
        versions: versions?,
        suites: chosen(suites?),
        groups: groups?,
        own_order: own_order?.unwrap_or(true),
        http2,
    };
    fits_together(&section, &settings)?;
    match settings.renewed(None) {
        Ok(Some(first)) => {
            if first.key_open_to_all {
                let position = section
                    .value_position("key_file")
                    .unwrap_or(section.position);
                let file = format!("{:?}", settings.key_file.to_string_lossy());
                section.source.warn(position, open_to_all(&file));
            }
            Ok(Some(Tls { settings, first }))
        }
        Ok(None) => Ok(None),
        Err(Unusable { key, message }) => {
            let position = section.value_position(key).unwrap_or(section.position);
            Err(section.report(position, key, message))
        }
    }
}

fn fits_together(section: &Section, settings: &Settings) -> Result<(), Refused> {
    let wrong = |key: &str, message: &str| {
        let position = section.key_position(key).unwrap_or(section.position);
        Err(section.report(position, key, message))
    };
    if settings.clients == Clients::None {
        let message = "given without a client_auth_type that asks for certificates; set \
                       RequireAndVerifyClientCert or VerifyClientCertIfGiven, or remove it";
        if settings.client_ca_file.is_some() {
            return wrong("client_ca_file", message);
        }
        if !settings.allowed_names.is_empty() {
            return wrong("client_allowed_sans", message);
        }
    } else if settings.client_ca_file.is_none() {
        let message = "is missing; client certificates are verified against it";
        return wrong("client_ca_file", message);
    }
    Ok(())
}

/// The items of a list, each read by `parse`; empty when it is not there.
fn texts<'a, T>(
    section: &Section<'a>,
    key: &str,
    parse: impl Fn(&Value<'a>) -> Result<T, String>,
) -> Result<Vec<T>, Refused> {
    let items: Vec<_> = section
        .list(key)?
        .into_iter()
        .flatten()
        .map(|(path, node)| {
            let source = section.source;
            let read = parse(&Value { node, source });
            read.map_err(|message| source.report(node.position, path, message))
        })
        .collect();
    items.into_iter().collect()
}

fn clients(value: &Value) -> Result<Clients, String> {
    match value.text()?.as_str() {
        "NoClientCert" => Ok(Clients::None),
        "VerifyClientCertIfGiven" => Ok(Clients::IfGiven),
        "RequireAndVerifyClientCert" => Ok(Clients::All),
        "RequestClientCert" | "RequireAnyClientCert" => Err(format!(
            "{} takes certificates that nobody has verified, which proves nothing and is not supported; \
             use RequireAndVerifyClientCert or VerifyClientCertIfGiven",
            value.found()
        )),
        _ => Err(format!(
            "{} is not allowed; expected NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
            value.found()
        )),
    }
}

/// From `min_version` to `max_version`.
fn versions(section: &Section) -> Result<Vec<ProtocolVersion>, Refused> {
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
    let chosen: Vec<_> = VERSIONS
        .iter()
        .map(|it| it.version)
        .filter(|it| (u16::from(min)..=u16::from(max)).contains(&u16::from(*it)))
        .collect();
    if chosen.is_empty() {
        let position = section
            .value_position("max_version")
            .unwrap_or(section.position);
        return Err(section.report(position, "max_version", "below min_version"));
    }
    Ok(chosen)
}

/// The name that Go, and so Prometheus, gives a suite: without the version of those of TLS 1.3.
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
            value.found(),
            names.join(", ")
        )
    })
}

/// The suites of the version of which none is named are all of them.
fn chosen(named: Vec<SupportedCipherSuite>) -> Vec<SupportedCipherSuite> {
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
    fn renewed(&self, known: Option<&Served>) -> Result<Option<Served>, Unusable> {
        let read = |key, path: &PathBuf| {
            read_file(path, MAX_BYTES).map_err(|error| Unusable {
                key,
                message: format!("cannot read {:?}: {error}", path.to_string_lossy()),
            })
        };
        let (certificate, _) = read("cert_file", &self.cert_file)?;
        let (key, key_metadata) = read("key_file", &self.key_file)?;
        let ca = self.client_ca_file.as_ref();
        let ca = ca.map(|path| read("client_ca_file", path)).transpose()?;
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
        Ok(Some(Served {
            fingerprint,
            server: Arc::new(server),
            key_open_to_all: is_read_by_all(&key_metadata),
        }))
    }

    fn server(
        &self,
        certificate: &[u8],
        key: &[u8],
        ca: Option<&[u8]>,
    ) -> Result<ServerConfig, Unusable> {
        let unusable = |key| move |message: String| Unusable { key, message };
        let chain = chain(certificate).map_err(unusable("cert_file"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Unusable {
            key: "key_file",
            message: format!(
                "holds no private key ({error}); expected PEM with `-----BEGIN PRIVATE KEY-----`"
            ),
        })?;
        let provider = Arc::new(self.provider());
        let clients = match ca {
            Some(ca) => self
                .verifier(ca, &provider)
                .map_err(unusable("client_ca_file"))?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let versions: Vec<_> = VERSIONS
            .into_iter()
            .filter(|it| self.versions.contains(&it.version))
            .collect();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| unusable("cipher_suites")(error.to_string()))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| {
                unusable("key_file")(format!("does not go with the certificate: {error}"))
            })?;
        server.ignore_client_order = self.own_order;
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
            let of = |name: &NamedGroup| all.iter().find(|group| group.name() == *name).copied();
            provider.kx_groups = self.groups.iter().filter_map(of).collect();
        }
        provider
    }

    fn verifier(
        &self,
        ca: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut roots = RootCertStore::empty();
        for certificate in chain(ca)? {
            roots
                .add(certificate)
                .map_err(|error| format!("a certificate cannot be trusted: {error}"))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.clients {
            Clients::IfGiven => builder.allow_unauthenticated(),
            Clients::None | Clients::All => builder,
        };
        let issued = builder.build().map_err(|error| error.to_string())?;
        if self.allowed_names.is_empty() {
            return Ok(issued);
        }
        Ok(Arc::new(Named {
            issued,
            names: self.allowed_names.clone(),
        }))
    }
}

/// The certificates in PEM; at least one.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| format!("is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(
            "holds no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`".to_owned(),
        );
    }
    Ok(certificates)
}
