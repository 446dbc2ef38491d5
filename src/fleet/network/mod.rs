//! The watched peers of one network compared with each other.

pub(super) mod agreement;
pub(super) mod consensus;
pub(super) mod genesis;
pub(super) mod head;
mod lanes;
mod later;
pub(super) mod member;
mod progress;
mod recent;
pub(super) mod record;
pub(super) mod registration;
pub(super) mod registry;
mod relations;
pub(super) mod ring;
pub(super) mod stake;
pub(super) mod throughput;
pub(super) mod upgrades;
pub(super) mod verdict;
mod watch;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod upgrade_tests;
