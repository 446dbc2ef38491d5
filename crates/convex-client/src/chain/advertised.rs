//! Addresses that peers advertise on chain. The text is not trusted: anything but a host and a port
//! is refused.

use std::net::{IpAddr, SocketAddrV6};
use std::str::FromStr;

/// Maximum length of a host name in bytes (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Maximum length of one label of a host name in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Host and port of the binary protocol that a peer advertises on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedAddress {
    /// Host name in lower case, or address literal without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

/// Reason why an advertised URL is not an address of the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisedError {
    /// The text has another form, for example another scheme, a user name, a path or a query.
    #[error("the advertised URL is neither host:port nor tcp://host:port")]
    Form,
    /// The host is neither a valid DNS name nor an address.
    #[error("the host of the advertised URL is neither a host name nor an address")]
    Host,
    /// The port is not 1 to 65535.
    #[error("the port of the advertised URL is not 1 to 65535")]
    Port,
}

impl FromStr for AdvertisedAddress {
    type Err = AdvertisedError;

    /// Parses `host:port`, or `tcp://host:port`, which releases from 0.8.3 advertise.
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
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !host.chars().all(is_allowed) {
            return Err(AdvertisedError::Form);
        }
        let is_valid_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if host.len() > MAX_HOST_BYTES || !host.split('.').all(is_valid_label) {
            return Err(AdvertisedError::Host);
        }
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AdvertisedError::Form);
        }
        let number = port.parse().map_err(|_| AdvertisedError::Port)?;
        Self::new(host.to_ascii_lowercase(), number)
    }
}

impl AdvertisedAddress {
    fn new(host: String, port: u16) -> Result<Self, AdvertisedError> {
        if port == 0 {
            return Err(AdvertisedError::Port);
        }
        Ok(Self { host, port })
    }

    /// Returns whether the host is a name, which needs to be resolved.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_parsed_with_and_without_scheme() {
        for (text, host, port) in [
            ("peer.example:18888", "peer.example", 18888),
            ("tcp://Peer.Example:1", "peer.example", 1),
            ("127.0.0.1:28841", "127.0.0.1", 28841),
            ("tcp://[2001:DB8::1]:65535", "2001:db8::1", 65535),
            ("my_peer-1:80", "my_peer-1", 80),
        ] {
            let expected = AdvertisedAddress {
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
            assert_eq!(text.parse::<AdvertisedAddress>(), Err(error), "{text:?}");
        }
    }
}
