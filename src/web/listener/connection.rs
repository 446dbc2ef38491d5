//! One connection: its requests are answered until its client takes too long, the terms of the listener change, or the agent stops.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::web::answer::{Answer, Watched};

use super::activity::{Activity, IDLE};
use super::gate::{Connected, Gate, Terms};

/// From one look at what a client does to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long requests under way may go on when the connection is to end.
const GRACE: Duration = Duration::from_secs(10);

/// Most bytes of the head of a request.
const HEAD_BYTES: u32 = 32 << 10;

/// Most lines of the head of a request.
const HEAD_LINES: usize = 100;

/// Most requests at a time on a connection that speaks HTTP/2.
const STREAMS: u32 = 32;

/// What every connection works with.
#[derive(Clone)]
pub(in crate::web) struct Routes {
    pub(in crate::web) app: Router,
    pub(in crate::web) gate: Arc<Gate>,
    pub(in crate::web) stop: CancellationToken,
}

/// Answers the requests on a connection that was made under `terms`.
pub(in crate::web) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connected: Connected,
    routes: Routes,
    terms: Arc<Terms>,
) {
    let Routes { app, gate, stop } = routes;
    let activity = Activity::begin();
    let stream = Watched {
        stream,
        activity: activity.clone(),
    };
    let requests = activity.clone();
    let service =
        service_fn(move |request| answer(request, connected, requests.clone(), app.clone()));
    let builder = builder(connected, terms.web.http2);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = stop.cancelled(), if ending.is_none() => {
                ending = Some(Instant::now());
                served.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => {
                let late = ending.is_some_and(|since| since.elapsed() >= GRACE) && !stop.is_cancelled();
                let overdue = activity.overdue();
                if let Some(why) = overdue.or(late.then_some("it goes on for too long")) {
                    tracing::debug!(why, "a connection is cut");
                    return;
                }
                if ending.is_none() && !Arc::ptr_eq(&terms, &gate.terms()) {
                    ending = Some(Instant::now());
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(connected: Connected, http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(!connected.crowded)
        .header_read_timeout(IDLE)
        .max_headers(HEAD_LINES)
        .max_buf_size(HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(STREAMS);
    if http2 { builder } else { builder.http1_only() }
}

async fn answer(
    request: Request<Incoming>,
    connected: Connected,
    activity: Activity,
    app: Router,
) -> Result<Response<Answer>, Infallible> {
    let under_way = activity.request();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(connected);
    let (head, body) = app.oneshot(request).await?.into_parts();
    let answer = Answer::new(&head.headers, body, under_way);
    Ok(Response::from_parts(head, answer))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::response::sse::{Event, Sse};
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::config::active::ActiveConfig;
    use crate::config::{self, Web};
    use crate::web::listener::activity::{FIRST_REQUEST, READING};
    use crate::web::listener::gate;

    /// Longer than any client may take for anything.
    const LONG: Duration = Duration::from_secs(300);

    const ORDINARY: Connected = Connected {
        certificate: false,
        crowded: false,
    };

    /// A listener's routes: a short answer, a long one, a stream, and health.
    struct Site {
        current: Arc<ActiveConfig>,
        routes: Routes,
    }

    impl Site {
        fn new() -> Self {
            let current = Arc::new(ActiveConfig::new(config::embedded()));
            let gate = Arc::new(Gate::new(Arc::clone(&current), true, "".into()));
            let events = async || {
                let events = stream::unfold((), async |()| {
                    sleep(Duration::from_secs(1)).await;
                    let event = Event::default().data("x".repeat(1000));
                    Some((Ok::<_, Infallible>(event), ()))
                });
                Sse::new(events)
            };
            let app = Router::new()
                .route("/-/healthy", get(|| async { "alive" }))
                .route("/short", get(|| async { "short" }))
                .route("/long", get(|| async { Bytes::from(vec![b'x'; 1 << 20]) }))
                .route("/events", get(events))
                .layer(axum::middleware::from_fn_with_state(
                    Arc::clone(&gate),
                    gate::pass,
                ));
            let stop = CancellationToken::new();
            Self {
                current,
                routes: Routes { app, gate, stop },
            }
        }

        /// A client's end of a connection that is served.
        fn connect(&self, connected: Connected) -> (DuplexStream, JoinHandle<()>) {
            let (client, server) = duplex(64 << 10);
            let terms = self.routes.gate.terms();
            let serving = serve(server, connected, self.routes.clone(), terms);
            (client, tokio::spawn(serving))
        }
    }

    async fn ask(client: &mut DuplexStream, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
    }

    /// How long the connection is served from now on.
    async fn served_for(serving: JoinHandle<()>) -> Duration {
        let since = Instant::now();
        timeout(LONG, serving)
            .await
            .expect("it is cut, as its client takes too long")
            .unwrap();
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_request_or_half_of_one_is_cut() {
        for sent in [
            "",
            "G",
            "GET / HTTP/1.1\r\nHost: localhost\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM",
        ] {
            let site = Site::new();
            let (mut client, serving) = site.connect(ORDINARY);
            client.write_all(sent.as_bytes()).await.unwrap();
            assert!(
                served_for(serving).await <= FIRST_REQUEST + LOOK_EVERY,
                "{sent}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_or_a_byte_a_second_is_cut() {
        for slowly in [false, true] {
            let site = Site::new();
            let (mut client, serving) = site.connect(ORDINARY);
            ask(&mut client, "/long").await;
            let reading = tokio::spawn(async move {
                while slowly && client.read_u8().await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
                sleep(LONG).await;
                drop(client);
            });
            let served = served_for(serving).await;
            assert!(
                served >= READING && served <= READING + LOOK_EVERY,
                "{served:?}"
            );
            reading.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_of_http_2_that_opens_no_window_is_cut() {
        let site = Site::new();
        let (client, serving) = site.connect(ORDINARY);
        let (mut requests, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(1)
                .handshake(TokioIo::new(client))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("http://localhost/long").body(Body::empty());
        let answer = requests.send_request(request.unwrap()).await.unwrap();
        let served = served_for(serving).await;
        assert!(
            served >= READING && served <= READING + LOOK_EVERY,
            "{served:?}"
        );
        drop(answer);
        connection.await.unwrap().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_goes_on_for_who_reads_it_and_ends_for_who_does_not() {
        let site = Site::new();
        let (mut client, serving) = site.connect(ORDINARY);
        ask(&mut client, "/events").await;
        let until = Instant::now() + LONG;
        let mut piece = [0; 4096];
        while Instant::now() < until {
            assert!(client.read(&mut piece).await.unwrap() > 0);
        }
        assert!(!serving.is_finished());
        // Some events fit into the buffers between.
        assert!(served_for(serving).await >= READING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_serves_one_request_after_the_other_and_ends_when_idle() {
        let site = Site::new();
        let (mut client, serving) = site.connect(ORDINARY);
        for _ in 0..3 {
            ask(&mut client, "/short").await;
            let mut answer = Vec::new();
            while !answer.ends_with(b"short") {
                client.read_buf(&mut answer).await.unwrap();
            }
            sleep(IDLE / 2).await;
        }
        assert!(!serving.is_finished());
        assert!(served_for(serving).await <= IDLE + LOOK_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_spare_place_only_health_is_told_and_once() {
        for (path, expected) in [
            ("/-/healthy", "HTTP/1.1 200 OK"),
            ("/short", "HTTP/1.1 503 "),
        ] {
            let site = Site::new();
            let connected = Connected {
                crowded: true,
                ..ORDINARY
            };
            let (mut client, serving) = site.connect(connected);
            ask(&mut client, path).await;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(expected), "{answer}");
            serving.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_former_terms_ends_after_what_is_under_way() {
        let site = Site::new();
        let (mut client, serving) = site.connect(ORDINARY);
        let (mut listening, streaming) = site.connect(ORDINARY);
        ask(&mut client, "/short").await;
        client.read_u8().await.unwrap();
        ask(&mut listening, "/events").await;
        let reading = tokio::spawn(async move {
            let mut told = Vec::new();
            listening.read_to_end(&mut told).await
        });
        sleep(LOOK_EVERY * 2).await;
        assert!(!serving.is_finished() && !streaming.is_finished());
        let config = config::Config {
            web: Arc::new(Web {
                http2: false,
                ..Web::default()
            }),
            ..config::embedded()
        };
        site.current.replace(config);
        assert!(served_for(serving).await <= LOOK_EVERY);
        assert!(served_for(streaming).await <= GRACE + LOOK_EVERY);
        drop(reading);
    }
}
