//! Where a peer answers: `http://`, `https://` or `tcp://` and nothing else. Knows no configuration.

use std::fmt;

use url::{Host, Url};

/// How an endpoint is spoken to. Its name is the `transport` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub enum Transport {
    /// REST over HTTP/1.1 or h2, with or without TLS.
    Http,
    /// The length-prefixed binary protocol over plain TCP.
    Tcp,
}

impl Transport {
    /// Both transports, in label order.
    pub const ALL: [Self; 2] = [Self::Http, Self::Tcp];

    /// The label value: `http` or `tcp`.
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

/// The binary protocol's port when a `tcp://` endpoint names none (PEER-PROTOCOL, section 1).
pub const DEFAULT_TCP_PORT: u16 = 18888;

/// One address of a peer, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    transport: Transport,
}

/// Why a text is no endpoint. The message says what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No scheme, or `host:port` read as one.
    #[error("{text:?} has no scheme; did you mean {suggestion}?")]
    NoScheme {
        /// What was given.
        text: String,
        /// The nearest endpoint.
        suggestion: String,
    },
    /// A scheme that is no transport.
    #[error("{text:?} has scheme {scheme:?}; expected http, https or tcp")]
    Scheme {
        /// What was given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// Not a URL.
    #[error("{text:?} is not a URL: {reason}")]
    Url {
        /// What was given.
        text: String,
        /// What the URL parser says.
        reason: String,
    },
    /// A user name or password in the URL; the URL itself is not repeated.
    #[error("an endpoint must not carry a user name or password; use headers or bearer_token_file")]
    Userinfo,
    /// A query, a fragment, or (for tcp) a path.
    #[error("{text:?} carries {what}, which an endpoint does not have")]
    Excess {
        /// What was given.
        text: String,
        /// The part that is too much.
        what: &'static str,
    },
}

impl Endpoint {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// [`EndpointError`], with the nearest right text where there is one.
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
                text: text.to_owned(),
                suggestion: format!("{scheme}://{text}"),
            });
        }
        let wrong = |reason: &dyn fmt::Display| EndpointError::Url {
            text: text.to_owned(),
            reason: reason.to_string(),
        };
        let mut url = Url::parse(text).map_err(|e| {
            if text.contains('@') {
                EndpointError::Userinfo
            } else {
                wrong(&e)
            }
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Userinfo);
        }
        let transport = match url.scheme() {
            "http" | "https" => Transport::Http,
            "tcp" => Transport::Tcp,
            scheme => {
                return Err(EndpointError::Scheme {
                    text: text.to_owned(),
                    scheme: scheme.to_owned(),
                });
            }
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no host"));
        }
        if url.port() == Some(0) {
            return Err(wrong(&"port 0 cannot be dialled"));
        }
        let excess = |what| EndpointError::Excess {
            text: text.to_owned(),
            what,
        };
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
        Ok(Self { url, transport })
    }

    /// How this endpoint is spoken to.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The endpoint as a URL; never with userinfo.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Host name or address literal, an IPv6 literal without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        // `tcp` is no special scheme: the parser keeps an IPv4 literal as a domain, which reads the same.
        match self.url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        }
    }

    /// The port to dial, defaults included: 80, 443 or [`DEFAULT_TCP_PORT`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(DEFAULT_TCP_PORT)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
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
    fn a_missing_scheme_is_answered_with_the_nearest_endpoint() {
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
    fn what_no_peer_has_is_refused() {
        assert!(error("ftp://x").contains("expected http, https or tcp"));
        assert!(error("http://x/?a=1").contains("a query"));
        assert!(error("http://x/#a").contains("a fragment"));
        assert!(error("tcp://x:1/path").contains("a path"));
        assert!(error("tcp://:1").contains("host"));
        assert!(error("http://x:0").contains("port 0"));
        assert!(error("http://x:99999").contains("port"));
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
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
