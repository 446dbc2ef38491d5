//! The network on real sockets: who listens where, and what becomes of connections. All of it ends when dropped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use futures_util::{FutureExt, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::codec::FramedRead;

use crate::cad3::{Hash, encode_message, vlq};
use crate::peer::{FrameDecoder, FrameError, put_frame};

use super::reply::{Turn, turn};
use super::rest;
use super::script::{Ailments, Script, Wire};
use super::world::{Traffic, View, World};

/// Most peers of one network.
pub const MAX_PEERS: usize = 10_000;
/// Up to so many peers each has ports of its own.
const OWN_PORTS: usize = 1000;
/// The first of the addresses by which more peers are told apart.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Largest content of a frame (PEER-PROTOCOL, section 2).
const MAX_CONTENT: usize = 50_000_000;
/// Room for the usual requests: thousands of idle connections stay small.
const READ_BUFFER_BYTES: usize = 512;
/// Requests of one connection that are answered together at most.
const BATCH: usize = 256;
/// A peer closes an HTTP connection that was idle so long.
const HTTP_IDLE: Duration = Duration::from_secs(30);
/// After a failed accept, or a port that is not free again yet.
const PAUSE: Duration = Duration::from_millis(100);
/// Descriptors of the process besides the network's.
const OTHER_DESCRIPTORS: u64 = 64;

/// What to simulate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many peers, 1 to [`MAX_PEERS`].
    pub peers: usize,
    /// Keys and genesis depend on it and on the number of peers alone.
    pub seed: u64,
    /// What is wrong with whom and when.
    pub script: Script,
    /// Blocks; none: an idle network.
    pub traffic: Option<Traffic>,
    /// The first port; none: any free ones.
    pub base: Option<u16>,
}

/// Why a network does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Too few or too many peers.
    #[error("{0} peers; a simulated network has 1 to {MAX_PEERS}")]
    Peers(usize),
    /// The ports go beyond the last.
    #[error(
        "{peers} peers from port {base} on need ports up to {last}, the last is 65535; begin lower"
    )]
    Ports {
        /// How many peers.
        peers: usize,
        /// The first port.
        base: u16,
        /// The last port that would be needed.
        last: usize,
    },
    /// An address cannot be listened at.
    #[error("cannot listen at {address}; choose another first port or raise the descriptor limit")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// File descriptors that a network of `peers` needs when one agent keeps a connection to each endpoint.
#[must_use]
pub fn descriptors(peers: usize) -> u64 {
    let listeners = if peers <= OWN_PORTS { 2 * peers } else { 2 };
    (listeners + 2 * peers) as u64 + OTHER_DESCRIPTORS
}

/// A running network; ends when dropped.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    genesis: Hash,
    keys: Vec<Hash>,
    addresses: Vec<[SocketAddr; 2]>,
    _listening: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    script: Script,
    started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Binary = 0,
    Rest = 1,
}

const SIDES: [Side; 2] = [Side::Binary, Side::Rest];

impl Network {
    /// Starts a network: when this returns, everybody who should listen does.
    ///
    /// # Errors
    /// The options do not go together, or an address is not free.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options {
            peers,
            seed,
            script,
            traffic,
            base,
        } = options;
        if !(1..=MAX_PEERS).contains(&peers) {
            return Err(StartError::Peers(peers));
        }
        let own_ports = peers <= OWN_PORTS;
        let ports = if own_ports { 2 * peers } else { 2 };
        if let Some(base) = base
            && usize::from(base) + ports - 1 > usize::from(u16::MAX)
        {
            let last = usize::from(base) + ports - 1;
            return Err(StartError::Ports { peers, base, last });
        }
        let (wall, clock) = (SystemTime::now(), Instant::now());
        let wall = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let start_ms = i64::try_from(wall.as_millis()).unwrap_or(0);
        // The network starts at a whole millisecond, so that its clocks lose no part of one.
        let since = Duration::from_nanos(u64::from(wall.subsec_nanos() % 1_000_000));
        let started = clock.checked_sub(since).unwrap_or(clock);
        let mut world = World::new(peers, seed, start_ms, Arc::new(script.clone()), traffic);
        let genesis = world.genesis();
        let keys = (0..peers).map(|peer| world.key(peer)).collect();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            script,
            started,
        });
        let mut listening = JoinSet::new();
        let mut addresses = Vec::with_capacity(peers);
        if own_ports {
            let mut listeners = Vec::with_capacity(2 * peers);
            for peer in 0..peers {
                let mut own = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 2];
                for side in SIDES {
                    let offset = u16::try_from(2 * peer + side as usize).unwrap_or(0);
                    let port = base.map_or(0, |base| base + offset);
                    let (listener, address) = bind((Ipv4Addr::LOCALHOST, port).into()).await?;
                    own[side as usize] = address;
                    listeners.push((peer, side, address, listener));
                }
                addresses.push(own);
            }
            for (peer, side, address, listener) in listeners {
                // Whoever refuses from the start does so before anybody can dial.
                let refuses = shared.ailments(peer).wire == Wire::Refuse;
                let listener = (!refuses).then_some(listener);
                listening.spawn(own_port(Arc::clone(&shared), peer, side, address, listener));
            }
        } else {
            let mut ports = [0; 2];
            for side in SIDES {
                let port = base.map_or(0, |base| base + side as u16);
                let (listener, address) = bind((Ipv4Addr::UNSPECIFIED, port).into()).await?;
                ports[side as usize] = address.port();
                listening.spawn(shared_port(Arc::clone(&shared), peers, side, listener));
            }
            let host = |peer: usize| {
                Ipv4Addr::from(FIRST_ADDRESS.to_bits() + u32::try_from(peer).unwrap_or(0))
            };
            addresses.extend((0..peers).map(|peer| ports.map(|port| (host(peer), port).into())));
        }
        let urls = addresses
            .iter()
            .map(|own| format!("tcp://{}", own[0]).into());
        shared.world().publish(urls.collect());
        Ok(Self {
            shared,
            genesis,
            keys,
            addresses,
            _listening: listening,
        })
    }

    /// The identity of the network.
    #[must_use]
    pub const fn genesis(&self) -> Hash {
        self.genesis
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a network has a peer at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of peer `i`, from 1.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn key(&self, i: usize) -> Hash {
        self.keys[i - 1]
    }

    /// Where peer `i`, from 1, listens for the binary protocol.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn tcp(&self, i: usize) -> SocketAddr {
        self.addresses[i - 1][Side::Binary as usize]
    }

    /// Where peer `i`, from 1, listens for HTTP.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn http(&self, i: usize) -> SocketAddr {
        self.addresses[i - 1][Side::Rest as usize]
    }

    /// Makes a block through peer `i`, from 1.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn make_block(&self, i: usize) {
        let now = self.shared.now();
        self.shared.world().make_block(i - 1, now);
    }

    /// The agent's configuration for this network: all peers, with everything pinned, and limits that let one host be
    /// polled at this size.
    #[must_use]
    pub fn config(&self) -> String {
        let (count, genesis) = (self.len(), self.genesis);
        let inflight = count.max(512);
        let peer = |i| {
            let (key, tcp, http) = (self.key(i), self.tcp(i), self.http(i));
            format!(
                "  - {{ name: sim-{i}, network: simulated, key: \"{key}\", \
                 endpoints: [\"http://{http}\", \"tcp://{tcp}\"] }}\n"
            )
        };
        let peers: String = (1..=count).map(peer).collect();
        format!(
            "# A simulated network of {count} peers.\n\
             networks:\n  - {{ name: simulated, genesis: \"{genesis}\" }}\n\
             # All of them are on this host.\n\
             limits: {{ max_inflight: {inflight}, per_host_inflight: {inflight} }}\n\
             peers:\n{peers}"
        )
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(address).await;
    let bound = listener.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| StartError::Listen { address, source })
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        // A panic in one answer leaves a world that can still be asked.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, peer: usize) -> View {
        let now = self.now();
        self.world().view(peer, now)
    }

    fn ailments(&self, peer: usize) -> Ailments {
        self.script.ailments(peer, self.now())
    }

    /// Until connections of `peer` are taken away the next time.
    async fn next_cut(&self, peer: usize) {
        match self.script.next_cut(peer, self.now()) {
            Some(at) => sleep_until(self.started + at).await,
            None => std::future::pending().await,
        }
    }

    /// While `peer` refuses connections; at once when it does not.
    async fn refusal(&self, peer: usize) {
        loop {
            let now = self.now();
            if self.script.ailments(peer, now).wire != Wire::Refuse {
                return;
            }
            match self.script.refusal_ends(peer, now) {
                Some(until) => sleep_until(self.started + until).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Listens for one side of one peer, except while it refuses.
async fn own_port(
    shared: Arc<Shared>,
    peer: usize,
    side: Side,
    address: SocketAddr,
    mut listener: Option<TcpListener>,
) {
    let mut served = JoinSet::new();
    loop {
        if shared.ailments(peer).wire == Wire::Refuse {
            listener = None;
            shared.refusal(peer).await;
        }
        let Some(open) = &listener else {
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                Err(error) => {
                    tracing::warn!(%address, %error, "a simulated peer cannot listen again yet");
                    sleep(PAUSE).await;
                }
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((stream, _)) => {
                    served.spawn(connection(Arc::clone(&shared), peer, side, stream));
                }
                Err(error) => not_accepted(address, &error).await,
            },
            () = shared.next_cut(peer) => {}
        }
        while served.try_join_next().is_some() {}
    }
}

/// Listens for one side of all peers, told apart by the address that was dialled. One socket can listen at all loopback
/// addresses only by listening at all addresses: what was dialled from elsewhere is closed before anything is read.
async fn shared_port(shared: Arc<Shared>, peers: usize, side: Side, listener: TcpListener) {
    let mut served = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(peer) = dialled(&stream).filter(|peer| *peer < peers) {
                    served.spawn(connection(Arc::clone(&shared), peer, side, stream));
                }
            }
            Err(error) => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                not_accepted(listener.local_addr().unwrap_or(address), &error).await;
            }
        }
        while served.try_join_next().is_some() {}
    }
}

/// The index of the peer whose address was dialled.
fn dialled(stream: &TcpStream) -> Option<usize> {
    let IpAddr::V4(address) = stream.local_addr().ok()?.ip() else {
        return None;
    };
    let index = address.to_bits().checked_sub(FIRST_ADDRESS.to_bits())?;
    usize::try_from(index).ok()
}

async fn not_accepted(address: SocketAddr, error: &io::Error) {
    tracing::warn!(%address, %error, "a connection to a simulated peer was not accepted");
    sleep(PAUSE).await;
}

/// Serves one connection until the client, or a fault, ends it.
async fn connection(shared: Arc<Shared>, peer: usize, side: Side, mut stream: TcpStream) {
    let wire = shared.ailments(peer).wire;
    if !matches!(wire, Wire::Refuse | Wire::Reset) {
        let serve = async {
            match side {
                Side::Binary => binary(&shared, peer, &mut stream).await,
                Side::Rest => http(&shared, peer, &mut stream).await,
            }
        };
        tokio::select! {
            ended = serve => {
                if let Err(error) = ended {
                    tracing::trace!(peer = peer + 1, %error, "a connection ended");
                }
            }
            () = shared.next_cut(peer) => {}
        }
        if shared.ailments(peer).wire != Wire::Reset {
            return;
        }
    }
    // Closed with nothing lingering: the client is sent a reset.
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection is closed in order instead of reset");
    }
}

async fn binary(shared: &Shared, peer: usize, stream: &mut TcpStream) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut frames =
        FramedRead::with_capacity(read, FrameDecoder::new(MAX_CONTENT), READ_BUFFER_BYTES);
    while let Some(first) = frames.next().await {
        let mut contents = vec![first?];
        while contents.len() < BATCH {
            match frames.next().now_or_never() {
                Some(Some(content)) => contents.push(content?),
                Some(None) | None => break,
            }
        }
        let view = shared.view(peer);
        match view.ailments.wire {
            Wire::Tarpit => continue,
            Wire::Refuse | Wire::Reset => return Ok(()),
            _ => sleep(view.ailments.slow).await,
        }
        let (replies, hang_up) = replies(&view, &contents);
        match view.ailments.wire {
            Wire::Garbage => {
                let mut garbage = Vec::new();
                put_frame(&mut garbage, b"\xff\xfe garbage");
                write.write_all(&garbage).await?;
            }
            Wire::HugeFrame => {
                let mut huge = Vec::new();
                vlq::write(MAX_CONTENT as u64, &mut huge);
                write.write_all(&huge).await?;
                write.write_all(rest::HUGE_PIECE).await?;
            }
            Wire::HalfReply => {
                return Ok(write.write_all(&replies[..replies.len() / 2]).await?);
            }
            _ => write.write_all(&replies).await?,
        }
        if hang_up {
            return Ok(());
        }
    }
    Ok(())
}

/// The frames that answer `contents`, those that overtake first, and whether the peer hangs up then.
fn replies(view: &View, contents: &[bytes::Bytes]) -> (Vec<u8>, bool) {
    let (mut now, mut queued) = (Vec::new(), Vec::new());
    for content in contents {
        match turn(view, content) {
            Turn::Now(reply) => put_frame(&mut now, &encode_message(&reply)),
            Turn::Queued(reply) => put_frame(&mut queued, &encode_message(&reply)),
            Turn::Silence => {}
            Turn::HangUp => {
                now.append(&mut queued);
                return (now, true);
            }
        }
    }
    now.append(&mut queued);
    (now, false)
}

async fn http(shared: &Arc<Shared>, peer: usize, stream: &mut TcpStream) -> Result<(), FrameError> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let view = || shared.view(peer);
        rest::answer(view, request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(|error| io::Error::other(error).into())
}
