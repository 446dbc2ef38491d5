//! Who a connection comes from, as far as limits are concerned, and a bounded memory of clients.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bits of an IPv6 address that name a network: one host can have all addresses of a /64.
const IPV6_NETWORK: u128 = !(u64::MAX as u128);

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// An IPv4 address, or a /64 network of IPv6.
    Address(IpAddr),
    /// A user of this host, by number, over a Unix socket.
    User(u32),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & IPV6_NETWORK).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(v4)) => v4.fmt(formatter),
            Self::Address(IpAddr::V6(v6)) => write!(formatter, "{v6}/64"),
            Self::User(id) => write!(formatter, "user {id}"),
        }
    }
}

/// The clients that were added last, up to a fixed number.
pub(super) struct RecentClients {
    capacity: usize,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    /// When each client was added last, as the number of the addition.
    clients: HashMap<Client, u64>,
    additions: u64,
}

impl RecentClients {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            recent: Mutex::default(),
        }
    }

    /// Adds a client, and forgets the one that was added longest ago if there are too many.
    pub(super) fn add(&self, client: Client) {
        let mut recent = self.recent();
        recent.additions += 1;
        let now = recent.additions;
        recent.clients.insert(client, now);
        if recent.clients.len() > self.capacity {
            let oldest = recent.clients.iter().min_by_key(|(_, added)| **added);
            if let Some(oldest) = oldest.map(|(client, _)| *client) {
                recent.clients.remove(&oldest);
            }
        }
    }

    pub(super) fn remove(&self, client: Client) {
        self.recent().clients.remove(&client);
    }

    pub(super) fn clear(&self) {
        self.recent().clients.clear();
    }

    pub(super) fn contains(&self, client: Client) -> bool {
        self.recent().clients.contains_key(&client)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Client {
    /// The client with this address.
    pub(super) fn at(address: &str) -> Self {
        address.parse::<IpAddr>().unwrap().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client_and_an_ipv4_address_another() {
        assert_eq!(Client::at("2001:db8::1"), Client::at("2001:db8::ffff:2"));
        assert_ne!(Client::at("2001:db8::1"), Client::at("2001:db8:0:1::1"));
        assert_ne!(Client::at("192.0.2.1"), Client::at("192.0.2.2"));
        assert_eq!(Client::at("::ffff:192.0.2.1"), Client::at("192.0.2.1"));
        assert_eq!(Client::at("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn the_client_that_was_added_longest_ago_is_forgotten_first() {
        let recent = RecentClients::new(2);
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(Client::at);
        for client in [a, b, a, c] {
            recent.add(client);
        }
        assert!(recent.contains(a) && !recent.contains(b) && recent.contains(c));
    }
}
