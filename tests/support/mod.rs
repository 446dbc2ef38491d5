//! What tests and benchmarks share: a running agent, a scripted peer, and the contract that every peer must meet.

pub(crate) mod agent;
pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod contract;
pub(crate) mod fake;
pub(crate) mod program;
pub(crate) mod simulated;
pub(crate) mod tls;
