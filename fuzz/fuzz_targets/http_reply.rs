//! What a peer says over HTTP, as bytes on the connection: a poll ends with figures, or with a failure that says why.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use convex_client::{
    Attempt, ClientOptions, Endpoint, FailureReason, HttpClient, HttpClients, HttpOptions, Outcome,
};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Stands between what answers the query and what answers the status.
const NEXT: &[u8] = b"\n--next--\n";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static CLIENTS: LazyLock<HttpClients> = LazyLock::new(HttpClients::default);

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

async fn poll(said: &[u8]) -> (Attempt, Outcome) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let endpoint = Endpoint::parse(&url).expect("an endpoint");
    let middle = said.windows(NEXT.len()).position(|at| at == NEXT);
    let answers = match middle {
        Some(at) => vec![&said[..at], &said[at + NEXT.len()..]],
        None => vec![said],
    };
    let options = ClientOptions { max_response_bytes: 1 << 16, ..ClientOptions::default() };
    let mut client = HttpClient::new(&endpoint, &options, &HttpOptions::default(), &CLIENTS);
    // Everybody hangs up at the end, so only a bug lets it pass.
    let deadline = Instant::now() + Duration::from_secs(20);
    tokio::select! {
        ended = client.poll(deadline) => ended,
        () = answer(listener, answers) => unreachable!("it answers for ever"),
    }
}

fuzz_target!(|said: &[u8]| {
    let (attempt, outcome) = RUNTIME.block_on(poll(said));
    match outcome {
        Ok(_) => assert!(attempt.query.is_some()),
        Err(failure) => {
            assert!(!failure.message.is_empty() && failure.message.len() < 2000, "{failure:?}");
            assert!(!matches!(failure.reason, FailureReason::Timeout | FailureReason::Local), "{failure:?}");
        }
    }
    if let Some(answered) = attempt.query {
        assert!(answered.value.is_ok() || attempt.api.is_some());
    }
});
