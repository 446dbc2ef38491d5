//! What a peer says over HTTP, as bytes on the connection: a poll ends with figures, or with a failure that says why.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use convex_peer_monitor::config::HttpOptions;
use convex_peer_monitor::peer::{Endpoint, Exchange, HttpClient, HttpClients, Reason};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Stands between what answers the query and what answers the status.
const NEXT: &[u8] = b"\n--next--\n";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static CLIENTS: LazyLock<Arc<HttpClients>> = LazyLock::new(Arc::default);

const INTERVAL: Duration = Duration::from_secs(15);

/// Answers each connection with the next answer, whatever is asked, and closes it.
async fn answer(listener: TcpListener, answers: Vec<&[u8]>) {
    for answer in answers.iter().cycle() {
        let Ok((mut connection, _)) = listener.accept().await else { return };
        let asked = connection.read(&mut [0; 4096]).await;
        if asked.is_ok() && connection.write_all(answer).await.is_ok() {
            drop(connection.shutdown().await);
        }
    }
}

async fn poll(said: &[u8]) -> (Exchange, Option<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let endpoint = Endpoint::parse(&url).expect("an endpoint");
    let middle = said.windows(NEXT.len()).position(|at| at == NEXT);
    let answers = match middle {
        Some(at) => vec![&said[..at], &said[at + NEXT.len()..]],
        None => vec![said],
    };
    let mut client =
        HttpClient::new(&endpoint, &HttpOptions::default(), None, INTERVAL, 1 << 16, &CLIENTS);
    // Everybody hangs up at the end, so only a bug lets it pass.
    let deadline = Instant::now() + Duration::from_secs(20);
    tokio::select! {
        exchange = client.ask(deadline) => (exchange, client.rest()),
        () = answer(listener, answers) => unreachable!("it answers for ever"),
    }
}

fuzz_target!(|said: &[u8]| {
    let (exchange, rest) = RUNTIME.block_on(poll(said));
    assert!(rest.is_none_or(|rest| rest <= INTERVAL * 20), "a peer asks to rest for {rest:?}");
    match &exchange.failure {
        None => assert!(exchange.query.is_some() && exchange.took.is_some()),
        Some(failure) => {
            assert!(!failure.message.is_empty() && failure.message.len() < 2000, "{failure:?}");
            assert!(!matches!(failure.reason, Reason::Timeout | Reason::Monitor), "{failure:?}");
        }
    }
    if let Some(answered) = exchange.query {
        assert!(answered.value.is_ok() || exchange.api.is_some());
    }
});
