//! A relay on loopback that records everything that passes through it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request and its reply. Requests that are written together count as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// Bytes from the client.
    pub(crate) request: Vec<u8>,
    /// Bytes to the client.
    pub(crate) reply: Vec<u8>,
}

/// A recording relay; stops when dropped. Several connections may be open, but turns on them must
/// not overlap in time.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The address that it listens on.
    pub(crate) address: SocketAddr,
    turns: Arc<Mutex<Vec<Turn>>>,
    _task: JoinSet<()>,
}

impl Relay {
    /// Starts a relay to `server`.
    pub(crate) async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let turns = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let recorded = Arc::clone(&turns);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let recorded = Arc::clone(&recorded);
                connections.spawn(async move {
                    if let Err(error) = relay(client, server, &recorded).await {
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

    /// Returns the turns since the last call.
    pub(crate) fn take(&self) -> Vec<Turn> {
        std::mem::take(&mut *self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Forwards bytes until either side closes. They are recorded before they are forwarded, so that
/// the turn is complete once the client has its reply.
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
                record(turns, |turns| {
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
                record(turns, |turns| {
                    if let Some(turn) = turns.last_mut() {
                        turn.reply.extend(bytes);
                    }
                });
                client.write_all(bytes).await?;
            }
        }
    }
}

fn record(turns: &Mutex<Vec<Turn>>, change: impl FnOnce(&mut Vec<Turn>)) {
    change(&mut turns.lock().unwrap_or_else(PoisonError::into_inner));
}
