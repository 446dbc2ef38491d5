//! Security headers of every response: which scripts and styles a browser may load, and that no
//! other site may frame the pages.

use axum::http::{HeaderValue, header};
use axum::response::Response;

/// Allows only files that this agent serves, and nothing inline, so injected scripts and styles
/// cannot run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the security headers, except those that the configuration sets.
pub(super) async fn add_security_headers(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Hides the pages' URLs from other sites. With `no-referrer` browsers would send
        // `Origin: null` with this agent's own forms.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
