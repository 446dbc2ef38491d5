//! A relay to a peer that delays, loses, duplicates or stops replies. Not every kernel has netem.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What the relay does with the replies of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quality {
    Good,
    /// Everything arrives this much later.
    Late(Duration),
    /// Every third piece arrives a second later, like a lost packet that is sent again.
    Lossy,
    /// Nothing arrives.
    Silent,
    /// One byte arrives per second.
    Trickle,
    /// Everything arrives twice, and of two pieces in quick succession the later one first.
    DuplicatedAndReordered,
}

/// A relay to one port of a peer; stops when dropped.
pub(crate) struct Relay {
    quality: watch::Sender<Quality>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Starts to relay connections to `here` on to `there`.
    pub(crate) async fn start(here: SocketAddr, there: SocketAddr) -> Self {
        let listener = TcpListener::bind(here).await.unwrap();
        let (quality, watched) = watch::channel(Quality::Good);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(there).await else {
                    continue;
                };
                let quality = watched.clone();
                connections.spawn(connection(near, far, quality));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            quality,
            _tasks: tasks,
        }
    }

    pub(crate) fn set(&self, quality: Quality) {
        self.quality.send_replace(quality);
    }
}

async fn connection(near: TcpStream, far: TcpStream, quality: watch::Receiver<Quality>) {
    let (requests, to_client) = near.into_split();
    let (replies, to_peer) = far.into_split();
    let good = watch::channel(Quality::Good).1;
    tokio::select! {
        () = forward(requests, to_peer, good) => {}
        () = forward(replies, to_client, quality) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut quality: watch::Receiver<Quality>,
) {
    let mut piece = [0; 4096];
    let mut pieces = 0_u32;
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        pieces += 1;
        let current = *quality.borrow_and_update();
        let second = Duration::from_secs(1);
        match current {
            Quality::Late(by) => tokio::time::sleep(by).await,
            Quality::Lossy if pieces.is_multiple_of(3) => tokio::time::sleep(second).await,
            // Until it changes; everything received in between is lost.
            Quality::Silent if quality.changed().await.is_err() => return,
            Quality::Silent => continue,
            Quality::Trickle => {
                for byte in &piece[..length] {
                    tokio::time::sleep(second).await;
                    if to.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                continue;
            }
            Quality::DuplicatedAndReordered => {
                let earlier = piece[..length].to_vec();
                let soon = Duration::from_millis(100);
                let later = match timeout(soon, from.read(&mut piece)).await {
                    Ok(Ok(length @ 1..)) => &piece[..length],
                    Ok(_) => return,
                    Err(_) => &[],
                };
                let both_twice = [later, later, &earlier, &earlier].concat();
                if to.write_all(&both_twice).await.is_err() {
                    return;
                }
                continue;
            }
            Quality::Good | Quality::Lossy => {}
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
