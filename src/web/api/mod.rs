//! What scripts ask: peers, networks, history and events as JSON, polls at once, badges; and the description of it all, which is
//! made of the same types and routes.

#![allow(
    unused_qualifications,
    reason = "what utoipa derives repeats the paths of the types"
)]

mod badge;
mod conditional;
mod events;
mod history;
mod networks;
mod openapi;
mod parameters;
mod peers;
mod poll;
mod polls;
mod problem;
mod transcripts;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::fleet::{Fleet, PeerRecord, Slot};
use crate::history::History;

use super::Site;
use events::STREAMS;
use problem::Problem;

/// What the routes work with.
#[derive(Clone, Debug)]
struct Api {
    fleet: Arc<Fleet>,
    history: Arc<History>,
    /// One permit for each stream of events.
    streams: Arc<Semaphore>,
    /// Ends the streams.
    stop: CancellationToken,
    /// The description of the routes, as JSON.
    description: Bytes,
}

/// The routes of the API. Streams end with `stop`.
pub(super) fn router(site: &Site, stop: CancellationToken) -> Router {
    let (routes, description) = routes().split_for_parts();
    let api = Api {
        fleet: Arc::clone(&site.fleet),
        history: Arc::clone(&site.history),
        streams: Arc::new(Semaphore::new(STREAMS)),
        stop,
        description: openapi::told(description, &site.prefix).into(),
    };
    routes
        // The name of the file is one part of the path: a route cannot take a piece of it.
        .route("/badge/{file}", get(badge::badge))
        .method_not_allowed_fallback(async |uri: Uri| {
            Problem::bad_method(format!(
                "{} has no such method; the Allow header names those that it has",
                uri.path()
            ))
        })
        .route("/api/{*rest}", any(unknown))
        .with_state(api)
}

fn routes() -> OpenApiRouter<Api> {
    let guarded = OpenApiRouter::new()
        .routes(routes!(poll::poll))
        .route_layer(axum::middleware::from_fn(poll::changes));
    OpenApiRouter::with_openapi(openapi::about())
        .routes(routes!(peers::peers))
        .routes(routes!(peers::peer))
        .routes(routes!(history::history))
        .routes(routes!(polls::polls))
        .routes(routes!(transcripts::transcripts))
        .routes(routes!(networks::networks))
        .routes(routes!(networks::network))
        .routes(routes!(events::events))
        .routes(routes!(openapi::openapi))
        .merge(guarded)
}

impl Api {
    fn slot(&self, peer: &str) -> Result<Arc<Slot>, Problem> {
        let slots = self.fleet.slots();
        let found = slots.into_iter().find(|slot| {
            let watched = slot.peer();
            watched.name == peer && watched.sampled.is_none()
        });
        found.ok_or_else(|| Problem::no_peer(peer))
    }

    /// What is known of a peer now.
    fn record(&self, peer: &str) -> Result<Arc<PeerRecord>, Problem> {
        Ok(self.slot(peer)?.record())
    }
}

/// The answer to who is not known.
pub(super) fn unauthorized(why: &str) -> Response {
    Problem::unauthorized(why).into_response()
}

/// The answer to who is not looked at.
pub(super) fn busy(wait: Duration, why: &str) -> Response {
    Problem::unavailable(wait, why).into_response()
}

/// The answer to a request that is longer than any may be.
pub(super) fn too_large(why: String) -> Response {
    Problem::too_large(why).into_response()
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "{} does not exist; /api/v1/openapi.json describes what does",
        uri.path()
    ))
}
