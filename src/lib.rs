//! convex-peer-monitor watches Convex peers.
//!
//! ```text
//! config ──> scheduler ──(one task per peer)──> probe ──> peer::{http | tcp} ──> cad3
//!    ^                                            │ Observation
//!  reload                                         v
//!                                               fleet ──> snapshot (immutable)
//!                                                 │
//!                                     ┌───────────┴───────────┐
//!                                  metrics                   web
//! ```
//!
//! * [`agent`] – joins the parts, reloads, stops.
//! * [`alert`] – verdicts as alerts.
//! * [`cad3`] – the encoding of Convex values.
//! * [`cadence`] – when next.
//! * [`chain`] – what is asked of the chain, not of each peer.
//! * [`check`] – `check-config`.
//! * [`cli`] – the command line.
//! * [`config`] – what the operator wants.
//! * [`current`] – which configuration is in force.
//! * [`decode`] – `decode`.
//! * [`discovery`] – who is registered on chain and may be watched.
//! * [`fleet`] – what is known of all peers.
//! * [`history`] – what was.
//! * [`inquiry`] – what is asked of the chain, once for a whole network.
//! * [`metrics`] – `/metrics` and the catalogue.
//! * [`notify`] – tells others of alerts.
//! * [`peer`] – how to ask one peer.
//! * [`probe`] – one poll.
//! * [`report`] – a peer as JSON.
//! * [`scheduler`] – one task a peer.
//! * [`self_check`] – whose trouble it is: the agent's or a peer's.
//! * [`shard`] – this agent's part of a fleet.
//! * [`sidecar`] – what the host shows of a peer beside the agent.
//! * [`simulate`] – a simulated network with scripted faults.
//! * [`state_file`] – what outlives the agent, on disk.
//! * [`systemd`] – tells a service manager how the agent is.
//! * [`telemetry`] – logs.
//! * [`web`] – the HTTP server.

pub mod agent;
pub mod alerting;
pub mod cli;
pub mod config;
pub mod failure;
pub mod fleet;
pub mod history;
mod label_enum;
pub mod metrics;
pub mod poller;
pub mod reloadable_tasks;
pub mod retry;
pub mod self_check;
pub mod sidecar;
pub mod survey;
pub mod web;
