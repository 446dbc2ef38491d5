//! Bytes that a peer sends on an HTTP connection: a poll ends with an answer or a failure with a
//! message.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use convex_client::{
    Attempt, ClientOptions, Endpoint, FailureReason, HttpClient, HttpOptions, Outcome, TlsSettings,
};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Separates the answer to the query from the answer to the status request.
const SEPARATOR: &[u8] = b"\n--next--\n";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static TLS: LazyLock<TlsSettings> = LazyLock::new(TlsSettings::default);

/// Sends the next answer on each connection, regardless of the request, and closes it.
async fn answer(listener: TcpListener, answers: Vec<&[u8]>) {
    for answer in answers.iter().cycle() {
        let Ok((mut connection, _)) = listener.accept().await else { return };
        let request = connection.read(&mut [0; 4096]).await;
        if request.is_ok() && connection.write_all(answer).await.is_ok() {
            drop(connection.shutdown().await);
        }
    }
}

async fn poll(bytes: &[u8]) -> (Attempt, Outcome) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let endpoint = Endpoint::parse(&url).expect("an endpoint");
    let middle = bytes.windows(SEPARATOR.len()).position(|at| at == SEPARATOR);
    let answers = match middle {
        Some(at) => vec![&bytes[..at], &bytes[at + SEPARATOR.len()..]],
        None => vec![bytes],
    };
    let options = ClientOptions { max_response_bytes: 1 << 16, ..ClientOptions::default() };
    let mut client = HttpClient::new(&endpoint, &options, &HttpOptions::default(), &TLS);
    // The peer closes every connection, so only a bug reaches the deadline.
    let deadline = Instant::now() + Duration::from_secs(20);
    tokio::select! {
        ended = client.poll(deadline) => ended,
        () = answer(listener, answers) => unreachable!("it never stops answering"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (attempt, outcome) = RUNTIME.block_on(poll(bytes));
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
