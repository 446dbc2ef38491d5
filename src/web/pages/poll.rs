//! "Poll now" for a browser without JavaScript: a form that is sent to the API, and back to the peer's page.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use tower::ServiceExt;

use crate::web::listener::guard::Caller;

use super::{Pages, address, message};

/// What of a refusal is shown, bytes.
const REFUSAL_BYTES: usize = 4096;

/// `POST /peers/{name}/poll`: asks `api` for a poll as its own users do, with the same headers, so that who may ask is decided
/// there; then leads back to the page.
pub(super) fn route(api: Router) -> MethodRouter<Pages> {
    post(
        move |State(pages): State<Pages>, Path(name): Path<String>, request: Request| {
            forward(api.clone(), pages, name, request)
        },
    )
}

async fn forward(api: Router, pages: Pages, name: String, mut request: Request) -> Response {
    let site = &pages.site;
    let page = address(site, &name);
    let under_api = format!("/api/v1{}/poll", page.trim_start_matches(&*site.prefix));
    let Ok(uri) = under_api.parse::<Uri>() else {
        return message(site, StatusCode::NOT_FOUND, "There is no such peer.");
    };
    *request.uri_mut() = uri;
    // What this route's path was made of is nothing of the other's; who asks is.
    let caller = request.extensions().get::<Caller>().copied();
    request.extensions_mut().clear();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let answer = match api.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    if answer.status().is_success() {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response();
    }
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), REFUSAL_BYTES)
        .await
        .unwrap_or_default();
    let why = match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => refusal.detail,
        Err(_) => status.to_string(),
    };
    let text = format!(
        "The peer was not polled: {}",
        crate::web::pages::format::visible(&why)
    );
    message(site, status, &text)
}

/// What of the API's refusals is shown.
#[derive(Deserialize)]
struct Refusal {
    detail: String,
}
