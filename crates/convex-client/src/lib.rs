//! How to ask one peer: its endpoints, the messages, and the two transports. Knows no schedule and no verdict.

mod attempt;
pub mod chain;
mod clients;
mod endpoint;

mod failure;

mod frame;
mod http;
mod http_failure;
mod message;
mod options;
mod poll_query;
mod query;

mod resolve;
mod status;
mod tcp;
mod tls;
mod trace;

pub use self::http::HttpClient;
pub use attempt::{
    Answer, Attempt, ClockSample, Outcome, Phases, Timed, seconds_of_ms, seconds_since_epoch,
};
pub use clients::{HttpClients, UnusableOption, http_client};
pub use endpoint::{DEFAULT_TCP_PORT, Endpoint, EndpointError, Transport};
pub use failure::{Failure, FailureReason, printable};
pub use frame::{FrameDecoder, FrameError, put_frame};
pub use message::{Api, ErrorReply, Reply, ping_request, query_request, status_request};
pub use options::HttpOptions;
pub use poll_query::{FORM, PollAnswer, SOURCE};
pub use query::{Query, QueryError};
pub use resolve::resolve_all;
pub use status::{LEVELS, OrderPoints, Status};
pub use tcp::TcpClient;
