//! A webhook receiver on loopback that returns deliveries in the order of arrival.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A webhook receiver. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Delivery>,
    serving: JoinHandle<()>,
}

/// A request that arrived.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Receiver name in the URL.
    pub(crate) to: String,
    /// When it arrived.
    pub(crate) at: Instant,
    pub(crate) body: Value,
}

/// Body of a webhook request from Alertmanager.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notification {
    pub(crate) group_labels: BTreeMap<String, String>,
    pub(crate) alerts: Vec<Alert>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Alert {
    /// `firing` or `resolved`.
    pub(crate) status: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) starts_at: String,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a receiver at the given address.
    pub(crate) async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (deliver, arrived) = mpsc::unbounded_channel();
        let app = axum::Router::new()
            .route("/{to}", post(take))
            .with_state(deliver);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("the receiver ended: {error}");
            }
        });
        Ok(Self {
            address,
            arrived,
            serving,
        })
    }

    /// Returns the URL for the receiver `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Returns the next delivery, waiting for it if necessary.
    pub(crate) async fn next(&mut self) -> Delivery {
        let next = self.arrived.recv().await;
        next.expect("the sender lives as long as this receiver")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Delivery {
    /// Parses the body as a notification from Alertmanager.
    pub(crate) fn notification(&self) -> serde_json::Result<Notification> {
        Notification::deserialize(&self.body)
    }
}

impl Alert {
    pub(crate) fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.status == "firing"
    }
}

async fn take(
    State(deliver): State<mpsc::UnboundedSender<Delivery>>,
    Path(to): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    let at = Instant::now();
    match deliver.send(Delivery { to, at, body }) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
