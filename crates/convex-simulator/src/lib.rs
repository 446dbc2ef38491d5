//! A simulated Convex network on loopback that speaks both real protocols, with scripted faults: for rehearsing pages, for
//! tests and for benchmarks. Knows nothing of the agent.
//!
//! ```text
//! fault ──> script ──> world ──view──┬─> reply ──┐
//!                        │           └─> rest ───┴─> connection <── listen <── network
//!                      state <── query <── functions
//! ```

mod connection;
mod fault;
mod functions;
mod kind;
mod listen;
mod network;
mod peers;
mod query;
mod reply;
mod rest;
mod script;
mod state;
mod world;

pub use fault::{Fault, FaultError};
pub use kind::{KINDS, Kind};
pub use network::{MAX_PEERS, Network, Options, StartError, descriptors};
pub use peers::{PeerSet, PeerSetError};
pub use script::Script;
pub use world::{Traffic, TrafficError};
