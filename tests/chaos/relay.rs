//! A way to a peer that can be made bad: late, lossy, silent or slow. The kernel's own (netem) is not everywhere.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What becomes of what a peer says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Good,
    /// All of it so much later.
    Late(Duration),
    /// Of every three pieces one takes a second more, as a lost one that is sent again.
    Lossy,
    /// Nothing arrives any more.
    Silent,
    /// One byte a second.
    Trickle,
    /// All of it twice, and of two pieces that follow soon upon each other the later one first.
    Muddled,
}

/// Relays one peer's port; ends when dropped.
pub(crate) struct Relay {
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Relays from `here` to `there`.
    pub(crate) async fn start(here: SocketAddr, there: SocketAddr) -> Self {
        let listener = TcpListener::bind(here).await.unwrap();
        let (way, watched) = watch::channel(Way::Good);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(there).await else {
                    continue;
                };
                let way = watched.clone();
                connections.spawn(connection(near, far, way));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { way, _tasks: tasks }
    }

    pub(crate) fn becomes(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn connection(near: TcpStream, far: TcpStream, way: watch::Receiver<Way>) {
    let (asked, told) = near.into_split();
    let (answers, questions) = far.into_split();
    let good = watch::channel(Way::Good).1;
    tokio::select! {
        () = one_way(asked, questions, good) => {}
        () = one_way(answers, told, way) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut piece = [0; 4096];
    let mut pieces = 0_u32;
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        pieces += 1;
        let current = *way.borrow_and_update();
        let second = Duration::from_secs(1);
        match current {
            Way::Late(by) => tokio::time::sleep(by).await,
            Way::Lossy if pieces.is_multiple_of(3) => tokio::time::sleep(second).await,
            // Until it changes; what was said meanwhile is lost.
            Way::Silent if way.changed().await.is_err() => return,
            Way::Silent => continue,
            Way::Trickle => {
                for byte in &piece[..length] {
                    tokio::time::sleep(second).await;
                    if to.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
                continue;
            }
            Way::Muddled => {
                let earlier = piece[..length].to_vec();
                let soon = Duration::from_millis(100);
                let later = match timeout(soon, from.read(&mut piece)).await {
                    Ok(Ok(length @ 1..)) => &piece[..length],
                    Ok(_) => return,
                    Err(_) => &[],
                };
                let muddled = [later, later, &earlier, &earlier].concat();
                if to.write_all(&muddled).await.is_err() {
                    return;
                }
                continue;
            }
            Way::Good | Way::Lossy => {}
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
