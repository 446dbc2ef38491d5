//! Headers, token, certificates and proxy of HTTP requests, from the configuration or from files
//! that it names.

use std::path::PathBuf;

use http::HeaderMap;
use http::header::{self, AUTHORIZATION, HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use url::Url;

use super::Secret;
use super::keys::BASIC_AUTH;
use super::notify::BasicAuth;
use super::scalar::{user_name, web_url};
use super::secret_file::{plain_file, text_file};
use super::section::Section;
use super::source::Reported;
use super::value::Value;

/// Largest file with certificates, bytes; the root certificates of an operating system take a
/// quarter of it.
const MAX_CA_BYTES: u64 = 1 << 20;

/// Headers that the agent sets itself.
const RESERVED: [HeaderName; 8] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What HTTP requests send and trust.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// Headers sent with every request, as configured.
    pub headers: HeaderMap,
    /// Sent as `Authorization: Bearer …`.
    pub bearer_token: Option<Secret>,
    /// Certificates (DER) from `ca_file`, trusted instead of the system's roots.
    pub ca: Option<Vec<Vec<u8>>>,
    /// The file that `ca` was read from.
    pub ca_file: Option<PathBuf>,
    /// Name requested and verified in TLS instead of the URL's host.
    pub server_name: Option<String>,
    /// HTTP proxy (`http` or `https`, no userinfo). Proxies of the environment are never used.
    pub proxy: Option<Url>,
}

impl HttpOptions {
    /// Returns the options for the client, with the agent's user agent.
    #[must_use]
    pub fn client_options(&self) -> convex_client::HttpOptions {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.bearer_token {
            // Cannot fail: the token was checked when it was read.
            if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose())) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        convex_client::HttpOptions {
            user_agent: concat!("convex-peer-monitor/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers,
            ca: self.ca.clone(),
            server_name: self.server_name.clone(),
            proxy: self.proxy.clone(),
        }
    }
}

/// Reads the HTTP options of a peer or a receiver.
pub(super) fn http_options(section: &Section) -> Result<HttpOptions, Reported> {
    let headers = inline_or_file(
        section,
        "headers",
        headers(section),
        section.read("headers_file", header_file),
    );
    let bearer_token = inline_or_file(
        section,
        "bearer_token",
        section.read("bearer_token", |value| token(&value.secret_text()?)),
        section.read("bearer_token_file", |value| token(&text_file(value)?)),
    );
    let ca = section.read("ca_file", certificates);
    let server_name = section.read("server_name", server_name);
    let proxy = section.read("proxy", proxy);

    let (headers, bearer_token) = (headers?.unwrap_or_default(), bearer_token?);
    if bearer_token.is_some() && headers.contains_key(AUTHORIZATION) {
        let position = ["headers", "headers_file"]
            .iter()
            .find_map(|key| section.key_position(key))
            .unwrap_or(section.position);
        return Err(section.report(
            position,
            "headers",
            "an `authorization` header conflicts with the bearer token; keep one of them",
        ));
    }
    let (ca_file, ca) = ca?.unzip();
    Ok(HttpOptions {
        headers,
        bearer_token,
        ca,
        ca_file,
        server_name: server_name?,
        proxy: proxy?,
    })
}

/// Returns the value of `key` or `{key}_file`; reports it if both are given.
pub(super) fn inline_or_file<T>(
    section: &Section,
    key: &str,
    inline: Result<Option<T>, Reported>,
    from_file: Result<Option<T>, Reported>,
) -> Result<Option<T>, Reported> {
    let file_key = format!("{key}_file");
    if let (Some(_), Some(second)) = (section.key_position(key), section.key_position(&file_key)) {
        let message = format!("conflicts with `{key}`; keep one of them");
        return Err(section.report(second, &file_key, message));
    }
    Ok(inline?.or(from_file?))
}

/// Reads `basic_auth` of the section.
pub(super) fn basic_auth(section: &Section) -> Result<Option<BasicAuth>, Reported> {
    let Some(section) = section.section("basic_auth", &BASIC_AUTH)? else {
        return Ok(None);
    };
    let username = section.require("username", |value| {
        let text = value.text()?;
        user_name(&text).map_err(|problem| format!("{} is {problem}", value.quoted()))?;
        Ok(text)
    });
    let password = inline_or_file(
        &section,
        "password",
        section.read("password", |value| value.secret_text().map(Secret::from)),
        section.read("password_file", |value| text_file(value).map(Secret::from)),
    );
    let (username, password) = (username?, password?);
    let Some(password) = password else {
        let message = "is missing; set it, or `password_file`";
        return Err(section.report(section.position, "password", message));
    };
    Ok(Some(BasicAuth { username, password }))
}

fn headers(section: &Section) -> Result<Option<HeaderMap>, Reported> {
    let mut headers = HeaderMap::new();
    let mut result = Ok(());
    for (path, key, value) in section.map("headers")? {
        let added = value
            .secret_text()
            .map_err(|message| (value.node.position, message))
            .and_then(|text| {
                add_header(&mut headers, &key.text, &text)
                    .map_err(|message| (key.position, message))
            });
        if let Err((position, message)) = added {
            result = Err(section.source.report(position, path, message));
        }
    }
    result?;
    Ok((!headers.is_empty()).then_some(headers))
}

/// Reads headers from a file of `Name: value` lines.
fn header_file(value: &Value) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (i, line) in text_file(value)?.lines().enumerate() {
        let at_line = |message: &str| format!("line {} of the file: {message}", i + 1);
        if line.trim().is_empty() {
            continue;
        }
        let (name, text) = line
            .split_once(':')
            .ok_or_else(|| at_line("no colon; write `Name: value`"))?;
        add_header(&mut headers, name.trim(), text.trim()).map_err(|message| at_line(&message))?;
    }
    Ok(headers)
}

/// Adds a header. Errors do not quote the value, which may be a secret.
fn add_header(headers: &mut HeaderMap, name: &str, text: &str) -> Result<(), String> {
    let name: HeaderName = name
        .parse()
        .map_err(|_| "not a header name; expected letters, digits and hyphens".to_owned())?;
    if RESERVED.contains(&name) {
        return Err("the agent sets this header itself; remove it".to_owned());
    }
    if headers.contains_key(&name) {
        return Err("this header is given twice (case does not matter); remove one".to_owned());
    }
    // Stricter than `HeaderValue`, which accepts bytes beyond ASCII.
    let allowed = |c: char| c == '\t' || (' '..='~').contains(&c);
    let wrong = text.chars().position(|c| !allowed(c));
    let value = HeaderValue::from_str(text).ok();
    let (None, Some(mut value)) = (wrong, value) else {
        let position = wrong.unwrap_or_default() + 1;
        return Err(format!(
            "character {position} of the value is not allowed in a header; expected printable ASCII"
        ));
    };
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn token(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("the token is empty".to_owned());
    }
    match text.chars().position(|c| !c.is_ascii_graphic()) {
        Some(position) => Err(format!(
            "character {} of the token is not allowed in a bearer token; \
             expected printable ASCII without spaces",
            position + 1
        )),
        None => Ok(text.into()),
    }
}

/// Reads the certificates of a file, each of which TLS must accept as a root.
fn certificates(value: &Value) -> Result<(PathBuf, Vec<Vec<u8>>), String> {
    let (path, bytes) = plain_file(value, MAX_CA_BYTES)?;
    let file = value.quoted_path(&path);
    let mut roots = RootCertStore::empty();
    let mut certificates = Vec::new();
    for (i, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let certificate = certificate.map_err(|error| format!("{file} is not PEM: {error}"))?;
        roots.add(certificate.clone()).map_err(|error| {
            format!("certificate {} in {file} cannot be trusted: {error}", i + 1)
        })?;
        certificates.push(certificate.to_vec());
    }
    if certificates.is_empty() {
        return Err(format!(
            "{file} contains no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`"
        ));
    }
    Ok((path, certificates))
}

fn server_name(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    match ServerName::try_from(text.as_str()) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!(
            "{} is neither a DNS name nor an IP address",
            value.quoted()
        )),
    }
}

fn proxy(value: &Value) -> Result<Url, String> {
    let url = web_url(value)?;
    if url.path() == "/" {
        Ok(url)
    } else {
        Err(format!(
            "{} has a path; remove it from the proxy's URL",
            value.quoted()
        ))
    }
}
