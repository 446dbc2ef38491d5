//! Why a peer could not be asked: a closed set of reasons, each with a message for people.

use std::fmt;
use std::io;

use crate::Transport;

/// Why an attempt failed: a closed set, one snake-case word each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The host name does not resolve.
    Dns,
    /// Nothing listens at the address.
    Refused,
    /// There is no route to the address.
    Unreachable,
    /// The connection was not established before the deadline.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake failed because the certificate has expired.
    TlsExpired,
    /// The HTTP status carries no answer.
    HttpStatus,
    /// No answer arrived before the deadline.
    Timeout,
    /// The peer closed the connection before it answered.
    Closed,
    /// The reply does not follow the protocol.
    Malformed,
    /// The reply is larger than the caller accepts.
    TooLarge,
    /// The peer answers STATUS but not the query.
    QueryHangs,
    /// The peer reports that it cannot answer.
    PeerError,
    /// The peer reports that it is overloaded.
    Overloaded,
    /// This side could not ask: no descriptor, port or memory was left, or the caller gave up. Says nothing about the peer.
    Local,
}

impl FailureReason {
    /// Every reason, in the order of the declaration.
    pub const ALL: &'static [Self] = &[
        Self::Dns,
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::Tls,
        Self::TlsExpired,
        Self::HttpStatus,
        Self::Timeout,
        Self::Closed,
        Self::Malformed,
        Self::TooLarge,
        Self::QueryHangs,
        Self::PeerError,
        Self::Overloaded,
        Self::Local,
    ];

    /// The reason as one word, such as `connect_timeout`: stable, fit for a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::TlsExpired => "tls_expired",
            Self::HttpStatus => "http_status",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::QueryHangs => "query_hangs",
            Self::PeerError => "peer_error",
            Self::Overloaded => "overloaded",
            Self::Local => "local",
        }
    }

    /// What the reason means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Dns => "The host name does not resolve.",
            Self::Refused => "Nothing listens at the address.",
            Self::Unreachable => "There is no route to the address.",
            Self::ConnectTimeout => "The connection was not established before the deadline.",
            Self::Tls => "The TLS handshake failed.",
            Self::TlsExpired => "The TLS handshake failed because the certificate has expired.",
            Self::HttpStatus => "The HTTP status carries no answer.",
            Self::Timeout => "No answer arrived before the deadline.",
            Self::Closed => "The peer closed the connection before it answered.",
            Self::Malformed => "The reply does not follow the protocol.",
            Self::TooLarge => "The reply is larger than the accepted size.",
            Self::QueryHangs => "The peer answers STATUS but not the query.",
            Self::PeerError => "The peer reports that it cannot answer.",
            Self::Overloaded => "The peer reports that it is overloaded.",
            Self::Local => "This side could not ask; says nothing about the peer.",
        }
    }

    /// Whether this reason can occur on `transport`: only HTTP has TLS and status codes.
    #[must_use]
    pub const fn possible_on(self, transport: Transport) -> bool {
        match self {
            Self::Tls | Self::TlsExpired | Self::HttpStatus => {
                matches!(transport, Transport::Http)
            }
            _ => true,
        }
    }

    /// Whether another attempt soon afterwards could end differently.
    #[must_use]
    pub const fn worth_a_retry(self) -> bool {
        !matches!(self, Self::TlsExpired)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failed try: the reason for machines, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The closed reason.
    pub reason: FailureReason,
    /// What exactly was seen, in lower case and on one line.
    pub message: String,
}

impl Failure {
    /// A failure; control characters of `message`, which may come from a stranger, are made harmless.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: printable(message.into()),
        }
    }

    /// What an I/O error of a connection under way means.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        Self::new(reason_of(error), error.to_string())
    }
}

/// What a peer may make us print in one failure, characters.
const MESSAGE_CHARS: usize = 300;

/// `text` on one line, without control or direction-changing characters, at most [`MESSAGE_CHARS`] long.
pub fn printable(text: String) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.len() <= MESSAGE_CHARS && !text.contains(harmful) {
        return text;
    }
    let mut clean: String = text
        .chars()
        .take(MESSAGE_CHARS)
        .map(|c| if harmful(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MESSAGE_CHARS).is_some() {
        clean.push('…');
    }
    clean
}

fn reason_of(error: &io::Error) -> FailureReason {
    /// Linux: out of descriptors in this process, in the system, of buffers.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureReason::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            FailureReason::Unreachable
        }
        io::ErrorKind::TimedOut => FailureReason::ConnectTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => FailureReason::Closed,
        io::ErrorKind::InvalidData => FailureReason::Malformed,
        // No address or port of our own left, no right to dial, no network interface, no memory.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::AddrInUse
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::OutOfMemory => FailureReason::Local,
        _ => match error.raw_os_error() {
            Some(EMFILE | ENFILE | ENOBUFS) => FailureReason::Local,
            _ => FailureReason::Closed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_the_monitors_own_trouble() {
        assert_eq!(
            Failure::from_io(&io::Error::from_raw_os_error(24)).reason,
            FailureReason::Local
        );
        assert_eq!(
            Failure::from_io(&io::ErrorKind::ConnectionRefused.into()).reason,
            FailureReason::Refused
        );
    }

    #[test]
    fn a_strangers_text_is_shortened_and_made_harmless() {
        let failure = Failure::new(
            FailureReason::PeerError,
            format!("a\u{1b}[31m\n\u{202e}b{}", "x".repeat(1_000_000)),
        );
        assert!(
            failure
                .message
                .starts_with("a\u{fffd}[31m\u{fffd}\u{fffd}b")
        );
        assert_eq!(failure.message.chars().count(), MESSAGE_CHARS + 1);
    }

    #[test]
    fn labels_are_unique() {
        let labels: std::collections::BTreeSet<_> = FailureReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(labels.len(), FailureReason::ALL.len());
    }
}
