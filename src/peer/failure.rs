//! Why a peer could not be asked: a closed set of reasons, each with a message for people.

use std::fmt;
use std::io;

use crate::closed_label::closed_label;

closed_label! {
    /// What went wrong, as one of the values of the `reason` label. The set is closed.
    pub enum Reason {
        Dns = "dns", "The host name does not resolve.";
        Refused = "refused", "Nobody listens at the address.";
        Unreachable = "unreachable", "There is no route to the address.";
        ConnectTimeout = "connect_timeout", "The connection was not made before the deadline.";
        Tls = "tls", "The TLS handshake failed.";
        TlsExpired = "tls_expired", "The TLS handshake failed because the certificate has expired.";
        HttpStatus = "http_status", "The HTTP status carries no answer.";
        Timeout = "timeout", "No answer came before the deadline.";
        Closed = "closed", "The peer closed the connection before it had answered.";
        Malformed = "malformed", "The reply is not what the protocol says.";
        TooLarge = "too_large", "The reply is larger than `limits.max_response_bytes`.";
        QueryHangs = "query_hangs", "The status is answered, the query is not.";
        PeerError = "peer_error", "The peer says that it cannot answer.";
        Overloaded = "overloaded", "The peer says that it has too much to do.";
        WrongNetwork = "wrong_network", "The peer belongs to another network than the pinned one.";
        WrongPeer = "wrong_peer", "Another peer key than the pinned one answers.";
        Monitor = "monitor", "The agent's own trouble, never counted against a peer.";
    }
}

impl Reason {
    /// Whether this reason can occur on `transport`: only HTTP has TLS and status codes.
    #[must_use]
    pub const fn possible_on(self, transport: super::Transport) -> bool {
        match self {
            Self::Tls | Self::TlsExpired | Self::HttpStatus => {
                matches!(transport, super::Transport::Http)
            }
            _ => true,
        }
    }

    /// Whether another try in the same poll could end otherwise.
    #[must_use]
    pub const fn worth_a_retry(self) -> bool {
        !matches!(
            self,
            Self::WrongNetwork | Self::WrongPeer | Self::TlsExpired
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failed try: the reason for machines, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The closed reason.
    pub reason: Reason,
    /// What exactly was seen, in lower case and on one line.
    pub message: String,
}

impl Failure {
    /// A failure; control characters of `message`, which may come from a stranger, are made harmless.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
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
fn printable(text: String) -> String {
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

fn reason_of(error: &io::Error) -> Reason {
    /// Linux: out of descriptors in this process, in the system, of buffers.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Reason::Closed,
        io::ErrorKind::InvalidData => Reason::Malformed,
        // No address or port of our own left, no right to dial, no network interface, no memory.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::AddrInUse
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::OutOfMemory => Reason::Monitor,
        _ => match error.raw_os_error() {
            Some(EMFILE | ENFILE | ENOBUFS) => Reason::Monitor,
            _ => Reason::Closed,
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
            Reason::Monitor
        );
        assert_eq!(
            Failure::from_io(&io::ErrorKind::ConnectionRefused.into()).reason,
            Reason::Refused
        );
    }

    #[test]
    fn a_strangers_text_is_shortened_and_made_harmless() {
        let failure = Failure::new(
            Reason::PeerError,
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
        let labels: std::collections::BTreeSet<_> =
            Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }
}
