//! Labels as people say them.

use crate::fleet::{Condition, OrderState};
use crate::peer::Reason;

/// What is in force against a peer, as what the peer does.
pub(super) const fn of_condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Failing(reason) => of_reason(reason),
        Condition::Lagging => "lags behind the head",
        Condition::Stalled => "order is stalled",
        Condition::Receding => "order went back",
        Condition::Diverged => "state differs from the majority's",
        Condition::StateBehind => "state is behind its own order",
        Condition::EndpointFailing => "one endpoint fails",
        Condition::TransportsDisagree => "endpoints are not one peer",
        Condition::AdvertisedUrl => "another peer is at its advertised URL",
        Condition::IdentityChanged => "key has changed",
        Condition::ClockSkew => "clock is off",
        Condition::CertificateExpiring => "certificate ends soon",
        Condition::OwnStakeLow => "own stake is low",
        Condition::ControllerBalanceLow => "controller's balance is low",
        Condition::WeightDecayed => "weight has decayed",
        Condition::Flapping => "flaps between up and down",
        Condition::QueryError => "query is answered with an error",
    }
}

/// Why a peer or an endpoint fails.
pub(super) const fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Dns => "name does not resolve",
        Reason::Refused => "connection is refused",
        Reason::Unreachable => "host is unreachable",
        Reason::ConnectTimeout => "no connection in time",
        Reason::Tls => "TLS fails",
        Reason::TlsExpired => "certificate has expired",
        Reason::HttpStatus => "HTTP error",
        Reason::Timeout => "no answer in time",
        Reason::Closed => "connection is closed early",
        Reason::Malformed => "answer cannot be read",
        Reason::TooLarge => "answer is too large",
        Reason::QueryHangs => "status answers, queries hang",
        Reason::PeerError => "answers with an error",
        Reason::Overloaded => "overloaded",
        Reason::WrongNetwork => "is of another network",
        Reason::WrongPeer => "another peer answers",
        Reason::Monitor => "the monitor's own trouble",
    }
}

/// What an order does.
pub(super) const fn of_order(state: OrderState) -> &'static str {
    match state {
        OrderState::Unknown => "not known",
        OrderState::Receding => "went back",
        OrderState::Stalled => "stalled",
        OrderState::Advancing => "advancing",
        OrderState::Idle => "idle",
    }
}
