//! The path of `external_url`, with which every route is reached too: a proxy in front may strip it
//! or leave it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use tower::Layer;
use tower::util::MapRequestLayer;

/// Returns `routes` also below `prefix`. It is no part of a route, as it may contain what means
/// something there.
pub(super) fn with_prefix(routes: Router, prefix: Arc<str>) -> Router {
    if prefix.is_empty() {
        return routes;
    }
    let strip = MapRequestLayer::new(move |mut request: Request| {
        if let Some(uri) = without_prefix(request.uri(), &prefix) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(strip.layer(routes))
}

/// Returns `uri` without the prefix; `None` if it does not begin with it.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let path = uri.path().strip_prefix(prefix)?;
    let path = match path {
        "" => "/",
        _ if path.starts_with('/') => path,
        _ => return None,
    };
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_segment_is_a_prefix() {
        for (uri, expected) in [
            ("/convex", Some("/")),
            ("/convex/", Some("/")),
            ("/convex?q=1", Some("/?q=1")),
            ("/convex/peers/a?x", Some("/peers/a?x")),
            ("http://h:1/convex/metrics", Some("http://h:1/metrics")),
            ("/convexity/metrics", None),
            ("/metrics", None),
            ("/a/convex/metrics", None),
        ] {
            let stripped = without_prefix(&uri.parse().unwrap(), "/convex");
            let stripped = stripped.map(|uri| uri.to_string());
            assert_eq!(stripped.as_deref(), expected, "{uri}");
        }
    }
}
