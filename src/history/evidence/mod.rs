//! Evidence of incidents: when a peer forks, diverges or recedes, what its network has signed is
//! written to `state_dir/evidence`, because the peers that could prove it may be restarted.

mod document;
mod incident;
mod keeper;
mod store;
#[cfg(test)]
mod tests;

pub use document::{Document, Signatures};
pub use incident::{BlockEvidence, Bytes, Compared, Incident, OrderEvidence, WalkEvidence};
pub use keeper::EvidenceKeeper;
pub use store::{EvidenceError, EvidenceFile, EvidenceStore, Listing, read_evidence};
