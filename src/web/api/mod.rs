//! The JSON API: peers, networks, alerts, history, events, immediate polls and badges, with a
//! description that is generated from the same types and routes.

#![allow(
    unused_qualifications,
    reason = "the code that utoipa derives repeats the paths of types"
)]

mod actions;
mod alerts;
pub(super) mod badge;
mod canary;
pub(super) mod conditional;
mod events;
mod history;
mod networks;
mod openapi;
mod opinion;
mod parameters;
mod peers;
mod poll;
mod polls;
pub(super) mod problem;
mod status;
mod transcripts;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::alerting::OperatorActions;
use crate::fleet::peer_json::PeerJson;
use crate::fleet::{Fleet, PeerConsensus, PeerRecord, Snapshot};
use crate::history::History;
use crate::poller::PeerCommands;

use super::AppState;
use super::listener::authentication::Refusal;
use super::status::StatusSource;
use events::MAX_STREAMS;
use problem::Problem;

/// What the routes share.
#[derive(Clone, Debug)]
struct Api {
    fleet: Arc<Fleet>,
    history: Arc<History>,
    commands: Arc<PeerCommands>,
    actions: OperatorActions,
    status: StatusSource,
    /// One permit for each event stream.
    streams: Arc<Semaphore>,
    /// Ends event streams.
    stop: CancellationToken,
    /// The content of `/api/v1/openapi.json`.
    description: Bytes,
}

/// Returns the routes of the API. Event streams end with `stop`.
pub(super) fn router(state: &AppState, stop: CancellationToken) -> Router {
    let (routes, description) = routes().split_for_parts();
    let api = Api {
        fleet: Arc::clone(&state.fleet),
        history: Arc::clone(&state.history),
        commands: Arc::clone(&state.commands),
        actions: state.actions.clone(),
        status: StatusSource::new(state),
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        stop,
        description: openapi::to_json(description, &state.prefix).into(),
    };
    routes
        // A route parameter is a whole path segment, so the handler splits off `.svg`.
        .route("/badge/{file}", get(badge::badge))
        .method_not_allowed_fallback(async |uri: Uri| {
            Problem::method_not_allowed(format!(
                "{} does not support this method; see the Allow header",
                uri.path()
            ))
        })
        .route("/api/{*rest}", any(not_found))
        .with_state(api)
}

fn routes() -> OpenApiRouter<Api> {
    let write_routes = OpenApiRouter::new()
        .routes(routes!(poll::poll))
        .routes(routes!(actions::begin))
        .routes(routes!(actions::end))
        .routes(routes!(status::set_note, status::remove_note))
        .route_layer(axum::middleware::from_fn(poll::require_write_access));
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(peers::peers))
        .routes(routes!(peers::peer))
        .routes(routes!(history::history))
        .routes(routes!(polls::polls))
        .routes(routes!(transcripts::transcripts))
        .routes(routes!(networks::networks))
        .routes(routes!(networks::network))
        .routes(routes!(networks::agreement::agreement))
        .routes(routes!(opinion::opinion))
        .routes(routes!(alerts::alerts))
        .routes(routes!(actions::actions))
        .routes(routes!(events::events))
        .routes(routes!(status::status))
        .routes(routes!(status::incidents))
        .routes(routes!(openapi::openapi))
        .merge(write_routes)
}

impl Api {
    /// Returns the current state of a peer of this shard; those of other shards are only sampled,
    /// and not served.
    fn record(&self, peer: &str) -> Result<Arc<PeerRecord>, Problem> {
        let records = self.fleet.slots().into_iter().map(|slot| slot.record());
        let mut own = records.filter(|record| record.peer.sampled.is_none());
        own.find(|record| record.peer.name == peer)
            .ok_or_else(|| Problem::no_peer(peer))
    }
}

/// Returns the state of a peer of this shard with all that its network says about it.
fn peer_json<'a>(name: &str, snapshot: &'a Snapshot) -> Result<PeerJson<'a>, Problem> {
    let mut peers = snapshot.peers.iter();
    let record = peers
        .find(|record| record.peer.name == name)
        .ok_or_else(|| Problem::no_peer(name))?;
    let report = PeerJson::new(record, snapshot.now, snapshot.wall).with_opinions(record, snapshot);
    let mut networks = snapshot.networks.iter();
    Ok(
        match networks.find(|network| network.name == record.peer.network) {
            Some(network) => {
                report.with_consensus(PeerConsensus::new(record, &network.verdict.consensus))
            }
            None => report,
        },
    )
}

/// Formats the listener's refusal of a request as a problem document.
pub(super) fn refusal_response(refusal: Refusal) -> Response {
    Problem::from(refusal).into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "no route {}; /api/v1/openapi.json describes all of them",
        uri.path()
    ))
}
