//! The listener of the status page. It serves the files of the page and nothing else: it shares no
//! route with the agent's own listener.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tower_http::compression::CompressionLayer;

use crate::web::api::conditional::tagged;
use crate::web::listener::authentication::Authenticator;
use crate::web::listener::connection::ConnectionContext;
use crate::web::{AppState, Listener, compressible, internal_error, listener, refusal_response};

use super::collect::StatusSource;
use super::page::{File, render};

/// How long the files are served before they are made again.
const MAX_AGE: Duration = Duration::from_secs(15);

/// As that, for browsers and proxies.
const CACHE_CONTROL: &str = "public, max-age=15";

/// No script, nothing inline, nothing from elsewhere. The logo is the only `data:` URL.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The listener of the status page, ready to serve.
pub struct StatusServer(ConnectionContext);

/// The files of the page, shared by all requests.
#[derive(Clone)]
struct Site {
    source: StatusSource,
    built: Arc<Mutex<Option<Built>>>,
}

struct Built {
    at: Instant,
    /// By path; none while no page is configured.
    files: Arc<HashMap<String, (&'static str, Bytes)>>,
}

impl StatusServer {
    /// Prepares to serve the page of this agent with the TLS of its own listener, without
    /// passwords.
    #[must_use]
    pub fn new(state: &AppState, is_local: bool) -> Self {
        let site = Site {
            source: StatusSource::new(state),
            built: Arc::default(),
        };
        let app = Router::new()
            .fallback_service(get(file).with_state(site))
            .layer(CompressionLayer::new().compress_when(compressible()))
            .layer(axum::middleware::map_response(add_headers));
        let authenticator = Authenticator::new(
            Arc::clone(&state.active_config),
            is_local,
            "".into(),
            refusal_response,
        );
        Self(ConnectionContext {
            app,
            authenticator: Arc::new(authenticator),
            stop: state.stop.clone(),
        })
    }

    /// Serves until the agent stops.
    pub async fn serve(self, listener: Listener) {
        listener::serve_public(listener, self.0).await;
    }
}

/// `GET` of a file.
async fn file(State(site): State<Site>, headers: HeaderMap, uri: Uri) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let files = match site.files().await {
        Ok(files) => files,
        Err(error) => return internal_error(&error),
    };
    match files.get(path) {
        Some((media_type, content)) => {
            tagged(&headers, media_type, CACHE_CONTROL, content.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
    }
}

impl Site {
    /// Returns the files, at most [`MAX_AGE`] old. Whoever comes first makes them for all.
    async fn files(&self) -> Result<Arc<HashMap<String, (&'static str, Bytes)>>, String> {
        let mut built = self.built.lock().await;
        if let Some(built) = &*built
            && built.at.elapsed() < MAX_AGE
        {
            return Ok(Arc::clone(&built.files));
        }
        let files = match self.source.status().await {
            Some(status) => {
                // Drawing many peers takes too long for the threads that poll.
                let drawn = tokio::task::spawn_blocking(move || render(&status)).await;
                let drawn = drawn.map_err(|error| error.to_string())?;
                drawn.map_err(|error| error.to_string())?
            }
            None => Vec::new(),
        };
        let files = files.into_iter().map(
            |File {
                 path,
                 media_type,
                 content,
             }| (path, (media_type, content.into())),
        );
        let files = Arc::new(files.collect());
        *built = Some(Built {
            at: Instant::now(),
            files: Arc::clone(&files),
        });
        Ok(files)
    }
}

async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
