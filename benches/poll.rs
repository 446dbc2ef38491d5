//! One poll on loopback, over TCP and over HTTP, compared with a bare exchange of the same bytes on
//! an open connection.
//!
//! Both ends run on one thread, so that the results contain the work of both and of the kernel, but
//! not the time that another core takes to wake up.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that fails ends, like a test"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use convex_client::{Endpoint, TlsSettings};
use convex_peer_monitor::config::Peer;
use convex_peer_monitor::poller::Prober;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

#[path = "../tests/support/fake.rs"]
#[expect(dead_code, reason = "the faults are for tests")]
mod fake;
#[path = "support/wire.rs"]
mod wire;

use fake::{FakePeer, Script};
use wire::{Relay, Turn};

/// Number of polls before the recorded one, because the ids of the first requests are shorter.
const POLLS_BEFORE: usize = 100;

const TCP: &str = "TCP: status, ping and query in one turn";
const HTTP: &str = "HTTP: query and status in two turns";

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn prober(scheme: &str, address: SocketAddr) -> Prober {
    let endpoint = Endpoint::parse(&format!("{scheme}://{address}")).unwrap();
    Prober::new(
        Arc::new(Peer::from_endpoint(endpoint)),
        1 << 20,
        &TlsSettings::default(),
    )
}

async fn poll(prober: &mut Prober) {
    let observation = prober.poll().await;
    assert_eq!(observation.endpoints[0].failure, None);
}

fn polls(criterion: &mut Criterion) {
    let runtime = one_thread();
    let peer = runtime.block_on(FakePeer::start(Script::default()));
    let mut group = criterion.benchmark_group("one poll on loopback");
    for (name, scheme, address) in [(TCP, "tcp", peer.tcp), (HTTP, "http", peer.http)] {
        let prober = Mutex::new(prober(scheme, address));
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(async || poll(&mut *prober.lock().await).await);
        });
    }
    group.finish();
}

/// Records one poll of the scripted peer on an open connection.
async fn turns(scheme: &str, server: SocketAddr) -> Vec<Turn> {
    let relay = Relay::start(server).await.unwrap();
    let mut prober = prober(scheme, relay.address);
    for _ in 0..POLLS_BEFORE {
        poll(&mut prober).await;
    }
    relay.take();
    poll(&mut prober).await;
    relay.take()
}

/// Starts a server that reads the length of each request and sends its reply.
async fn ping_pong_server(turns: Vec<Turn>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut requests: Vec<Vec<u8>> = turns.iter().map(|turn| turn.request.clone()).collect();
        loop {
            for (turn, request) in turns.iter().zip(&mut requests) {
                // The client closed the connection.
                if stream.read_exact(request).await.is_err() {
                    return;
                }
                stream.write_all(&turn.reply).await.unwrap();
            }
        }
    });
    address
}

fn ping_pong(criterion: &mut Criterion) {
    let runtime = one_thread();
    let peer = runtime.block_on(FakePeer::start(Script::default()));
    let mut group = criterion.benchmark_group("bare ping-pong of the same bytes");
    for (name, scheme, address) in [(TCP, "tcp", peer.tcp), (HTTP, "http", peer.http)] {
        let turns = runtime.block_on(turns(scheme, address));
        let lengths: Vec<(usize, usize)> = turns
            .iter()
            .map(|turn| (turn.request.len(), turn.reply.len()))
            .collect();
        println!("{name}: bytes sent and received {lengths:?}");
        let replies: Vec<Vec<u8>> = turns.iter().map(|turn| turn.reply.clone()).collect();
        let client = runtime.block_on(async {
            let server = ping_pong_server(turns.clone()).await;
            let stream = TcpStream::connect(server).await.unwrap();
            stream.set_nodelay(true).unwrap();
            Mutex::new((stream, replies))
        });
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(async || {
                let (stream, replies) = &mut *client.lock().await;
                for (turn, reply) in turns.iter().zip(replies) {
                    stream.write_all(&turn.request).await.unwrap();
                    stream.read_exact(reply).await.unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, polls, ping_pong);
criterion_main!(benches);
