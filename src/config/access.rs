//! What requests carry and trust: headers, token, certificates, proxy; from the file or from files it names.

use std::path::PathBuf;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use url::Url;

use super::keys::BASIC_AUTH;
use super::notify::BasicAuth;
use super::scalar::web_url;
use super::secret_file::{plain_file, text_file};
use super::section::{Refused, Section, Value};
use super::{HttpOptions, Secret};

/// Largest file with certificates, bytes: the public roots of an operating system take a quarter of it.
const MAX_CA_BYTES: u64 = 1 << 20;

/// Set by the agent itself, for its own requests to work.
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

/// The HTTP options of a peer or a receiver.
pub(super) fn http_options(peer: &Section) -> Result<HttpOptions, Refused> {
    let headers = either(
        peer,
        "headers",
        headers(peer),
        peer.read("headers_file", header_file),
    );
    let bearer_token = either(
        peer,
        "bearer_token",
        peer.read("bearer_token", |value| token(&value.secret_text()?)),
        peer.read("bearer_token_file", |value| token(&text_file(value)?)),
    );
    let ca = peer.read("ca_file", certificates);
    let server_name = peer.read("server_name", |value| {
        let text = value.text()?;
        match ServerName::try_from(text.as_str()) {
            Ok(_) => Ok(text),
            Err(_) => Err(format!(
                "{} is neither a DNS name nor an IP address",
                value.found()
            )),
        }
    });
    let proxy = peer.read("proxy", proxy);

    let (headers, bearer_token) = (headers?.unwrap_or_default(), bearer_token?);
    if bearer_token.is_some() && headers.contains_key(header::AUTHORIZATION) {
        let position = ["headers", "headers_file"]
            .iter()
            .find_map(|key| peer.key_position(key))
            .unwrap_or(peer.position);
        return Err(peer.report(
            position,
            "headers",
            "an `authorization` header beside a bearer token; keep one of the two",
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

/// The one of `key` and `key_file` that is given; both are one too many.
pub(super) fn either<T>(
    section: &Section,
    key: &str,
    inline: Result<Option<T>, Refused>,
    from_file: Result<Option<T>, Refused>,
) -> Result<Option<T>, Refused> {
    let file_key = format!("{key}_file");
    if let (Some(_), Some(second)) = (section.key_position(key), section.key_position(&file_key)) {
        let message = format!("given beside `{key}`; keep one of the two");
        return Err(section.report(second, &file_key, message));
    }
    Ok(inline?.or(from_file?))
}

/// The section's `basic_auth`.
pub(super) fn basic_auth(section: &Section) -> Result<Option<BasicAuth>, Refused> {
    let Some(section) = section.section("basic_auth", &BASIC_AUTH)? else {
        return Ok(None);
    };
    let username = section.need("username", |value| {
        let text = value.text()?;
        if text.is_empty() || text.contains(':') || text.contains(char::is_control) {
            return Err(format!(
                "{} is not a user name; it has at least one character, and no colon",
                value.found()
            ));
        }
        Ok(text)
    });
    let password = either(
        &section,
        "password",
        section.read("password", |value| value.secret_text().map(Secret::from)),
        section.read("password_file", |value| text_file(value).map(Secret::from)),
    );
    let (username, password) = (username?, password?);
    let Some(password) = password else {
        let message = "is missing; give it, or `password_file` with a file that holds it";
        return Err(section.report(section.position, "password", message));
    };
    Ok(Some(BasicAuth { username, password }))
}

fn headers(peer: &Section) -> Result<Option<HeaderMap>, Refused> {
    let mut headers = HeaderMap::new();
    let mut sound = Ok(());
    for (path, key, value) in peer.map("headers")? {
        let added = value
            .secret_text()
            .map_err(|message| (value.node.position, message))
            .and_then(|text| {
                add(&mut headers, &key.text, &text).map_err(|message| (key.position, message))
            });
        if let Err((position, message)) = added {
            sound = Err(peer.source.report(position, path, message));
        }
    }
    sound?;
    Ok((!headers.is_empty()).then_some(headers))
}

/// Headers from a file: `Name: value` lines.
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
        add(&mut headers, name.trim(), text.trim()).map_err(|message| at_line(&message))?;
    }
    Ok(headers)
}

/// Adds one header; the message does not repeat the value.
fn add(headers: &mut HeaderMap, name: &str, text: &str) -> Result<(), String> {
    let name: HeaderName = name
        .parse()
        .map_err(|_| "not a header name; expected letters, digits and hyphens".to_owned())?;
    if RESERVED.contains(&name) {
        return Err("a header that the agent sets itself; remove it".to_owned());
    }
    if headers.contains_key(&name) {
        return Err(
            "a header given twice, whatever the case of its letters; remove one".to_owned(),
        );
    }
    // Stricter than the type, which lets through bytes that no specification gives a meaning.
    let allowed = |c: char| c == '\t' || (' '..='~').contains(&c);
    let wrong = text.chars().position(|c| !allowed(c));
    let value = HeaderValue::from_str(text).ok();
    let (None, Some(mut value)) = (wrong, value) else {
        let at = wrong.unwrap_or_default() + 1;
        return Err(format!(
            "character {at} of the value cannot stand in a header; expected printable ASCII only"
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
        Some(at) => Err(format!(
            "character {} of the token cannot stand in a bearer token; expected printable ASCII without blanks",
            at + 1
        )),
        None => Ok(text.into()),
    }
}

/// The file's certificates, each one that TLS can take as a root.
fn certificates(value: &Value) -> Result<(PathBuf, Vec<Vec<u8>>), String> {
    let (path, bytes) = plain_file(value, MAX_CA_BYTES)?;
    let mut roots = RootCertStore::empty();
    let mut certificates = Vec::new();
    for (i, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let shown = value.shown(&path);
        let certificate = certificate.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        roots.add(certificate.clone()).map_err(|error| {
            format!(
                "certificate {} in {shown} cannot be trusted: {error}",
                i + 1
            )
        })?;
        certificates.push(certificate.to_vec());
    }
    if certificates.is_empty() {
        return Err(format!(
            "{} holds no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`",
            value.shown(&path)
        ));
    }
    Ok((path, certificates))
}

fn proxy(value: &Value) -> Result<Url, String> {
    let url = web_url(value)?;
    if url.path() == "/" {
        Ok(url)
    } else {
        Err(format!(
            "{} carries a path, which a proxy does not have",
            value.found()
        ))
    }
}
