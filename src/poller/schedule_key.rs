//! The key that determines when a peer is polled.

use std::borrow::Cow;
use std::fs;
use std::sync::LazyLock;

use rustix::system::uname;

use crate::config::{Peer, Role};

/// Longest identity of a host that is used, in characters.
const MAX_IDENTITY_LENGTH: usize = 256;

/// Identifies this host: its name, and the identity of its system.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let mut host = uname().nodename().to_string_lossy().into_owned();
    // Absent in many containers, whose names differ instead.
    if let Ok(id) = fs::read_to_string("/etc/machine-id") {
        host.extend(id.chars().take(MAX_IDENTITY_LENGTH));
    }
    host
});

/// Returns the text whose hash is the phase of a peer's polls: its name, and for other people's
/// peers this host too. Many agents poll the same ones, which must not get all polls at the same
/// moment.
pub(super) fn schedule_key(peer: &Peer) -> Cow<'_, str> {
    key_on(peer, &HOST)
}

fn key_on<'a>(peer: &'a Peer, host: &str) -> Cow<'a, str> {
    match peer.role {
        Role::Own => Cow::Borrowed(&peer.name),
        Role::Reference => Cow::Owned(format!("{} {host}", peer.name)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::poller::schedule::phase;

    #[test]
    fn agents_on_many_hosts_poll_the_built_in_peer_at_different_times() {
        let peer = &config::embedded().peers[0];
        let minute = Duration::from_secs(60);
        let mut sixths = [0; 6];
        for host in 0..600 {
            let phase = phase(&key_on(peer, &format!("host-{host}")), minute);
            sixths[usize::try_from(phase.as_secs()).unwrap() / 10] += 1;
        }
        assert!(
            sixths.iter().all(|polls| (60..140).contains(polls)),
            "{sixths:?}"
        );
        assert_eq!(
            schedule_key(peer),
            schedule_key(peer),
            "a restart keeps the times"
        );
    }

    #[test]
    fn own_peers_are_polled_at_the_same_times_from_everywhere() {
        let mut peer = (*config::embedded().peers[0]).clone();
        peer.role = Role::Own;
        assert_eq!(key_on(&peer, "a"), key_on(&peer, "b"));
    }
}
