//! The network on real sockets: who listens where, and what becomes of connections. All of it ends when dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::listen::{own_port, shared_port};
use super::script::{Ailments, Script, Wire};
use super::world::{Traffic, View, World};

/// Most peers of one network.
pub const MAX_PEERS: usize = 10_000;
/// Up to so many peers each has ports of its own.
const OWN_PORTS: usize = 1000;
/// The first of the addresses by which more peers are told apart.
pub(super) const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
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

/// What all connections of a network have in common.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    script: Script,
    started: Instant,
}

/// The protocol that is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
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

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic in one answer leaves a world that can still be asked.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `peer`, by index from 0, knows now.
    pub(super) fn view(&self, peer: usize) -> View {
        let now = self.now();
        self.world().view(peer, now)
    }

    /// What is wrong with `peer` now.
    pub(super) fn ailments(&self, peer: usize) -> Ailments {
        self.script.ailments(peer, self.now())
    }

    /// Until connections of `peer` are taken away the next time.
    pub(super) async fn next_cut(&self, peer: usize) {
        match self.script.next_cut(peer, self.now()) {
            Some(at) => sleep_until(self.started + at).await,
            None => std::future::pending().await,
        }
    }

    /// While `peer` refuses connections; at once when it does not.
    pub(super) async fn refusal(&self, peer: usize) {
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
