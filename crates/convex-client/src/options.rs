//! How HTTP endpoints are asked: what is sent, what is trusted, and the way there.

use http::HeaderMap;
use url::Url;

/// Options of the HTTP transport. The default sends no headers of its own, trusts the system's roots and uses no proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// The `User-Agent` header; none is sent when this is empty.
    pub user_agent: String,
    /// Sent with every request. Mark secrets as sensitive, so that they are not printed.
    pub headers: HeaderMap,
    /// Certificates (DER) trusted instead of the system's roots.
    pub ca: Option<Vec<Vec<u8>>>,
    /// The name asked for and verified in TLS instead of the URL's host.
    pub server_name: Option<String>,
    /// An HTTP proxy (`http` or `https`, no userinfo); the environment's proxies are never used.
    pub proxy: Option<Url>,
}
