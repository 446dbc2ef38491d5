//! Options of the HTTP transport.

use http::HeaderMap;
use url::Url;

/// Options of the HTTP transport. By default, no additional headers are sent, the system's root
/// certificates are trusted and no proxy is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// Value of the `User-Agent` header; if empty, the header is not sent.
    pub user_agent: String,
    /// Headers of every request. Mark secrets as sensitive, so that `Debug` does not print them.
    pub headers: HeaderMap,
    /// CA certificates (DER) to trust instead of the system's root certificates.
    pub ca: Option<Vec<Vec<u8>>>,
    /// Host name for TLS and for the `Host` header, instead of the host in the URL.
    pub server_name: Option<String>,
    /// HTTP proxy (`http` or `https`, without a user name). Proxies of the environment are never
    /// used.
    pub proxy: Option<Url>,
}
