#![doc = include_str!("../README.md")]
//!
//! ## How it works
//!
//! ```text
//! fault ──> script ──> world ──view──┬─> reply ──┐
//!                        │           └─> rest ───┴─> connection <── listener <── network
//!                      state <── query
//! ```
//!
//! The world decides what each peer knows at a given time and does no I/O. Everything to the right
//! of it turns that view into bytes on sockets. A [`Simulation`] asks the world directly.

mod account;
mod connection;
mod fault;
mod fault_kind;
mod fault_table;
mod ledger;
mod listener;
mod network;
mod peers;
mod query;
mod registered;
mod release;
mod reply;
mod rest;
mod script;
mod simulation;
mod state;
mod submit;
mod traffic;
mod upgrades;
mod world;

pub use account::{NewAccount, NewAccountError};
pub use fault::{Fault, FaultError};
pub use fault_kind::FaultKind;
pub use fault_table::FAULT_KINDS;
pub use network::{MAX_PEERS, Network, Options, StartError, required_descriptors};
pub use peers::{PeerSet, PeerSetError};
pub use registered::{Registered, RegisteredError};
pub use release::{Release, ReleaseError};
pub use script::Script;
pub use simulation::{SimulatedCells, Simulation};
pub use traffic::{Traffic, TrafficError};
