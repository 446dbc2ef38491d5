//! Answers that a client may have already: each has a tag made of its content, and who names that tag gets 304.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use sha3::{Digest, Sha3_256};

use super::problem::Problem;

/// An answer may be kept, but has to be asked for each time.
const ASK_EACH_TIME: &str = "no-cache";

/// `value` as JSON.
pub(super) fn json(asked: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    json_text(asked, body.into())
}

/// What is JSON already.
pub(super) fn json_text(asked: &HeaderMap, body: Bytes) -> Result<Response, Problem> {
    tagged(asked, "application/json", ASK_EACH_TIME, body)
}

/// `body` with its tag, or 304 without it.
pub(super) fn tagged(
    asked: &HeaderMap,
    media_type: &'static str,
    caching: &'static str,
    body: Bytes,
) -> Result<Response, Problem> {
    // A weak tag: the same content may come compressed. Half of the digest is enough against chance and malice.
    let digest = Sha3_256::digest(&body);
    let tag: ETag = format!("W/\"{}\"", hex::encode(&digest[..16]))
        .parse()
        .map_err(|error| Problem::internal(&error))?;
    let fresh = asked
        .typed_get::<IfNoneMatch>()
        .is_some_and(|known| !known.precondition_passes(&tag));
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type)], body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.typed_insert(tag);
    Ok(response)
}
