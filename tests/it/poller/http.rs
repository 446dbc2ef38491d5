//! The HTTP transport: headers, proxies, versions and `Retry-After`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cad3::{Cell, encode_message};
use convex_client::FailureReason;
use convex_peer_monitor::failure::Reason;
use convex_peer_monitor::poller::Prober;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::support::contract::{peer, prober, verdict};
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::pass;
use crate::support::tls::acceptor;

#[tokio::test]
async fn headers_and_bearer_token_are_sent_with_every_request() {
    let fake = FakePeer::start(Script::default()).await;
    let mut peer = peer(&[&format!("http://{}", fake.http)]);
    peer.http
        .headers
        .insert("x-key", HeaderValue::from_static("abc"));
    peer.http.bearer_token = Some("s3cret".into());
    assert_eq!(prober(&peer).poll().await.endpoints[0].failure, None);
    let heads = fake.heads();
    assert_eq!(heads.len(), 2, "the query, then the status");
    for head in heads {
        for line in [
            "x-key: abc",
            "authorization: bearer s3cret",
            "accept: application/cvx-raw",
        ] {
            assert!(
                head.lines().any(|found| found == line),
                "{line} is not in {head}"
            );
        }
    }
}

#[tokio::test]
async fn the_path_of_an_endpoint_precedes_the_path_of_the_api() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = peer(&[&format!("http://{}/peers/one/", fake.http)]);
    prober(&peer).poll().await;
    assert!(
        fake.heads()[0].starts_with("post /peers/one/api/v1/query http/1.1"),
        "{:?}",
        fake.heads()
    );
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let proxy = FakePeer::start(Script::default()).await;
    let mut peer = peer(&["http://peer.example:8080"]);
    peer.http.proxy = Some(format!("http://{}", proxy.http).parse().unwrap());
    let observation = prober(&peer).poll().await;
    assert!(
        observation.endpoints[0].attempt.query.is_some(),
        "{observation:?}"
    );
    assert!(
        proxy.heads()[0].starts_with("post http://peer.example:8080/api/v1/query "),
        "{:?}",
        proxy.heads()
    );
}

#[tokio::test]
async fn proxies_from_the_environment_are_not_used() {
    let fake = FakePeer::start(Script::default()).await;
    let url = format!("http://{}", fake.http);
    let probe = move || {
        let closed = "http://127.0.0.1:1";
        std::process::Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"))
            .args(["probe", &url])
            .envs([
                ("HTTP_PROXY", closed),
                ("http_proxy", closed),
                ("ALL_PROXY", closed),
            ])
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(probe).await.unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// A reply that reports an error with the code TODO.
fn reply() -> Bytes {
    let fields = [
        Cell::integer(1),
        Cell::Nil,
        Cell::keyword("TODO"),
        Cell::Nil,
        Cell::Nil,
    ];
    encode_message(&Cell::record(0xdd, fields)).into()
}

#[tokio::test]
async fn http_1_1_is_spoken_on_one_connection_even_where_the_peer_prefers_http_2() {
    let (acceptor, certificate) = acceptor("localhost", 2150, &[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = hyper::service::service_fn(async |request: Request<Incoming>| {
                    assert_eq!(request.version(), Version::HTTP_11);
                    let status = if request.uri().path() == "/api/v1/query" {
                        200
                    } else {
                        404
                    };
                    request.into_body().collect().await.unwrap();
                    let response = Response::builder()
                        .status(status)
                        .body(Full::new(reply()))
                        .unwrap();
                    Ok::<_, Infallible>(response)
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .unwrap();
            });
        }
    });
    let mut peer = peer(&[&format!("https://localhost:{port}")]);
    peer.http.ca = Some(vec![certificate.der().to_vec()]);
    let mut prober = prober(&peer);
    for _ in 0..3 {
        let observation = prober.poll().await;
        assert_eq!(observation.endpoints[0].failure, None);
        let record = verdict(&peer, &observation);
        assert_eq!(
            record.query_error.map(|error| error.code).as_deref(),
            Some("TODO")
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "one for all polls");
}

/// Polls, and returns whether the peer received a request and why the poll failed.
async fn next_poll(prober: &mut Prober, fake: &FakePeer) -> (bool, Option<Reason>) {
    let before = fake.heads().len();
    let observation = prober.poll().await;
    let failure = observation.endpoints[0].failure.as_ref();
    (
        fake.heads().len() > before,
        failure.map(|failure| failure.reason),
    )
}

#[tokio::test]
async fn an_overloaded_peer_is_not_polled_before_its_retry_after() {
    let fake = FakePeer::start(Script::default()).await;
    let date = |later: u64| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(later));
    let mut peer = peer(&[&format!("http://{}", fake.http)]);
    peer.polling.interval = Duration::from_secs(60);
    for (status, retry_after, pause) in [
        (429, "40".to_owned(), 40),
        (503, "40".to_owned(), 40),
        (503, date(40), 40),
        // Limited to ten intervals.
        (503, "86400".to_owned(), 600),
        (503, date(86_400), 600),
    ] {
        let mut prober = prober(&peer);
        fake.set(|script| {
            script.fault = Fault::Http(status, "busy");
            script.retry_after = Some(retry_after.clone());
        });
        let before = fake.heads().len();
        let observation = prober.poll().await;
        let endpoint = &observation.endpoints[0];
        let failure = endpoint.failure.as_ref().unwrap();
        assert!(failure.message.starts_with("HTTP status"), "{failure}");
        assert_eq!(
            (failure.reason, endpoint.retries),
            (Reason::Client(FailureReason::Overloaded), 0)
        );
        assert_eq!(fake.heads().len(), before + 1);
        fake.set(|script| *script = Script::default());
        pass(Duration::from_secs(pause - 10)).await;
        let early = next_poll(&mut prober, &fake).await;
        assert_eq!(
            early,
            (false, Some(Reason::Client(FailureReason::Overloaded))),
            "{status} {retry_after}"
        );
        pass(Duration::from_secs(11)).await;
        let due = next_poll(&mut prober, &fake).await;
        assert_eq!(due, (true, None), "{status} {retry_after}");
    }
}

#[tokio::test]
async fn a_peer_without_a_valid_retry_after_is_polled_again() {
    let fake = FakePeer::start(Script::default()).await;
    let peer = peer(&[&format!("http://{}", fake.http)]);
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(40));
    for (status, retry_after) in [(500, "40"), (503, "0"), (503, "soon"), (503, past.as_str())] {
        let mut prober = prober(&peer);
        fake.set(|script| {
            script.fault = Fault::Http(status, "busy");
            script.retry_after = Some(retry_after.to_owned());
        });
        next_poll(&mut prober, &fake).await;
        let (received, _) = next_poll(&mut prober, &fake).await;
        assert!(received, "{status} {retry_after}");
    }
}
