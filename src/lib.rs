//! convex-peer-monitor watches Convex peers.

pub mod cad3;
pub mod config;
pub mod peer;
