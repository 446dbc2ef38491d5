//! How polls use connections: through proxies, for how long, and how much they receive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use convex_client::{FailureReason, Transport};
use convex_peer_monitor::failure::Reason;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::contract::{peer, prober};
use crate::support::fake::{FakePeer, Fault, Script};
use crate::support::tls::acceptor;

fn url(fake: &FakePeer, transport: Transport) -> String {
    match transport {
        Transport::Http => format!("http://{}", fake.http),
        Transport::Tcp => format!("tcp://{}", fake.tcp),
    }
}

/// A proxy that makes tunnels to `peer`, wherever they are to lead, and counts them.
struct TunnelProxy {
    address: SocketAddr,
    asked_for: Arc<std::sync::Mutex<Vec<String>>>,
}

impl TunnelProxy {
    async fn start(peer: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked_for = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let requests = Arc::clone(&asked_for);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, tls) = (Arc::clone(&requests), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            let stream = tls.accept(stream).await.unwrap();
                            tunnel(stream, peer, &requests).await;
                        }
                        None => tunnel(stream, peer, &requests).await,
                    }
                });
            }
        });
        Self { address, asked_for }
    }
}

async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    requests: &std::sync::Mutex<Vec<String>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    requests.lock().unwrap().push(head);
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut server = TcpStream::connect(peer).await.unwrap();
    drop(tokio::io::copy_bidirectional(&mut stream, &mut server).await);
}

#[tokio::test]
async fn an_https_peer_is_reached_through_the_tunnel_of_either_kind_of_proxy() {
    let (tls, certificate) = acceptor("peer.example", 2150, &[]);
    let fake = FakePeer::with_tls(Script::default(), Some(tls)).await;
    let (of_proxy, certificate_of_proxy) = acceptor("localhost", 2150, &[]);
    for (scheme, tls) in [("http", None), ("https", Some(of_proxy))] {
        let proxy = TunnelProxy::start(fake.http, tls).await;
        let mut peer = peer(&["https://peer.example:8443"]);
        let proxy_url = format!("{scheme}://localhost:{}", proxy.address.port());
        peer.http.proxy = Some(proxy_url.parse().unwrap());
        peer.http.ca = Some(vec![
            certificate.der().to_vec(),
            certificate_of_proxy.der().to_vec(),
        ]);
        let mut prober = prober(&peer);
        for poll in 0..2 {
            let observed = prober.poll().await.endpoints.remove(0);
            assert_eq!(observed.failure, None, "{scheme}, poll {poll}");
            assert_eq!(observed.attempt.phases.tls.is_some(), poll == 0, "{scheme}");
        }
        let asked_for = proxy.asked_for.lock().unwrap().clone();
        assert_eq!(asked_for.len(), 1, "{scheme}: {asked_for:?}");
        assert!(
            asked_for[0].starts_with("CONNECT peer.example:8443 HTTP/1.1\r\n")
                && asked_for[0].contains("user-agent: convex-peer-monitor/"),
            "{scheme}: {asked_for:?}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_a_tunnel_is_named_in_the_failure() {
    let proxy = FakePeer::start(Script {
        fault: Fault::Http(403, "no"),
        ..Script::default()
    })
    .await;
    let mut peer = peer(&["https://peer.example"]);
    peer.http.proxy = Some(format!("http://{}", proxy.http).parse().unwrap());
    let failure = prober(&peer)
        .poll()
        .await
        .endpoints
        .remove(0)
        .failure
        .unwrap();
    assert_eq!(failure.reason, Reason::Client(FailureReason::Unreachable));
    let start = "the proxy does not connect to peer.example:443: ";
    assert!(failure.message.starts_with(start), "{failure}");
}

/// Answers every request with `head`, repeated without end; counts the bytes that it could send.
async fn endless(head: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut request = [0; 1024];
                drop(stream.read(&mut request).await);
                let block = head.repeat(4096 / head.len());
                while stream.write_all(&block).await.is_ok() {
                    counter.fetch_add(block.len(), Ordering::Relaxed);
                }
            });
        }
    });
    (address, sent)
}

#[tokio::test]
async fn what_is_received_in_a_poll_is_limited_whatever_it_is() {
    // The limit of 1 MiB, 64 KiB for all that is no reply, and what fits into the sockets' buffers.
    const MOST: usize = 16 << 20;
    for (scheme, bytes, reason) in [
        (
            "http",
            &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
            FailureReason::TooLarge,
        ),
        (
            "http",
            b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n",
            FailureReason::TooLarge,
        ),
        // A message that answers nothing, [1 2], in a frame of five bytes.
        (
            "tcp",
            &[5, 0x80, 2, 0x11, 1, 0x11],
            FailureReason::Malformed,
        ),
    ] {
        let (address, sent) = endless(bytes).await;
        let mut peer = peer(&[&format!("{scheme}://{address}")]);
        peer.polling.retries = 0;
        peer.polling.timeout = Duration::from_secs(60);
        let observed = prober(&peer).poll().await.endpoints.remove(0);
        assert_eq!(
            observed.reason(),
            Some(Reason::Client(reason)),
            "{:?}",
            observed.failure
        );
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < MOST, "{scheme}: {sent} bytes");
    }
}

#[tokio::test]
async fn an_old_connection_is_replaced_while_the_poll_on_it_counts() {
    for transport in Transport::ALL {
        let fake = FakePeer::start(Script::default()).await;
        let mut peer = peer(&[&url(&fake, transport)]);
        for (max_age, connections, renewed) in [
            (Duration::from_secs(3600), 1, false),
            (Duration::from_nanos(1), 3, true),
        ] {
            let before = fake.connections();
            peer.polling.connection_max_age = max_age;
            let mut prober = prober(&peer);
            prober.poll().await;
            for _ in 0..2 {
                let observed = prober.poll().await.endpoints.remove(0);
                assert_eq!(observed.failure, None, "{transport}");
                let attempt = observed.attempt;
                assert_eq!(attempt.renewal, renewed.then_some(Ok(())), "{transport}");
                assert_eq!(attempt.phases.connect.is_some(), renewed, "{transport}");
                assert_eq!(attempt.reconnects, 0, "{transport}: nothing was lost");
            }
            let made = fake.connections() - before;
            assert_eq!(made, connections, "{transport}, {max_age:?}");
        }
    }
}

#[tokio::test]
async fn queries_that_hang_over_http_are_found_in_the_second_poll_at_the_latest() {
    for new_api in [true, false] {
        let fake = FakePeer::start(Script {
            new_api,
            ..Script::default()
        })
        .await;
        let mut peer = peer(&[&url(&fake, Transport::Http)]);
        peer.polling.timeout = Duration::from_secs(2);
        let mut prober = prober(&peer);
        assert_eq!(prober.poll().await.endpoints[0].failure, None);
        fake.set(|script| script.fault = Fault::QueryHangs);
        for expected in [FailureReason::Timeout, FailureReason::QueryHangs] {
            let observed = prober.poll().await.endpoints.remove(0);
            let found = observed.reason();
            assert_eq!(
                found,
                Some(Reason::Client(expected)),
                "{:?}",
                observed.failure
            );
        }
        fake.set(|script| script.fault = Fault::Silent);
        let found = prober.poll().await.endpoints[0].reason();
        assert_eq!(
            found,
            Some(Reason::Client(FailureReason::Timeout)),
            "silent"
        );
    }
}

#[tokio::test]
async fn the_most_specific_failure_of_a_poll_is_reported() {
    for transport in Transport::ALL {
        let fake = FakePeer::start(Script {
            fault: Fault::QueryError("TIMEOUT"),
            ..Script::default()
        })
        .await;
        let mut peer = peer(&[&url(&fake, transport)]);
        peer.polling.timeout = Duration::from_secs(3);
        peer.polling.retries = 1;
        let mut handled = fake.handled();
        let then_silent = async {
            handled.changed().await.unwrap();
            fake.set(|script| script.fault = Fault::Silent);
        };
        let mut prober = prober(&peer);
        let (observation, ()) = tokio::join!(prober.poll(), then_silent);
        let observed = &observation.endpoints[0];
        assert_eq!(observed.retries, 1, "{transport}");
        assert_eq!(
            observed.reason(),
            Some(Reason::Client(FailureReason::QueryHangs)),
            "{transport}: {:?}",
            observed.failure
        );
    }
}

#[tokio::test]
async fn a_peer_that_closes_after_each_answer_is_asked_on_a_connection_each() {
    let fake = FakePeer::start(Script {
        fault: Fault::OneAnswer,
        ..Script::default()
    })
    .await;
    let mut prober = prober(&peer(&[&url(&fake, Transport::Http)]));
    for poll in 1..=3 {
        let observed = prober.poll().await.endpoints.remove(0);
        assert_eq!(observed.failure, None, "poll {poll}");
        assert!(observed.attempt.status.is_some(), "poll {poll}");
        assert_eq!(fake.heads().len(), 2 * poll, "the query and the status");
    }
    assert_eq!(fake.connections(), 6);
}
