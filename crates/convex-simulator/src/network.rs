//! The running network: its options, its addresses and the state that its connections share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cad3::Hash;
use convex_client::transaction::SignedTransaction;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::account::{NewAccount, number_of_account};
use super::listener::{listen_for_all, listen_for_peer};
use super::peers::PeerSet;
use super::registered::Registered;
use super::release::Release;
use super::script::{ActiveFaults, Script, Wire};
use super::traffic::Traffic;
use super::world::{Executed, Ticket, View, World};

/// Most peers of one network.
pub const MAX_PEERS: usize = 10_000;
/// Up to this many peers have ports of their own. In a larger network each peer has a loopback
/// address of its own and all peers share two ports.
const MAX_PEERS_WITH_OWN_PORTS: usize = 1000;
/// Address of the first peer of a network with shared ports.
pub(super) const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Descriptors of the process that are not the network's.
const OTHER_DESCRIPTORS: u64 = 64;

/// What to simulate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of peers, 1 to [`MAX_PEERS`].
    pub peers: usize,
    /// Seed of the keys and the genesis hash, which otherwise depend only on the number of peers.
    /// The genesis hash depends on accounts and registered peers too.
    pub seed: u64,
    /// Accounts besides those of a fresh network and of its peers, in the order of their numbers.
    pub accounts: Vec<NewAccount>,
    /// Peers that are registered besides these.
    pub registered: Registered,
    /// The release of all peers, unless a fault gives another one; none for 0.8.6, or 0.8.17 with
    /// an upgrade.
    pub release: Option<Release>,
    /// The faults.
    pub script: Script,
    /// When blocks are made; none for an idle network.
    pub traffic: Option<Traffic>,
    /// First of the consecutive ports to listen on; none for free ports.
    pub first_port: Option<u16>,
}

/// Why a network does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Too few or too many peers.
    #[error("a simulated network cannot have {0} peers; expected 1 to {MAX_PEERS}")]
    Peers(usize),
    /// Some of the ports would be above 65535.
    #[error(
        "{peers} peers from port {first} on need ports up to {last}, above 65535; choose a lower first port"
    )]
    Ports {
        /// Number of peers.
        peers: usize,
        /// The first port.
        first: u16,
        /// The last port that would be needed.
        last: usize,
    },
    /// Something else listens on a port.
    #[error("{address} is in use, maybe by another simulated network; choose another first port")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// A listener cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

/// Returns the number of file descriptors that a network of `peers` needs while one client keeps a
/// connection to each endpoint.
#[must_use]
pub fn required_descriptors(peers: usize) -> u64 {
    let listeners = ports(peers);
    (listeners + 2 * peers) as u64 + OTHER_DESCRIPTORS
}

/// A running network. Dropping it closes all its listeners and connections.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    genesis: Hash,
    keys: Vec<Hash>,
    addresses: Vec<[SocketAddr; 2]>,
    _listeners: JoinSet<()>,
}

/// The state that all connections of a network share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    script: Script,
    started: Instant,
}

/// The protocol of a port, in the order of a peer's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Binary = 0,
    Rest = 1,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Binary, Protocol::Rest];

impl Network {
    /// Starts a network. When this returns, all peers listen, except those that refuse from the
    /// start.
    ///
    /// # Errors
    /// The number of peers or the first port is out of range, or a listener cannot be opened.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options {
            peers, first_port, ..
        } = options;
        if !(1..=MAX_PEERS).contains(&peers) {
            return Err(StartError::Peers(peers));
        }
        if let Some(first) = first_port {
            let last = usize::from(first) + ports(peers) - 1;
            if last > usize::from(u16::MAX) {
                return Err(StartError::Ports { peers, first, last });
            }
        }
        let (wall, clock) = (SystemTime::now(), Instant::now());
        let wall = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let start_ms = i64::try_from(wall.as_millis()).unwrap_or(0);
        // Move the start back to a whole millisecond of wall-clock time, which the clocks of peers
        // count in.
        let since = Duration::from_nanos(u64::from(wall.subsec_nanos() % 1_000_000));
        let started = clock.checked_sub(since).unwrap_or(clock);
        let script = options.script.clone();
        let mut world = World::new(options, start_ms);
        let genesis = world.genesis();
        let keys = (0..peers).map(|peer| world.key(peer)).collect();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            script,
            started,
        });
        let mut listeners = JoinSet::new();
        let addresses = if peers <= MAX_PEERS_WITH_OWN_PORTS {
            listen_on_own_ports(&shared, peers, first_port, &mut listeners).await?
        } else {
            listen_on_shared_ports(&shared, peers, first_port, &mut listeners).await?
        };
        let urls = addresses
            .iter()
            .map(|[binary, _]| format!("tcp://{binary}").into());
        shared.world().register_urls(urls.collect());
        Ok(Self {
            shared,
            genesis,
            keys,
            addresses,
            _listeners: listeners,
        })
    }

    /// Returns the genesis hash, which identifies the network.
    #[must_use]
    pub const fn genesis(&self) -> Hash {
        self.genesis
    }

    /// Returns the number of peers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: a network has at least one peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the key of peer `i`, counted from 1.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn key(&self, i: usize) -> Hash {
        self.keys[i - 1]
    }

    /// Returns the address at which peer `i`, counted from 1, speaks the binary protocol.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn tcp(&self, i: usize) -> SocketAddr {
        self.addresses[i - 1][Protocol::Binary as usize]
    }

    /// Returns the address at which peer `i`, counted from 1, speaks HTTP.
    ///
    /// # Panics
    /// There is no such peer.
    #[must_use]
    pub fn http(&self, i: usize) -> SocketAddr {
        self.addresses[i - 1][Protocol::Rest as usize]
    }

    /// Lets peer `i`, counted from 1, make a block.
    ///
    /// # Panics
    /// There is no such peer.
    pub fn make_block(&self, i: usize) {
        let now = self.shared.now();
        self.shared.world().make_block(i - 1, now);
    }

    /// Returns the number of the `i`-th of [`Options::accounts`], counted from 0.
    #[must_use]
    pub fn account(&self, i: usize) -> u64 {
        number_of_account(self.len(), i)
    }

    /// Returns a configuration of convex-peer-monitor for this network: all peers with genesis and
    /// keys pinned, and limits that allow all of them on one host.
    #[must_use]
    pub fn config(&self) -> String {
        self.config_of(&PeerSet::all(self.len()))
    }

    /// Returns the same configuration with only these peers.
    #[must_use]
    pub fn config_of(&self, watched: &PeerSet) -> String {
        let (count, genesis) = (self.len(), self.genesis);
        let inflight = count.max(512);
        let peer = |i| {
            let (key, tcp, http) = (self.key(i), self.tcp(i), self.http(i));
            format!(
                "  - {{ name: sim-{i}, network: simulated, key: \"{key}\", \
                 endpoints: [\"http://{http}\", \"tcp://{tcp}\"] }}\n"
            )
        };
        let watched = (1..=count).filter(|i| watched.contains(i - 1));
        let peers: String = watched.map(peer).collect();
        format!(
            "# A simulated network of {count} peers.\n\
             networks:\n  - {{ name: simulated, genesis: \"{genesis}\" }}\n\
             # All peers are on this host.\n\
             limits: {{ max_inflight: {inflight}, per_host_inflight: {inflight} }}\n\
             peers:\n{peers}"
        )
    }
}

/// Returns the number of ports that a network of `peers` listens on.
const fn ports(peers: usize) -> usize {
    if peers <= MAX_PEERS_WITH_OWN_PORTS {
        2 * peers
    } else {
        2
    }
}

/// Starts two listeners per peer on 127.0.0.1 and returns the addresses of each peer.
async fn listen_on_own_ports(
    shared: &Arc<Shared>,
    peers: usize,
    first_port: Option<u16>,
    listeners: &mut JoinSet<()>,
) -> Result<Vec<[SocketAddr; 2]>, StartError> {
    let mut addresses = Vec::with_capacity(peers);
    let mut bound = Vec::with_capacity(2 * peers);
    for peer in 0..peers {
        let mut of_peer = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 2];
        for protocol in PROTOCOLS {
            let offset = u16::try_from(2 * peer + protocol as usize).unwrap_or(0);
            let port = first_port.map_or(0, |first| first + offset);
            let (listener, address) = bind((Ipv4Addr::LOCALHOST, port).into()).await?;
            of_peer[protocol as usize] = address;
            bound.push((peer, protocol, address, listener));
        }
        addresses.push(of_peer);
    }
    for (peer, protocol, address, listener) in bound {
        // The port of a peer that refuses from the start must not accept a single connection.
        let refuses = shared.active_faults(peer).wire == Wire::Refuse;
        let listener = (!refuses).then_some(listener);
        let shared = Arc::clone(shared);
        listeners.spawn(listen_for_peer(shared, peer, protocol, address, listener));
    }
    Ok(addresses)
}

/// Starts one listener per protocol for all peers and returns the addresses of each peer.
async fn listen_on_shared_ports(
    shared: &Arc<Shared>,
    peers: usize,
    first_port: Option<u16>,
    listeners: &mut JoinSet<()>,
) -> Result<Vec<[SocketAddr; 2]>, StartError> {
    let mut ports = [0; 2];
    for protocol in PROTOCOLS {
        let port = first_port.map_or(0, |first| first + protocol as u16);
        let (listener, address) = bind((Ipv4Addr::UNSPECIFIED, port).into()).await?;
        ports[protocol as usize] = address.port();
        listeners.spawn(listen_for_all(
            Arc::clone(shared),
            peers,
            protocol,
            listener,
        ));
    }
    let host =
        |peer: usize| Ipv4Addr::from(FIRST_ADDRESS.to_bits() + u32::try_from(peer).unwrap_or(0));
    Ok((0..peers)
        .map(|peer| ports.map(|port| (host(peer), port).into()))
        .collect())
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(address).await;
    let bound = listener.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse { address },
        _ => StartError::Listen { address, source },
    })
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic in one connection leaves the world usable for the others.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what `peer`, an index from 0, knows now.
    pub(super) fn view(&self, peer: usize) -> View {
        let now = self.now();
        self.world().view(peer, now)
    }

    /// Lets `peer` accept a transaction now.
    pub(super) fn submit(&self, peer: usize, transaction: SignedTransaction) -> Ticket {
        let now = self.now();
        self.world().submit(peer, transaction, now)
    }

    /// Returns what became of a transaction, once `peer` has executed its block.
    pub(super) fn executed(&self, peer: usize, ticket: Ticket) -> Option<Executed> {
        let now = self.now();
        self.world().executed(ticket, peer, now)
    }

    /// Returns what is wrong with `peer` now.
    pub(super) fn active_faults(&self, peer: usize) -> ActiveFaults {
        self.script.active_faults(peer, self.now())
    }

    /// Waits until a fault next ends the connections of `peer`.
    pub(super) async fn next_disconnect(&self, peer: usize) {
        match self.script.next_disconnect(peer, self.now()) {
            Some(at) => sleep_until(self.started + at).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until `peer` does not refuse connections.
    pub(super) async fn refusal_end(&self, peer: usize) {
        loop {
            let now = self.now();
            if self.script.active_faults(peer, now).wire != Wire::Refuse {
                return;
            }
            match self.script.refusal_end(peer, now) {
                Some(until) => sleep_until(self.started + until).await,
                None => std::future::pending().await,
            }
        }
    }
}
