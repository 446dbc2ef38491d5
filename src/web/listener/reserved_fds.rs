//! File descriptors reserved for clients, so that health checks are answered even when polls have
//! used up all others.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// Number of descriptors in reserve.
const RESERVED_FDS: usize = 4;

/// The reserved descriptors.
#[derive(Default)]
pub(super) struct ReservedFds(Mutex<Vec<OwnedFd>>);

impl ReservedFds {
    /// Fills the reserve as far as the system allows, with duplicates of stderr, which is always
    /// open.
    pub(super) fn refill(&self) {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while reserved.len() < RESERVED_FDS {
            let Ok(duplicate) = io::stderr().as_fd().try_clone_to_owned() else {
                return;
            };
            reserved.push(duplicate);
        }
    }

    /// Closes one descriptor so that a waiting connection can be accepted. Returns false if the
    /// reserve is empty.
    pub(super) fn release_one(&self) -> bool {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.pop().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_bounded_and_can_be_refilled() {
        let reserved = ReservedFds::default();
        assert!(!reserved.release_one(), "nothing is reserved yet");
        reserved.refill();
        reserved.refill();
        let released = (0..99).filter(|_| reserved.release_one()).count();
        assert_eq!(released, RESERVED_FDS);
        reserved.refill();
        assert!(reserved.release_one());
    }
}
