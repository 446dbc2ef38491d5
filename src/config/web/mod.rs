//! TLS, users and headers of the agent's HTTP server, from a web configuration file in the format
//! of Prometheus.

mod client_certificate;
mod password;
mod pem;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Listen;
use super::file_read::read_file;
use super::keys::{HTTP_SERVER, RATE_LIMIT, WEB, WEB_FILE};
use super::load::decode_utf8;
use super::scalar::{DAY, boolean, count, duration_or_zero, user_name};
use super::secret_file::is_world_readable;
use super::section::Section;
use super::source::{Reported, Source};
use super::value::Value;
use super::yaml::{self, Malformed, Node};

pub use password::PasswordHash;
pub use tls::{LoadedTls, Tls};

/// Largest web configuration file, bytes: thousands of users.
const MAX_BYTES: u64 = 1 << 20;

/// Shortest interval between requests that can be configured.
const MIN_RATE_INTERVAL: Duration = Duration::from_micros(1);

/// Largest burst of requests.
const MAX_BURST: u32 = 1_000_000;

/// Headers that the file can set, as in Prometheus.
const HEADERS: [HeaderName; 5] = [
    header::CONTENT_SECURITY_POLICY,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
];

/// TLS, users and headers of the agent's HTTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// The file that the rest was read from; `None`: all defaults.
    pub config_file: Option<PathBuf>,
    /// TLS settings; `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// Password hashes by user name; empty: no passwords are required.
    pub users: BTreeMap<String, PasswordHash>,
    /// Whether HTTP/2 is offered besides HTTP/1.1.
    pub http2: bool,
    /// Headers sent with every response, replacing the agent's own.
    pub headers: HeaderMap,
    /// How many requests are answered; `None`: all.
    pub rate_limit: Option<RateLimit>,
}

/// How many requests of all clients together are answered: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time between two requests in the long run; more than 0.
    pub interval: Duration,
    /// Requests that may come at once after a pause; at least 1.
    pub burst: u32,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            config_file: None,
            tls: None,
            users: BTreeMap::new(),
            http2: true,
            headers: HeaderMap::new(),
            rate_limit: None,
        }
    }
}

impl Web {
    /// Whether every client needs a password or a certificate.
    #[must_use]
    pub fn requires_authentication(&self) -> bool {
        !self.users.is_empty() || self.tls.as_ref().is_some_and(Tls::requires_certificate)
    }

    /// Returns a warning if listening at `address` with these settings is unsafe.
    #[must_use]
    pub fn exposure_warning(&self, address: &Listen) -> Option<String> {
        if matches!(address, Listen::Unix(_)) {
            let has_certificates = self.tls.as_ref().is_some_and(Tls::requires_certificate);
            return (has_certificates && self.users.is_empty()).then(|| {
                format!(
                    "{address} asks for no client certificate, because a Unix socket has no TLS: \
                     every user who can open it may do everything; add basic_auth_users, or listen \
                     on an address"
                )
            });
        }
        if address.is_local() {
            return None;
        }
        if !self.requires_authentication() {
            return Some(format!(
                "{address} is open to anyone who can reach it, without a password or a client \
                 certificate; set web.config_file, or listen on a loopback address"
            ));
        }
        (self.tls.is_none()).then(|| {
            format!(
                "passwords are sent to {address} in plain text; add tls_server_config to \
                 web.config_file, or listen on a loopback address behind a TLS proxy"
            )
        })
    }
}

/// Reads `web`, and the file that it names.
pub(super) fn web(file: &Section) -> Result<Arc<Web>, Reported> {
    let Some(section) = file.section("web", &WEB)? else {
        return Ok(Arc::default());
    };
    let read = section.read("config_file", |value| {
        let path = value.path()?;
        let (bytes, metadata) = read_file(&path, MAX_BYTES)
            .map_err(|error| format!("cannot read {}: {error}", value.quoted_path(&path)))?;
        Ok((path, bytes, is_world_readable(&metadata)))
    })?;
    let Some((path, bytes, world_readable)) = read else {
        return Ok(Arc::default());
    };
    let name = path.to_string_lossy();
    let text = decode_utf8(&bytes, &name).map_err(|problem| file.source.report_all(problem))?;
    // Literal: bcrypt hashes contain dollars.
    let base_dir = path.parent().unwrap_or(Path::new(""));
    let source = Source::literal(&name, base_dir).world_readable(world_readable);
    let web = if is_blank(text) {
        Ok(Web::default())
    } else {
        match yaml::read(text) {
            Ok(root) => read_file_keys(&source, &root),
            Err(Malformed { position, message }) => Err(source.report(position, "", message)),
        }
    };
    file.source.add_warnings(source.take_warnings());
    let web = source
        .finish(web)
        .map_err(|errors| file.source.report_all(errors))?;
    Ok(Arc::new(Web {
        config_file: Some(path.clone()),
        ..web
    }))
}

/// Whether a file has nothing but comments, which for Prometheus means neither TLS nor users.
fn is_blank(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

fn read_file_keys(source: &Source, root: &Node) -> Result<Web, Reported> {
    let file = Section::open(source, String::new(), root, &WEB_FILE)?;
    let http = file.section("http_server_config", &HTTP_SERVER);
    let (http2, headers) = match &http {
        Ok(Some(http)) => (http.read("http2", boolean), headers(http)),
        Ok(None) => (Ok(None), Ok(HeaderMap::new())),
        Err(reported) => (Err(*reported), Err(*reported)),
    };
    let http2 = http2.map(|http2| http2.unwrap_or(true));
    let tls = tls::tls(&file, http2.unwrap_or(true));
    let users = users(&file);
    let rate_limit = rate_limit(&file);
    Ok(Web {
        config_file: None,
        tls: tls?,
        users: users?,
        http2: http2?,
        headers: headers?,
        rate_limit: rate_limit?,
    })
}

/// Reads `rate_limit`; `None` if its interval is 0, as in Prometheus.
fn rate_limit(file: &Section) -> Result<Option<RateLimit>, Reported> {
    let Some(section) = file.section("rate_limit", &RATE_LIMIT)? else {
        return Ok(None);
    };
    let interval = section.require("interval", |value| {
        duration_or_zero(value, MIN_RATE_INTERVAL..=DAY)
    });
    let burst = section.read("burst", |value| count(value, 0..=MAX_BURST));
    let (interval, burst) = (interval?, burst?.unwrap_or(0));
    let Some(interval) = interval else {
        return Ok(None);
    };
    if burst == 0 {
        let message = "at least 1 is needed with an interval, else every request is refused";
        return Err(section.report_value("burst", message));
    }
    Ok(Some(RateLimit { interval, burst }))
}

fn users(file: &Section) -> Result<BTreeMap<String, PasswordHash>, Reported> {
    let mut users = BTreeMap::new();
    let mut result = Ok(());
    for (path, key, value) in file.map("basic_auth_users")? {
        let read = user_name(&key.text)
            .map_err(|message| (key.position, message.to_owned()))
            .and_then(|()| {
                let hash = value.secret_text().and_then(|text| text.parse());
                hash.map_err(|message| (value.node.position, message))
            });
        match read {
            Ok(hash) => {
                users.insert(key.text.clone(), hash);
            }
            Err((position, message)) => result = Err(file.source.report(position, path, message)),
        }
    }
    result?;
    if users.is_empty()
        && let Some(position) = file.key_position("basic_auth_users")
    {
        let message = "is empty; add `user: bcrypt hash`, or remove the key";
        return Err(file.report(position, "basic_auth_users", message));
    }
    Ok(users)
}

fn headers(http: &Section) -> Result<HeaderMap, Reported> {
    let mut headers = HeaderMap::new();
    let mut result = Ok(());
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
            result = Err(http.source.report(position, path, message));
        }
    }
    result.map(|()| headers)
}

fn header_value(value: &Value) -> Result<HeaderValue, String> {
    let text = value.text()?;
    let printable = text.chars().all(|c| (' '..='~').contains(&c));
    match HeaderValue::from_str(&text) {
        Ok(header) if printable => Ok(header),
        _ => Err("not allowed in a header; expected printable ASCII".to_owned()),
    }
}
