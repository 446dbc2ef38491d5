#![doc = include_str!("../README.md")]
//!
//! # PEER-PROTOCOL
//!
//! "PEER-PROTOCOL, section N" in the documentation refers to a description of the peer protocol
//! that is not part of this repository: notes on both interfaces, measured on running peers of
//! releases 0.8.0 to 0.8.6. The captured requests and replies behind the notes are in the
//! repository, in `tests/vectors`. Names such as `CPoSConstants.PEER_DECAY_DELAY` are those of the
//! peer's Java source.

mod attempt;
pub mod belief;
mod certificate;
pub mod chain;
mod clock;
mod deceptive;
mod decoding;
mod dial;
mod endpoint;
mod failure;
mod http;
mod kept;
mod mask;
mod message;
mod options;
mod poll_query;
mod proof;
mod query;
mod resolve;
mod signing;
mod state_pair;
mod status;
mod tcp;
pub mod transaction;

pub use self::http::{
    HttpClient, HttpOptions, HttpOptionsError, TlsSettings, http_client, http_client_for,
    http_client_over, request_failure, retry_after,
};
pub use attempt::{Answer, Attempt, Outcome, Phases, Timed};
pub use certificate::CertificateEnd;
pub use clock::{ClockSample, seconds_from_ms, seconds_since_epoch};
pub use deceptive::is_deceptive;
pub use dial::{reload_system_roots, system_roots_generation};
pub use endpoint::{DEFAULT_TCP_PORT, Endpoint, EndpointError, Transport};
pub use failure::{Failure, FailureReason, sanitize};
pub use mask::{SECRET, mask_url};
pub use message::{
    Api, ErrorReply, MAX_REQUESTED_CELLS, Reply, data_request, ping_request, query_request,
    read_cells, status_request,
};
pub use options::ClientOptions;
pub use poll_query::{MAX_UPGRADES, POLL_QUERY, PollAnswer, ProtocolState};
pub use proof::KeyProof;
pub use query::{Query, QueryError};
#[cfg(feature = "test-names")]
pub use resolve::test_names::set_addresses;
pub use resolve::{MAX_LOOKUPS, resolve_all};
pub use state_pair::{SAMPLE_QUERY, StatePair};
pub use status::{ORDER_LEVELS, OrderPoints, Status};
pub use tcp::{FrameDecoder, FrameError, TcpCells, TcpClient, put_frame};
