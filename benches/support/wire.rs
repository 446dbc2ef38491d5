//! A relay on loopback that keeps what passes through it: what a client really sends and is sent, to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One request and its reply; several requests that were written together count as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// Bytes from the client.
    pub(crate) request: Vec<u8>,
    /// Bytes to the client.
    pub(crate) reply: Vec<u8>,
}

/// Relays connections; ends when dropped. Several may be open, as clients with a pool have them, but turns that overlap in
/// time are not told apart.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    turns: Arc<Mutex<Vec<Turn>>>,
    _task: JoinSet<()>,
}

impl Relay {
    /// A relay to `server`.
    pub(crate) async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let turns = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let kept = Arc::clone(&turns);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                connections.spawn(async move {
                    if let Err(error) = relay(client, server, &kept).await {
                        eprintln!("the relay to {server} lost a connection: {error}");
                    }
                });
            }
        });
        Ok(Self {
            address,
            turns,
            _task: task,
        })
    }

    /// The turns since the last time they were taken.
    pub(crate) fn take(&self) -> Vec<Turn> {
        std::mem::take(&mut *self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Passes bytes on until either side closes. What is kept of them is kept before it is passed on, so that a client that has
/// its reply finds the turn complete.
async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    turns: &Mutex<Vec<Turn>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                keep(turns, |turns| {
                    match turns.last_mut() {
                        Some(turn) if turn.reply.is_empty() => turn.request.extend(bytes),
                        _ => turns.push(Turn { request: bytes.to_vec(), reply: Vec::new() }),
                    }
                });
                server.write_all(bytes).await?;
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                keep(turns, |turns| {
                    if let Some(turn) = turns.last_mut() {
                        turn.reply.extend(bytes);
                    }
                });
                client.write_all(bytes).await?;
            }
        }
    }
}

fn keep(turns: &Mutex<Vec<Turn>>, change: impl FnOnce(&mut Vec<Turn>)) {
    change(&mut turns.lock().unwrap_or_else(PoisonError::into_inner));
}
