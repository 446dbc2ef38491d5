//! The agent's own HTTP server: metrics, the page, the API, health. Reads snapshots; changes nothing but by a reload or a poll
//! that is asked for.

mod answer;
mod api;
mod listener;
mod pages;
mod runbook;
mod scrape;
mod security;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::config::active::ActiveConfig;
use crate::config::render;
use crate::config::shard::Shard;
use crate::fleet::Fleet;
use crate::history::History;

use listener::connection::Routes;
use listener::gate::{self, Gate};
use listener::guard;
use pages::{Pages, Streams};

/// Asks the agent to load its configuration again; the answer says what was wrong.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What the routes work with.
#[derive(Clone, Debug)]
pub struct Site {
    /// Who is watched.
    pub fleet: Arc<Fleet>,
    /// What was.
    pub history: Arc<History>,
    /// The configuration in force.
    pub current: Arc<ActiveConfig>,
    /// AgentMetrics of the agent.
    pub registry: Registry,
    /// This agent's part of the fleet.
    pub shard: Shard,
    /// Where reloads are asked for.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// Ends what would never end by itself.
    pub stop: CancellationToken,
    /// The path that the routes stand under, without a slash at its end: fixed at the start.
    pub prefix: Arc<str>,
}

/// Serves until `stop`, then until the requests under way are answered.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    site: Site,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let prefix = Arc::clone(&site.prefix);
    let gate = Gate::new(Arc::clone(&site.current), loopback, Arc::clone(&prefix));
    let gate = Arc::new(gate);
    let rest = others(&site).merge(api::router(&site, stop.clone()));
    let pages = Pages {
        site,
        streams: Streams::default(),
    };
    let routes = pages::routes(&pages, rest.clone()).merge(rest);
    let mut app = routes.clone();
    if !prefix.is_empty() {
        // A proxy in front may take the prefix off or leave it on: both work.
        app = Router::new()
            .route(&format!("{prefix}/"), get(pages::fleet))
            .with_state(pages.clone())
            .nest(&prefix, routes)
            .merge(app);
    }
    let app = app
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&gate),
            gate::pass,
        ))
        .layer(axum::middleware::map_response(security::headers));
    listener::serve(listener, Routes { app, gate, stop }).await;
    Ok(())
}

/// What is neither a page nor the API.
fn others(site: &Site) -> Router {
    let changing = Router::new()
        .route("/-/reload", post(reload))
        .layer(axum::middleware::from_fn(guard::changes));
    let metrics = Router::new()
        .route("/metrics", get(scrape::metrics))
        .with_state(scrape::Scrapes::new(site.clone()));
    Router::new()
        .route("/runbooks/", get(runbook::runbooks))
        .route("/runbooks/{alert}", get(runbook::runbook))
        .route("/config", get(config))
        .route("/-/healthy", get(|| async { "the event loop lives\n" }))
        // Bound and configured before the first request can come; no peer can make it fail.
        .route("/-/ready", get(|| async { "ready\n" }))
        .merge(changing)
        .with_state(site.clone())
        .merge(metrics)
}

async fn config(State(site): State<Site>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/yaml")],
        render(&site.current.get().config),
    )
        .into_response()
}

async fn reload(State(site): State<Site>) -> Response {
    let (answer, answered) = oneshot::channel();
    if site.reloads.send(answer).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n").into_response();
    }
    match answered.await {
        Ok(Ok(())) => "reloaded\n".into_response(),
        Ok(Err(errors)) => (StatusCode::BAD_REQUEST, errors + "\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n").into_response(),
    }
}

fn internal(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a request could not be answered");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error; the agent's log says more\n",
    )
        .into_response()
}
