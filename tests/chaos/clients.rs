//! Scrapers that never read.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::aftermath::{Before, all_polled};
use super::agent::Agent;
use super::network::Network;
use super::until;

const PEERS: usize = 20;

const SCRAPERS: usize = 200;

/// Requests the metrics repeatedly and reads nothing.
pub(crate) async fn scraper(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(50);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn scrapers_that_never_read_are_disconnected_and_leak_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let mut agent = Agent::start(dir.path(), &network.config()).await;
    all_polled(&agent, PEERS).await;
    // The C library keeps freed memory for reuse, so only a second round shows a leak.
    scrapers_connect_and_are_disconnected(&agent).await;
    let before = Before::fault(&agent, PEERS).await;
    scrapers_connect_and_are_disconnected(&agent).await;
    before
        .restored(&mut agent, "200 scrapers that never read, a second time")
        .await;
}

async fn scrapers_connect_and_are_disconnected(agent: &Agent) {
    let mut scrapers = Vec::new();
    for _ in 0..SCRAPERS {
        scrapers.push(scraper(agent.address).await);
    }
    until("all scrapers are connected", async || {
        agent.resources().descriptors > SCRAPERS
    })
    .await;
    assert!(agent.is_healthy().await);
    until(
        "other clients are answered, and all peers are up",
        async || agent.peers_up().await == PEERS,
    )
    .await;
    until("all scrapers are disconnected", async || {
        agent.resources().descriptors < SCRAPERS
    })
    .await;
    drop(scrapers);
}
