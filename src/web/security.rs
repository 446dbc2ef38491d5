//! What every answer tells a browser: whose scripts and styles it may use, and who may show it.

use axum::http::{HeaderValue, header};
use axum::response::Response;

/// Nothing but what this agent serves, and nothing written into a page: no script and no style of a stranger's text can run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the headers, except those that the configuration has set.
pub(super) async fn headers(mut answer: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing to others. With `no-referrer` a browser would not say either that a form comes from this very page.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        answer
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    answer
}
