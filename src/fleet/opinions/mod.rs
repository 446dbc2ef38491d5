//! What agents tell each other about peers and networks, and what follows from several opinions.

pub(super) mod on_network;
pub(super) mod on_peer;
pub(super) mod opinion;
pub(super) mod reached;
pub(super) mod vantages;
mod views;
