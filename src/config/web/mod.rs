//! The agent's own listener: Prometheus' web configuration file, read whole or refused.

mod client_certificate;
mod password;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::file::{self, Node};
use super::keys::{HTTP_SERVER, WEB, WEB_FILE};
use super::located::Broken;
use super::scalar::boolean;
use super::secret_file::{is_read_by_all, read_file};
use super::section::{Refused, Section, Source, Value};
use super::text_of;

pub use password::PasswordHash;
pub use tls::{Served, Tls};

/// Largest file read, bytes: thousands of users.
const MAX_BYTES: u64 = 1 << 20;

/// The headers that the file can set, as with Prometheus.
const HEADERS: [HeaderName; 5] = [
    header::CONTENT_SECURITY_POLICY,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
];

/// How the agent's own listener speaks, and whom it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Where the rest was read from; none: it is the default.
    pub config_file: Option<PathBuf>,
    /// TLS; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Who may come in, by user name; empty: passwords are not asked for.
    pub users: BTreeMap<String, PasswordHash>,
    /// Whether HTTP/2 is spoken besides HTTP/1.1.
    pub http2: bool,
    /// Sent with every answer, instead of the agent's own of these names.
    pub headers: HeaderMap,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            config_file: None,
            tls: None,
            users: BTreeMap::new(),
            http2: true,
            headers: HeaderMap::new(),
        }
    }
}

impl Web {
    /// Whether nobody is answered without a password or a certificate.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.users.is_empty() || self.tls.as_ref().is_some_and(Tls::demands_certificate)
    }

    /// What is unwise about listening at `address` like this, and what would be right.
    #[must_use]
    pub fn exposure(&self, address: SocketAddr) -> Option<String> {
        if address.ip().is_loopback() {
            return None;
        }
        if !self.authenticates() {
            return Some(format!(
                "{address} is open to everybody who can reach it, without a password or a client certificate; \
                 set web.config_file, or listen on a loopback address"
            ));
        }
        (self.tls.is_none()).then(|| {
            format!(
                "passwords are sent to {address} in plain; add tls_server_config to web.config_file, or listen on a \
                 loopback address behind a proxy that speaks TLS"
            )
        })
    }
}

/// The file's `web`.
pub(super) fn web(file: &Section) -> Result<Arc<Web>, Refused> {
    let Some(section) = file.section("web", &WEB)? else {
        return Ok(Arc::default());
    };
    let read = section.read("config_file", |value| {
        let path = value.source.resolve(&value.text()?);
        let (bytes, metadata) = read_file(&path, MAX_BYTES)
            .map_err(|error| format!("cannot read {}: {error}", value.shown(&path)))?;
        Ok((path, bytes, is_read_by_all(&metadata)))
    })?;
    let Some((path, bytes, open)) = read else {
        return Ok(Arc::default());
    };
    let name = path.to_string_lossy();
    let text = text_of(&bytes, &name).map_err(|problem| file.source.absorb([problem]))?;
    // A bcrypt hash is full of dollars: nothing is put in from the environment.
    let base_dir = path.parent().unwrap_or(Path::new(""));
    let source = Source::literal(&name, base_dir).open_to_all(open);
    let web = if says_nothing(text) {
        Ok(Web::default())
    } else {
        match file::read(text) {
            Ok(root) => document(&source, &root),
            Err(Broken { position, message }) => Err(source.report(position, "", message)),
        }
    };
    file.source.absorb_warnings(source.take_warnings());
    let web = source
        .finish(web)
        .map_err(|errors| file.source.absorb(errors.into_problems()))?;
    Ok(Arc::new(Web {
        config_file: Some(path.clone()),
        ..web
    }))
}

/// Whether a file has nothing but comments, which Prometheus takes for neither TLS nor users.
fn says_nothing(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

fn document(source: &Source, root: &Node) -> Result<Web, Refused> {
    let file = Section::open(source, String::new(), root, &WEB_FILE)?;
    let http = file.section("http_server_config", &HTTP_SERVER);
    let (http2, headers) = match &http {
        Ok(Some(http)) => (http.read("http2", boolean), headers(http)),
        Ok(None) => (Ok(None), Ok(HeaderMap::new())),
        Err(refused) => (Err(*refused), Err(*refused)),
    };
    let spoken = http2.map(|http2| http2.unwrap_or(true));
    let tls = tls::tls(&file, spoken.unwrap_or(true));
    let users = users(&file);
    Ok(Web {
        config_file: None,
        tls: tls?,
        users: users?,
        http2: spoken?,
        headers: headers?,
    })
}

fn users(file: &Section) -> Result<BTreeMap<String, PasswordHash>, Refused> {
    let mut users = BTreeMap::new();
    let mut sound = Ok(());
    for (path, key, value) in file.map("basic_auth_users")? {
        let read = user(&key.text)
            .map_err(|message| (key.position, message))
            .and_then(|name| {
                let hash = value.secret_text().and_then(|text| text.parse());
                let hash = hash.map_err(|message| (value.node.position, message))?;
                Ok((name, hash))
            });
        match read {
            Ok((name, hash)) => {
                users.insert(name, hash);
            }
            Err((position, message)) => sound = Err(file.source.report(position, path, message)),
        }
    }
    sound?;
    if users.is_empty()
        && let Some(position) = file.key_position("basic_auth_users")
    {
        let message = "names nobody; add `user: bcrypt hash`, or remove the key";
        return Err(file.report(position, "basic_auth_users", message));
    }
    Ok(users)
}

fn user(name: &str) -> Result<String, String> {
    if name.is_empty() || name.contains(':') || name.contains(char::is_control) {
        return Err("not a user name; it has at least one character, and no colon".to_owned());
    }
    Ok(name.to_owned())
}

fn headers(http: &Section) -> Result<HeaderMap, Refused> {
    let mut headers = HeaderMap::new();
    let mut sound = Ok(());
    for (path, key, value) in http.map("headers")? {
        let name = HEADERS
            .into_iter()
            .find(|name| name.as_str().eq_ignore_ascii_case(&key.text));
        let added = match name {
            Some(name) => header_value(&value)
                .map(|value| headers.insert(name, value))
                .map_err(|message| (value.node.position, message)),
            None => Err((
                key.position,
                "not a header that can be set; supported: Content-Security-Policy, \
                 Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection"
                    .to_owned(),
            )),
        };
        if let Err((position, message)) = added {
            sound = Err(http.source.report(position, path, message));
        }
    }
    sound.map(|()| headers)
}

fn header_value(value: &Value) -> Result<HeaderValue, String> {
    let text = value.text()?;
    let printable = text.chars().all(|c| (' '..='~').contains(&c));
    match HeaderValue::from_str(&text) {
        Ok(header) if printable => Ok(header),
        _ => Err("cannot stand in a header; expected printable ASCII only".to_owned()),
    }
}
