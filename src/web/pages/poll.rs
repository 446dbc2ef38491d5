//! The "Poll now" form of a peer's page: forwards to the API, then redirects back to the page.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use tower::ServiceExt;

use crate::web::listener::authorization::Caller;

use super::format::sanitize;
use super::{Pages, message, peer_path};

/// Maximum size of an error response from the API, in bytes.
const MAX_PROBLEM_BYTES: usize = 4096;

/// `POST /peers/{name}/poll`
///
/// Forwards the request to `api` with its headers and caller, so that the API authorizes it.
pub(super) fn route(api: Router) -> MethodRouter<Pages> {
    post(
        move |State(pages): State<Pages>, Path(name): Path<String>, request: Request| {
            forward(api.clone(), pages, name, request)
        },
    )
}

async fn forward(api: Router, pages: Pages, name: String, mut request: Request) -> Response {
    let state = &pages.state;
    let page = peer_path(state, &name);
    let path = page.strip_prefix(&*state.prefix).unwrap_or(&page);
    let api_path = format!("/api/v1{path}/poll");
    let Ok(uri) = api_path.parse::<Uri>() else {
        return message(state, StatusCode::NOT_FOUND, "There is no such peer.");
    };
    *request.uri_mut() = uri;
    // The extensions hold this route's path parameters, which must not reach the API; the caller
    // must.
    let caller = request.extensions().get::<Caller>().copied();
    request.extensions_mut().clear();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let response = match api.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.status().is_success() {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response();
    }
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), MAX_PROBLEM_BYTES)
        .await
        .unwrap_or_default();
    let reason = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => problem.detail,
        Err(_) => status.to_string(),
    };
    let text = format!("The peer was not polled: {}", sanitize(&reason));
    message(state, status, &text)
}

/// The part of a problem document that is shown.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}
