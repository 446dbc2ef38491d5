//! How to ask one peer: its endpoints, the messages, and the two transports. Knows no schedule and no verdict.

mod clients;
mod endpoint;
mod exchange;
mod failure;
mod figures;
mod frame;
mod http;
mod http_failure;
mod message;
mod question;
mod resolve;
mod status;
mod tcp;
mod tls;
mod trace;

pub use self::http::HttpClient;
pub use clients::{HttpClients, client_to, plain_client};
pub use endpoint::{DEFAULT_TCP_PORT, Endpoint, EndpointError, Transport};
pub use exchange::{
    Answer, Answered, ClockSample, Exchange, Phases, seconds_of_ms, seconds_since_epoch,
};
pub use failure::{Failure, Reason};
pub use figures::{FORM, Figures, SOURCE};
pub use frame::{FrameDecoder, FrameError, put_frame};
pub use message::{Api, ErrorReply, Reply, ping_request, query_request, status_request};
pub use question::{Question, Unanswered};
pub use resolve::resolve_all;
pub use status::{LEVELS, OrderPoints, Status};
pub use tcp::TcpClient;
