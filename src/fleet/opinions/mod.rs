//! The opinions of agents on peers and networks, and what follows from several of them.

pub(super) mod acknowledged;
pub(super) mod firing;
pub(super) mod on_network;
pub(super) mod on_peer;
pub(super) mod opinion;
pub(super) mod reached;
pub(super) mod vantages;
mod views;
