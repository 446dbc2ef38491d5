//! Faults of the network, on loopback: a relay whose connections misbehave, and an address at which
//! nothing answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What a relay does to its connections, the existing ones included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Forwards everything.
    Pass,
    /// Forwards as many bytes of the answer, then nothing, and closes nothing.
    SilentAfter(usize),
    /// Forwards nothing on connections that were made before; new ones are passed.
    ForgetsOld,
    /// Answers requests with the end of the stream.
    HalfCloses,
    /// Resets a connection when a request arrives.
    Resets,
    /// Forwards each piece of an answer with a delay.
    Slow,
    /// No longer listens; existing connections are passed.
    RefusesNew,
    /// Existing connections are passed; new ones lead elsewhere.
    LeadsTo(SocketAddr),
}

/// Forwards connections to another address; stops when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: watch::Receiver<bool>,
    /// Keeps the port, so that no other program listens there when the relay no longer does.
    _port: TcpSocket,
    _serving: JoinSet<()>,
}

impl Relay {
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        Self::at("127.0.0.1:0", upstream)
    }

    /// Starts a relay that listens at `address`.
    pub(crate) fn at(address: &str, upstream: SocketAddr) -> Self {
        let socket = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(address).unwrap();
            socket
        };
        let port = socket(address.parse().unwrap());
        let address = port.local_addr().unwrap();
        let listener = socket(address).listen(1024).unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        let (listens, listening) = watch::channel(true);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            let mut modes = watched.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    changed = modes.changed() => {
                        changed.unwrap();
                        if *modes.borrow_and_update() == Mode::RefusesNew {
                            break;
                        }
                        continue;
                    }
                };
                let leads_to = match *watched.borrow() {
                    Mode::LeadsTo(elsewhere) => elsewhere,
                    _ => upstream,
                };
                connections.spawn(forward(accepted, leads_to, watched.clone()));
            }
            drop(listener);
            listens.send_replace(false);
            while connections.join_next().await.is_some() {}
        });
        Self {
            address,
            mode,
            listening,
            _port: port,
            _serving: serving,
        }
    }

    /// Changes what the relay does, and waits until it does so.
    pub(crate) async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        if mode == Mode::RefusesNew {
            let mut listening = self.listening.clone();
            drop(listening.wait_for(|listens| !listens).await.unwrap());
        }
    }
}

/// Forwards one connection until an end of it is closed. An error only means that it is.
async fn forward(mut client: TcpStream, upstream: SocketAddr, mode: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    let is_new = *mode.borrow() == Mode::ForgetsOld;
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut answered = 0;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let now = *mode.borrow();
                match now {
                    Mode::Resets => {
                        client.set_zero_linger().unwrap();
                        return;
                    }
                    Mode::HalfCloses => {
                        drop(client.shutdown().await);
                        continue;
                    }
                    Mode::ForgetsOld if !is_new => continue,
                    _ => {}
                }
                if server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                let now = *mode.borrow();
                let mut length = length;
                match now {
                    Mode::Slow => sleep(Duration::from_millis(100)).await,
                    Mode::SilentAfter(most) => length = length.min(most - most.min(answered)),
                    Mode::ForgetsOld if !is_new => continue,
                    _ => {}
                }
                answered += length;
                if client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// An address at which connecting gets no answer at all: its queue of connections is full.
#[derive(Debug)]
pub(crate) struct Blackhole {
    pub(crate) address: SocketAddr,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl Blackhole {
    pub(crate) async fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        // Loopback answers at once, if it does.
        while let Ok(connected) =
            timeout(Duration::from_millis(500), TcpStream::connect(address)).await
        {
            queued.push(connected.unwrap());
            assert!(queued.len() < 1000, "the queue has no end");
        }
        Self {
            address,
            _queue: (listener, queued),
        }
    }
}
