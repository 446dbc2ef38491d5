//! convex-peer-monitor watches Convex peers.

pub mod cad3;
pub mod check;
pub mod config;
pub mod decode;
pub mod peer;
