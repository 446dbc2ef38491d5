//! Options that both transports share.

use std::time::Duration;

/// Default of [`ClientOptions::max_response_bytes`]: 256 KiB. The answer to a poll takes less than
/// 1 KiB, a page of the registry at most 100 kB.
const DEFAULT_MAX_RESPONSE_BYTES: usize = 256 << 10;

/// Default of [`ClientOptions::connection_max_age`].
const DEFAULT_CONNECTION_MAX_AGE: Duration = Duration::from_secs(300);

/// Options of a client of one endpoint, on either transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Address of the account that queries run as. By default the peer chooses; over the binary
    /// protocol that is #11 (PEER-PROTOCOL, section 3).
    pub account: Option<u64>,
    /// Maximum size, in bytes, of the replies that the client accepts. By default 256 KiB.
    pub max_response_bytes: usize,
    /// Age from which a kept connection is replaced by a new one, if that works. Each connection
    /// ends up to a fifth earlier, so that not all are replaced at once. By default 5 minutes.
    pub connection_max_age: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            account: None,
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
            connection_max_age: DEFAULT_CONNECTION_MAX_AGE,
        }
    }
}
