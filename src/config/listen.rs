//! Where a listener listens: an IP address and a port, or a Unix socket.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Prefix of a Unix socket.
const UNIX: &str = "unix:";

/// Longest path of a Unix socket in bytes, without the zero at its end.
const MAX_PATH_BYTES: usize = 107;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and a port; with port 0 the system chooses one.
    Tcp(SocketAddr),
    /// The path of a Unix socket, absolute.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this host can connect. Who may connect to a Unix socket is up to its file mode.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether both cannot be bound at once.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let is_chosen_later = matches!(self, Self::Tcp(address) if address.port() == 0);
        self == other && !is_chosen_later
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX) else {
            let address = text.parse().ok().or_else(|| with_zone(text));
            return address.map(Self::Tcp).ok_or_else(|| {
                "expected an address and a port, as in `127.0.0.1:18880` or `[::1]:18880`, or \
                 `unix:` and an absolute path"
                    .to_owned()
            });
        };
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return Err("the path of a Unix socket must be absolute, as in \
                 `unix:/run/convex-peer-monitor/agent.sock`"
                .to_owned());
        }
        if path.len() > MAX_PATH_BYTES {
            return Err(format!(
                "the path of a Unix socket may have {MAX_PATH_BYTES} bytes, not {}",
                path.len()
            ));
        }
        Ok(Self::Unix(path.into()))
    }
}

/// Parses an address whose zone is the name of an interface of this host, as in `[fe80::1%eth0]:1`.
fn with_zone(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.strip_prefix('[')?.split_once("]:")?;
    host.contains('%').then_some(())?;
    // The C library reads the zone; there is no name to resolve.
    let (address, _) = host.split_once('%')?;
    address.parse::<std::net::Ipv6Addr>().ok()?;
    (host, port.parse::<u16>().ok()?)
        .to_socket_addrs()
        .ok()?
        .next()
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_zone_and_a_socket_are_read_and_written_back() {
        for text in [
            "127.0.0.1:18880",
            "[::1]:0",
            "[fe80::1%1]:18880",
            "unix:/run/convex peer monitor/agent.sock",
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
        }
        let by_name: Listen = "[fe80::1%lo]:18880".parse().unwrap();
        assert_eq!(by_name.to_string(), "[fe80::1%1]:18880");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "18880",
            "localhost:18880",
            "[fe80::1%nosuch]:1",
            "[127.0.0.1%lo]:1",
            "unix:",
            "unix:agent.sock",
            "/run/agent.sock",
        ] {
            text.parse::<Listen>().unwrap_err();
        }
        let long = format!("unix:/{}", "x".repeat(MAX_PATH_BYTES));
        assert_eq!(
            long.parse::<Listen>().unwrap_err(),
            "the path of a Unix socket may have 107 bytes, not 108"
        );
    }

    #[test]
    fn a_unix_socket_is_local_and_taken_once() {
        let socket: Listen = "unix:/a".parse().unwrap();
        assert!(socket.is_local() && socket.conflicts_with(&socket));
        let any: Listen = "127.0.0.1:0".parse().unwrap();
        assert!(any.is_local() && !any.conflicts_with(&any));
        assert!(!"0.0.0.0:1".parse::<Listen>().unwrap().is_local());
    }
}
