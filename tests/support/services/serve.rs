//! Serves a stand-in over HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use tokio::net::TcpListener;

use super::{Call, StandIn};

/// A stand-in that is served.
pub type Shared = Arc<Mutex<StandIn>>;

/// Serves a stand-in until the runtime ends.
pub fn serve(listener: TcpListener, service: Shared) {
    let app = Router::new().fallback(take).with_state(service);
    tokio::spawn(async move { axum::serve(listener, app).await });
}

async fn take(
    State(service): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let authorization = headers.get(header::AUTHORIZATION);
    let call = Call {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        authorization: authorization.and_then(|it| Some(it.to_str().ok()?.to_owned())),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = service.handle(&call);
    let headers = reply
        .headers
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), value.parse().ok()?)));
    let status = StatusCode::from_u16(reply.status).unwrap_or_default();
    (status, headers.collect(), reply.body)
}
