//! Conditional responses: each has an `ETag` derived from its content, and clients that send it
//! back get 304.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use sha3::{Digest, Sha3_256};

use super::problem::Problem;

/// Allows caching, but requires revalidation each time.
const REVALIDATE: &str = "no-cache";

/// Responds with `value` as JSON.
pub(super) fn json(
    request_headers: &HeaderMap,
    value: &impl Serialize,
) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    json_text(request_headers, body.into())
}

/// Responds with `body`, which is JSON already.
pub(super) fn json_text(request_headers: &HeaderMap, body: Bytes) -> Result<Response, Problem> {
    tagged(request_headers, "application/json", REVALIDATE, body)
}

/// Responds with `body` and its `ETag`, or with 304 if the client has it already.
pub(in crate::web) fn tagged(
    request_headers: &HeaderMap,
    media_type: &'static str,
    cache_control: &'static str,
    body: Bytes,
) -> Result<Response, Problem> {
    // A weak tag, as the same content may be sent compressed. Half of the digest is enough to make
    // collisions infeasible.
    let digest = Sha3_256::digest(&body);
    let tag: ETag = format!("W/\"{}\"", hex::encode(&digest[..16]))
        .parse()
        .map_err(|error| Problem::internal(&error))?;
    let is_unchanged = request_headers
        .typed_get::<IfNoneMatch>()
        .is_some_and(|tags| !tags.precondition_passes(&tag));
    let mut response = if is_unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type)], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(cache_control),
    );
    headers.typed_insert(tag);
    Ok(response)
}
