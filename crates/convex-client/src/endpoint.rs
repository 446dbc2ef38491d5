//! Endpoints of peers: `http://`, `https://` or `tcp://` URLs.

use std::fmt;

use cad3::Hash;
use url::{Host, Url};

use crate::mask::mask_url;

/// The protocol of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum Transport {
    /// REST over HTTP/1.1, with or without TLS.
    Http,
    /// The length-prefixed binary protocol over plain TCP.
    Tcp,
}

impl Transport {
    /// Both transports, in alphabetical order.
    pub const ALL: [Self; 2] = [Self::Http, Self::Tcp];

    /// Returns the name: `http` or `tcp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Port of a `tcp://` endpoint without a port (PEER-PROTOCOL, section 1).
pub const DEFAULT_TCP_PORT: u16 = 18888;

/// The URL of one interface of a peer. It is displayed without its path, which can be secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Without the zone, which URLs do not have and servers do not get.
    url: Url,
    /// The interface of this host through which a link-local address is reached.
    zone: Option<String>,
    transport: Transport,
}

/// Reason why a text is not an endpoint. The message says what would be valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is missing.
    #[error("{text:?} has no scheme; did you mean {suggestion}?")]
    NoScheme {
        /// The text, without what can be secret.
        text: String,
        /// The most similar valid endpoint.
        suggestion: String,
    },
    /// The scheme is not `http`, `https` or `tcp`.
    #[error("{text:?} has scheme {scheme:?}; expected http, https or tcp")]
    Scheme {
        /// The text, without what can be secret.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// The scheme is `tls`: the binary protocol over TLS.
    #[error(
        "{text:?} is not supported yet: the binary port over TLS, which releases from 0.8.17 on can \
         have; use a tcp:// endpoint, or https:// behind a proxy"
    )]
    BinaryTls {
        /// The text, without what can be secret.
        text: String,
    },
    /// The text is not a URL.
    #[error("{text:?} is not a URL: {reason}")]
    Url {
        /// The text, without what can be secret.
        text: String,
        /// Message of the URL parser.
        reason: String,
    },
    /// The URL contains a user name or password. The message does not repeat the URL.
    #[error("an endpoint must not carry a user name or password")]
    Userinfo,
    /// The URL names a route of the REST API, not the address that all routes begin with.
    #[error("{text:?} is a route of the REST API; give what stands before /api")]
    Route {
        /// The text, without what can be secret.
        text: String,
    },
    /// The URL has a query, a fragment, or (for `tcp`) a path.
    #[error("{text:?} carries {what}, which an endpoint does not have")]
    Excess {
        /// The text, without what can be secret.
        text: String,
        /// The part that is not allowed.
        what: &'static str,
    },
}

impl Endpoint {
    /// Parses an endpoint.
    ///
    /// # Errors
    /// The text is not a URL, has another scheme, or has parts that an endpoint must not have.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if !text.contains("://") {
            if text.contains('@') {
                return Err(EndpointError::Userinfo);
            }
            let scheme = if text.ends_with(":18888") {
                "tcp"
            } else {
                "http"
            };
            return Err(EndpointError::NoScheme {
                text: mask_url(text),
                suggestion: mask_url(&format!("{scheme}://{text}")),
            });
        }
        let invalid = |reason: &dyn fmt::Display| EndpointError::Url {
            text: mask_url(text),
            reason: reason.to_string(),
        };
        let (without_zone, zone) = split_zone(text).map_err(|reason| invalid(&reason))?;
        let mut url = Url::parse(&without_zone).map_err(|e| {
            if text.contains('@') {
                EndpointError::Userinfo
            } else {
                invalid(&e)
            }
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Userinfo);
        }
        let transport = match url.scheme() {
            "http" | "https" => Transport::Http,
            "tcp" => Transport::Tcp,
            "tls" => {
                return Err(EndpointError::BinaryTls {
                    text: mask_url(text),
                });
            }
            scheme => {
                return Err(EndpointError::Scheme {
                    text: mask_url(text),
                    scheme: scheme.to_owned(),
                });
            }
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid(&"it has no host"));
        }
        if url.port() == Some(0) {
            return Err(invalid(&"port 0 is not a valid port"));
        }
        let excess = |what| EndpointError::Excess {
            text: mask_url(text),
            what,
        };
        if url.path().trim_end_matches('/').ends_with("/api/v1") || url.path().contains("/api/v1/")
        {
            return Err(EndpointError::Route {
                text: mask_url(text),
            });
        }
        if url.query().is_some() {
            return Err(excess("a query"));
        }
        if url.fragment().is_some() {
            return Err(excess("a fragment"));
        }
        if transport == Transport::Tcp {
            if !matches!(url.path(), "" | "/") {
                return Err(excess("a path"));
            }
            url.set_path("");
        }
        Ok(Self {
            url,
            zone: zone.map(str::to_owned),
            transport,
        })
    }

    /// Returns the protocol.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the endpoint as a URL, which never has a user name, a password or the zone of an
    /// address. Its path can be secret, so print the endpoint itself instead.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns a text that other endpoints do not have and that contains no secret: the endpoint as
    /// displayed, and a hash if that hides anything.
    #[must_use]
    pub fn id(&self) -> String {
        let (shown, url) = (self.to_string(), self.url.as_str());
        if shown == self.with_zone(url.trim_end_matches('/')) {
            return shown;
        }
        format!("{shown}#{}", Hash::of(url.as_bytes()))
    }

    /// Puts the zone back into the text of the URL.
    fn with_zone(&self, url: &str) -> String {
        match &self.zone {
            Some(zone) => url.replacen(']', &format!("%{zone}]"), 1),
            None => url.to_owned(),
        }
    }

    /// Returns the host name or address literal, an IPv6 literal without brackets and with its
    /// zone.
    #[must_use]
    pub fn host(&self) -> String {
        // `tcp` is not a special scheme, so the parser keeps an IPv4 literal as a domain with the
        // same text.
        match self.url.host() {
            Some(Host::Ipv6(ip)) => match &self.zone {
                Some(zone) => format!("{ip}%{zone}"),
                None => ip.to_string(),
            },
            Some(host) => host.to_string(),
            None => String::new(),
        }
    }

    /// Returns the port to connect to; by default 80, 443 or [`DEFAULT_TCP_PORT`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(DEFAULT_TCP_PORT)
    }
}

/// Takes the zone out of an IPv6 literal: of `[fe80::1%eth0]`, or as in a URL of
/// `[fe80::1%25eth0]`.
fn split_zone(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let zone = text.split_once("://[").and_then(|(scheme, rest)| {
        let (literal, rest) = rest.split_once(']')?;
        let (address, zone) = literal.split_once('%')?;
        Some((format!("{scheme}://[{address}]{rest}"), zone))
    });
    let Some((without_zone, zone)) = zone else {
        return Ok((text.to_owned(), None));
    };
    let zone = match zone.strip_prefix("25") {
        Some(zone) if !zone.is_empty() => zone,
        _ => zone,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if zone.is_empty() || !zone.chars().all(plain) {
        return Err(
            "the zone after % must be the name of a network interface, as in [fe80::1%eth0]",
        );
    }
    Ok((without_zone, Some(zone)))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = mask_url(self.url.as_str());
        f.write_str(&self.with_zone(masked.trim_end_matches('/')))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Endpoint::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_scheme_picks_the_transport_and_the_default_port() {
        for (text, transport, host, port) in [
            ("http://localhost", Transport::Http, "localhost", 80),
            (
                "https://peer.convex.live",
                Transport::Http,
                "peer.convex.live",
                443,
            ),
            ("http://127.0.0.1:8080/", Transport::Http, "127.0.0.1", 8080),
            (
                "tcp://peer.convex.live",
                Transport::Tcp,
                "peer.convex.live",
                18888,
            ),
            ("tcp://[::1]:28880", Transport::Tcp, "::1", 28880),
            ("tcp://10.0.0.1:1", Transport::Tcp, "10.0.0.1", 1),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(
                (
                    endpoint.transport(),
                    endpoint.host().as_str(),
                    endpoint.port()
                ),
                (transport, host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_can_have_a_zone_which_servers_do_not_get() {
        for text in ["tcp://[fe80::1%eth0]:18888", "tcp://[fe80::1%25eth0]:18888"] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.host(), "fe80::1%eth0");
            assert_eq!(endpoint.url().as_str(), "tcp://[fe80::1]:18888");
            assert_eq!(endpoint.to_string(), "tcp://[fe80::1%eth0]:18888");
            assert_eq!(endpoint.id(), endpoint.to_string());
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
        }
        let secret = Endpoint::parse("http://[fe80::1%2]:8080/s3cret").unwrap();
        assert_eq!(secret.to_string(), "http://[fe80::1%2]:8080/<secret>");
        assert_eq!(secret.url().path(), "/s3cret");
        let other = Endpoint::parse("tcp://[fe80::1%eth1]:18888").unwrap();
        assert_ne!(
            other,
            Endpoint::parse("tcp://[fe80::1%eth0]:18888").unwrap()
        );
        for text in [
            "http://[fe80::1%]:1",
            "http://[fe80::1%a b]:1",
            "http://[1.2.3.4%eth0]:1",
        ] {
            error(text);
        }
        assert!(error("tcp://[fe80::1%/x]").contains("name of a network interface"));
    }

    #[test]
    fn the_error_of_a_missing_scheme_suggests_an_endpoint() {
        assert_eq!(
            error("localhost:8080"),
            "\"localhost:8080\" has no scheme; did you mean http://localhost:8080?"
        );
        assert_eq!(
            error("peer.example:18888"),
            "\"peer.example:18888\" has no scheme; did you mean tcp://peer.example:18888?"
        );
    }

    #[test]
    fn urls_that_are_not_endpoints_are_refused() {
        assert!(error("ftp://x").contains("expected http, https or tcp"));
        assert_eq!(
            error("tls://peer.example:18888"),
            "\"tls://peer.example:18888\" is not supported yet: the binary port over TLS, which \
             releases from 0.8.17 on can have; use a tcp:// endpoint, or https:// behind a proxy"
        );
        assert!(error("http://x/?a=1").contains("a query"));
        assert!(error("http://x/#a").contains("a fragment"));
        assert!(error("tcp://x:1/path").contains("a path"));
        assert!(error("tcp://:1").contains("host"));
        assert!(error("http://x:0").contains("port 0"));
        assert!(error("http://x:99999").contains("port"));
    }

    #[test]
    fn a_path_is_used_but_never_shown() {
        let [first, second] =
            ["s3cret", "other"].map(|path| Endpoint::parse(&format!("https://x/{path}")).unwrap());
        assert_eq!(first.url().path(), "/s3cret");
        assert_eq!(first.to_string(), "https://x/<secret>");
        assert_eq!(format!("{first:?}"), "Endpoint(\"https://x/<secret>\")");
        assert!(!first.id().contains("s3cret"));
        assert_ne!(first.id(), second.id());
        let plain = Endpoint::parse("https://x/").unwrap();
        assert_eq!(plain.id(), "https://x");
    }

    #[test]
    fn no_error_contains_what_can_be_secret() {
        for text in [
            "http://x/s3cret?token=s3cret",
            "http://x/s3cret#s3cret",
            "tcp://x:1/s3cret",
            "ftp://x/s3cret",
            "http://:/s3cret",
            "x/s3cret",
            "x?token=s3cret:18888",
        ] {
            let message = error(text);
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_in_the_error() {
        for text in [
            "http://u:secret@x",
            "tcp://u:secret@x:1",
            "http://u:secret@x:99999",
            "u:secret@x:1",
        ] {
            let message = error(text);
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
