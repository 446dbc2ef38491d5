//! convex-peer-monitor watches the health of Convex peers.
//!
//! ```text
//! config ──> poller ──> convex-client ──> Observation ──> fleet ──> Snapshot ──> metrics, web,
//!              ^                                           ^ │                       alerting
//!              │ commands                                  │ └──> history
//!         survey, web                       survey, self_check, sidecar
//! ```
//!
//! * [`agent`] – starts, reloads and stops everything else.
//! * [`alerting`] – turns verdicts into alerts and delivers them.
//! * [`cli`] – the command line.
//! * [`config`] – the YAML file as a valid configuration.
//! * [`failure`] – why a poll failed.
//! * [`fleet`] – what is known about each peer and network.
//! * [`history`] – recent polls, summaries and events.
//! * `label_enum` – enums whose variants are label values.
//! * [`metrics`] – the catalogue of metrics and `/metrics`.
//! * [`poller`] – when and how peers are polled.
//! * [`retry`] – pauses between attempts.
//! * [`self_check`] – measurements of this host, which tell its problems from those of peers.
//! * [`sidecar`] – measurements of a peer that runs on this host.
//! * [`supervisor`] – starts every long-lived task, and restarts it.
//! * [`survey`] – what one peer answers for its whole network: registry, custom queries, discovery.
//! * [`web`] – the HTTP server: pages, API, health.
//!
//! Crates of their own:
//!
//! * [`cad3`] – the encoding of Convex values.
//! * [`convex_client`] – how to query one peer.
//! * [`convex_simulator`] – a simulated network with scripted faults.

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
pub mod retry;
pub mod self_check;
pub mod sidecar;
pub mod supervisor;
pub mod survey;
pub mod web;
