//! The agent's HTTP server: metrics, pages, the API and health checks. Reads snapshots; the only
//! changes it can cause are a reload, a poll, and what operators say about alerts and peers.

mod api;
mod listener;
mod metrics;
mod negotiation;
mod operator;
mod pages;
mod peer_names;
mod prefix;
mod registered;
mod security_headers;
pub mod status;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::alerting::OperatorActions;
use crate::config::active::ActiveConfig;
use crate::config::render;
use crate::config::shard::Shard;
use crate::fleet::Fleet;
use crate::history::History;
use crate::poller::PeerCommands;
use crate::supervisor::liveness::Liveness;

use listener::authentication::{Authenticator, Refusal, require_authentication};
use listener::authorization::require_write_access;
use listener::connection::ConnectionContext;
use listener::log_limit::limited;
use pages::Pages;

pub use listener::Listener;
pub use status::StatusServer;

/// Requests that the agent reload its configuration; the reply is the errors, if any.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What the routes share.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The watched peers and networks.
    pub fleet: Arc<Fleet>,
    /// The history of the peers.
    pub history: Arc<History>,
    /// Sends commands to the tasks that poll the peers.
    pub commands: Arc<PeerCommands>,
    /// What operators say about alerts and peers.
    pub actions: OperatorActions,
    /// Whether the loops of the agent turn.
    pub liveness: Liveness,
    /// The active configuration.
    pub active_config: Arc<ActiveConfig>,
    /// Metrics of the agent itself.
    pub registry: Registry,
    /// The part of the fleet that this agent polls.
    pub shard: Shard,
    /// Where reload requests are sent.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// Ends event streams and the server.
    pub stop: CancellationToken,
    /// The path of `external_url`, without a trailing slash. Fixed at startup.
    pub prefix: Arc<str>,
    /// The file that the configuration is loaded from; `None` stands for the built-in default.
    pub config_file: Option<PathBuf>,
}

/// The routes of the agent, ready to be served.
pub struct Server(ConnectionContext);

/// Answers that are compressed: also event streams, whose encoder is flushed with each event.
fn compressible() -> impl Predicate {
    SizeAbove::default().and(NotForContentType::IMAGES)
}

impl Server {
    /// Builds all routes, and the listener's TLS and passwords; `is_local` says whether only this
    /// host can connect. Event streams end with `state.stop`.
    #[must_use]
    pub fn new(state: AppState, is_local: bool) -> Self {
        let (prefix, stop) = (Arc::clone(&state.prefix), state.stop.clone());
        let authenticator = Arc::new(Authenticator::new(
            Arc::clone(&state.active_config),
            is_local,
            Arc::clone(&prefix),
            refusal_response,
        ));
        let other_routes = operation_routes(&state).merge(api::router(&state, stop.clone()));
        let pages = Pages::new(state);
        let routes = pages::routes(&pages, other_routes.clone()).merge(other_routes);
        let app = prefix::with_prefix(routes, prefix)
            .layer(CompressionLayer::new().compress_when(compressible()))
            .layer(axum::middleware::from_fn_with_state(
                Arc::clone(&authenticator),
                require_authentication,
            ))
            .layer(axum::middleware::map_response(
                security_headers::add_security_headers,
            ));
        Self(ConnectionContext {
            app,
            authenticator,
            stop,
        })
    }

    /// Serves until `state.stop`, then until the requests in progress are answered.
    pub async fn serve(self, listener: Listener) {
        listener::serve(listener, self.0).await;
    }
}

/// The routes for operating the agent: metrics, configuration, reload and health checks.
fn operation_routes(state: &AppState) -> Router {
    let write_routes = Router::new()
        .route("/-/reload", post(reload))
        .layer(axum::middleware::from_fn(require_write_access));
    let metrics = Router::new()
        .route("/metrics", get(metrics::metrics))
        .with_state(metrics::SharedExposition::new(state.clone()));
    Router::new()
        .route("/config", get(config))
        .route("/-/healthy", get(healthy))
        // Always ready: the listener is bound only after the configuration is loaded.
        .route("/-/ready", get(|| async { "ready\n" }))
        .merge(write_routes)
        .with_state(state.clone())
        .merge(metrics)
}

/// `GET /-/healthy`: names stuck parts, but no peer, because it needs no password.
async fn healthy(State(state): State<AppState>) -> Response {
    let stuck = state.liveness.stuck();
    if stuck.is_empty() {
        return "healthy\n".into_response();
    }
    let parts: Vec<String> = stuck.iter().map(ToString::to_string).collect();
    let text = format!("stuck: {}; the log says which task\n", parts.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// `GET /config`
async fn config(State(state): State<AppState>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/yaml")],
        render(&state.active_config.get().config),
    )
        .into_response()
}

/// `POST /-/reload`
async fn reload(State(state): State<AppState>) -> Response {
    let (reply, result) = oneshot::channel();
    if state.reloads.send(reply).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n").into_response();
    }
    match result.await {
        Ok(Ok(())) => "reloaded\n".into_response(),
        Ok(Err(errors)) => (StatusCode::BAD_REQUEST, errors + "\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n").into_response(),
    }
}

/// Formats a refusal as a problem document for the API, else as plain text.
fn refusal_response(path: &str, refusal: Refusal) -> Response {
    if path.contains("/api/") {
        return api::refusal_response(refusal);
    }
    let mut response = (refusal.status, format!("{}\n", refusal.reason)).into_response();
    if let Some(wait) = refusal.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, wait.as_secs().into());
    }
    response
}

fn internal_error(error: &dyn std::fmt::Display) -> Response {
    limited!(error, %error, "cannot answer a request");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error; see the agent's log\n",
    )
        .into_response()
}
