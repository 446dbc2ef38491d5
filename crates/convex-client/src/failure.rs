//! Failures: a closed set of reasons, each with a message for people.

use std::fmt;
use std::io;

use crate::deceptive::is_deceptive;
use crate::endpoint::Transport;

/// Reason why an attempt failed. The set is closed, and each reason has a stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The host name does not resolve.
    Dns,
    /// Nothing listens at the address.
    Refused,
    /// There is no route to the address, or the connection cannot be made for another reason.
    Unreachable,
    /// The connection was not established before the deadline.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake failed because the certificate has expired.
    TlsExpired,
    /// The HTTP status is not success, and the body is not an answer.
    HttpStatus,
    /// No answer arrived before the deadline.
    Timeout,
    /// The peer closed the connection before it answered.
    Closed,
    /// The reply does not follow the protocol.
    Malformed,
    /// The reply is larger than [`ClientOptions::max_response_bytes`](crate::ClientOptions).
    TooLarge,
    /// The peer answers STATUS but not the query.
    QueryHangs,
    /// The peer reports that it cannot answer.
    PeerError,
    /// The peer reports that it is overloaded.
    Overloaded,
    /// The peer answers like a release that this client does not support.
    UnsupportedRelease,
    /// The client could not send the request, for example because no file descriptor, port or
    /// memory was left on this host. Says nothing about the peer.
    Local,
}

impl FailureReason {
    /// All reasons, in the order of declaration.
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
        Self::UnsupportedRelease,
        Self::Local,
    ];

    /// Returns the stable name, in snake case, such as `connect_timeout`.
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
            Self::UnsupportedRelease => "unsupported_release",
            Self::Local => "local",
        }
    }

    /// Returns the meaning, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Dns => "The host name does not resolve.",
            Self::Refused => "Nothing listens at the address.",
            Self::Unreachable => "There is no route to the address.",
            Self::ConnectTimeout => "The connection was not established before the deadline.",
            Self::Tls => "The TLS handshake failed.",
            Self::TlsExpired => "The TLS handshake failed because the certificate has expired.",
            Self::HttpStatus => "The peer answered with an unexpected HTTP status.",
            Self::Timeout => "No answer arrived before the deadline.",
            Self::Closed => "The peer closed the connection before it answered.",
            Self::Malformed => "The reply does not follow the protocol.",
            Self::TooLarge => "The reply is larger than the accepted size.",
            Self::QueryHangs => "The peer answers STATUS but not the query.",
            Self::PeerError => "The peer reports that it cannot answer.",
            Self::Overloaded => "The peer reports that it is overloaded.",
            Self::UnsupportedRelease => {
                "The peer answers like a release before 0.8.0, which is not supported."
            }
            Self::Local => "The client could not send the request; says nothing about the peer.",
        }
    }

    /// Returns whether this reason can occur on `transport`. Only HTTP has TLS and status codes,
    /// and only over HTTP do unsupported releases answer at all.
    #[must_use]
    pub const fn possible_on(self, transport: Transport) -> bool {
        match self {
            Self::Tls | Self::TlsExpired | Self::HttpStatus | Self::UnsupportedRelease => {
                matches!(transport, Transport::Http)
            }
            _ => true,
        }
    }

    /// Returns how much this reason says about the peer, compared with others: the more, the
    /// larger. What the peer itself said or showed says most, and that nothing came of an attempt
    /// least.
    const fn specificity(self) -> u8 {
        match self {
            Self::Local => 0,
            Self::ConnectTimeout | Self::Timeout => 1,
            Self::Unreachable | Self::Closed => 2,
            Self::Dns | Self::Refused => 3,
            Self::Malformed | Self::TooLarge | Self::HttpStatus => 4,
            Self::Tls | Self::TlsExpired | Self::Overloaded | Self::PeerError => 5,
            Self::QueryHangs | Self::UnsupportedRelease => 6,
        }
    }

    /// Returns whether this reason says more about the peer than `other`.
    #[must_use]
    pub const fn is_more_specific_than(self, other: Self) -> bool {
        self.specificity() > other.specificity()
    }

    /// Returns whether an immediate retry may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::TlsExpired | Self::UnsupportedRelease)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt: a reason for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The reason.
    pub reason: FailureReason,
    /// The details, in lower case and on one line.
    pub message: String,
}

impl Failure {
    /// Creates a failure. `message` may contain text from a peer and is [sanitized](sanitize).
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: sanitize(message.into()),
        }
    }

    /// Classifies an I/O error of a connection. A lack of local resources, such as file
    /// descriptors, is
    /// [`FailureReason::Local`].
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        if let Some(failure) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>())
        {
            return failure.clone();
        }
        Self::new(io_reason(error), error.to_string())
    }
}

impl Failure {
    /// Returns this failure, or an earlier one that says more about the peer.
    pub(crate) fn or_more_specific(self, earlier: Option<Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.reason.is_more_specific_than(self.reason) => earlier,
            _ => self,
        }
    }
}

/// Maximum length of sanitized text in characters.
const MAX_SANITIZED_CHARS: usize = 300;

/// Makes text from a peer safe to log and to print on one line: replaces characters that are
/// [deceptive](is_deceptive) with U+FFFD, and cuts the text with `…` after 300 characters.
#[must_use]
pub fn sanitize(text: String) -> String {
    if text.len() <= MAX_SANITIZED_CHARS && !text.contains(is_deceptive) {
        return text;
    }
    let mut clean: String = text
        .chars()
        .take(MAX_SANITIZED_CHARS)
        .map(|c| if is_deceptive(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_SANITIZED_CHARS).is_some() {
        clean.push('…');
    }
    clean
}

fn io_reason(error: &io::Error) -> FailureReason {
    // Linux: no file descriptors left in the process or in the system, no buffers left.
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
        // No local address or port left, no permission to connect, no network interface, no memory.
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
    fn a_lack_of_file_descriptors_is_a_local_failure() {
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
    fn text_from_a_peer_is_cut_and_sanitized() {
        let failure = Failure::new(
            FailureReason::PeerError,
            format!("a\u{1b}[31m\n\u{202e}b{}", "x".repeat(1_000_000)),
        );
        assert!(
            failure
                .message
                .starts_with("a\u{fffd}[31m\u{fffd}\u{fffd}b")
        );
        assert_eq!(failure.message.chars().count(), MAX_SANITIZED_CHARS + 1);
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = FailureReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(names.len(), FailureReason::ALL.len());
    }
}
