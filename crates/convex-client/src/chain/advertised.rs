//! Where a peer says on chain that it answers. Text by a stranger: what is no host and port is refused.

use std::net::{IpAddr, SocketAddrV6};
use std::str::FromStr;

/// Longest host name and longest part of one between dots (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// Host and port of the binary protocol, as advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// A name in lower case, or an address literal without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why an advertised URL names no endpoint of the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisedError {
    /// Another form, as one with another scheme, a user name, a path or a query.
    #[error("the advertised URL is neither host:port nor tcp://host:port")]
    Form,
    /// No name that DNS has and no address.
    #[error("the host of the advertised URL is neither a host name nor an address")]
    Host,
    /// Not 1 to 65535.
    #[error("the port of the advertised URL is not 1 to 65535")]
    Port,
}

impl FromStr for Advertised {
    type Err = AdvertisedError;

    /// Reads `host:port`, and `tcp://host:port` as releases from 0.8.3 on have it.
    fn from_str(text: &str) -> Result<Self, AdvertisedError> {
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        if text.starts_with('[') {
            let address: SocketAddrV6 = text.parse().map_err(|_| AdvertisedError::Form)?;
            if address.scope_id() != 0 {
                return Err(AdvertisedError::Host);
            }
            return Self::new(address.ip().to_string(), address.port());
        }
        let (host, port) = text.rsplit_once(':').ok_or(AdvertisedError::Form)?;
        let foreign = |c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c));
        if host.contains(foreign) {
            return Err(AdvertisedError::Form);
        }
        let sound = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if host.len() > MAX_HOST || !host.split('.').all(sound) {
            return Err(AdvertisedError::Host);
        }
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AdvertisedError::Form);
        }
        let number = port.parse().map_err(|_| AdvertisedError::Port)?;
        Self::new(host.to_ascii_lowercase(), number)
    }
}

impl Advertised {
    fn new(host: String, port: u16) -> Result<Self, AdvertisedError> {
        if port == 0 {
            return Err(AdvertisedError::Port);
        }
        Ok(Self { host, port })
    }

    /// Whether the host has to be resolved.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_read_with_the_scheme_and_without() {
        for (text, host, port) in [
            ("peer.example:18888", "peer.example", 18888),
            ("tcp://Peer.Example:1", "peer.example", 1),
            ("127.0.0.1:28841", "127.0.0.1", 28841),
            ("tcp://[2001:DB8::1]:65535", "2001:db8::1", 65535),
            ("my_peer-1:80", "my_peer-1", 80),
        ] {
            let expected = Advertised {
                host: host.to_owned(),
                port,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        use AdvertisedError::{Form, Host, Port};
        let long_label = format!("{}.example:1", "a".repeat(64));
        let long_host = format!("{}a:1", "a.".repeat(127));
        for (text, error) in [
            ("", Form),
            ("peer.example", Form),
            ("http://peer.example:80", Form),
            ("TCP://peer.example:80", Form),
            ("tcp://user@peer.example:80", Form),
            ("tcp://user:secret@peer.example:80", Form),
            ("tcp://peer.example:80/", Form),
            ("peer.example:80/path", Form),
            ("peer.example:80?query", Form),
            ("peer.example:80#fragment", Form),
            ("peer.example:+80", Form),
            ("peer.example: 80", Form),
            (" peer.example:80", Form),
            ("peer.example:80\n", Form),
            ("peer.example\r\nHost\u{3a} x:80", Form),
            ("p\u{e9}er.example:80", Form),
            ("2001:db8::1:80", Form),
            ("[2001:db8::1]", Form),
            ("[fe80::1%1]:80", Host),
            (":80", Host),
            (".:80", Host),
            ("peer..example:80", Host),
            ("-peer:80", Host),
            (long_label.as_str(), Host),
            (long_host.as_str(), Host),
            ("peer.example:0", Port),
            ("peer.example:", Port),
            ("peer.example:65536", Port),
            ("[2001:db8::1]:0", Port),
        ] {
            assert_eq!(text.parse::<Advertised>(), Err(error), "{text:?}");
        }
    }
}
