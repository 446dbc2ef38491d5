//! Texts for conditions, failure reasons and order states.

use convex_client::FailureReason;

use crate::failure::Reason;
use crate::fleet::{Comparison, Condition, OrderState};

/// Texts for the levels of an order.
pub(super) const ORDER_LEVELS: [&str; convex_client::ORDER_LEVELS.len()] =
    ["Blocks", "Proposed", "In consensus", "Final"];

/// Returns the text for a condition of a peer.
pub(super) const fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Failing(reason) => self::reason(reason),
        Condition::UpgradeRequired => "needs a newer release: cannot execute an upgrade",
        Condition::StakeWithdrawn => "withdrew its stake before an upgrade",
        Condition::Forked => "forked: its blocks differ from the majority's",
        Condition::Isolated => "isolated: does not hear the others",
        Condition::Unheard => "unheard: the others do not hear it",
        Condition::DuplicateKey => "another peer signs with its key",
        Condition::Lagging => "lags behind the head",
        Condition::Stalled => "order stalled",
        Condition::Receding => "blocks rolled back",
        Condition::FinalityLost => "final blocks lost",
        Condition::Diverged => "diverged: its state differs from the majority's",
        Condition::StatesDiffer => "state differs, unclear who is right",
        Condition::Unregistered => "not registered on chain",
        Condition::StateBehind => "state lags behind its own order",
        Condition::EndpointFailing => "one endpoint fails",
        Condition::NewConnectionsFail => "new connections fail",
        Condition::TransportsDisagree => "HTTP and TCP answer as different peers",
        Condition::AdvertisedUrl => "another peer is at its advertised URL",
        Condition::IdentityChanged => "peer key changed",
        Condition::ClockSkew => "clock is off",
        Condition::CertificateExpiring => "certificate expires soon",
        Condition::OwnStakeLow => "own stake is low",
        Condition::ControllerBalanceLow => "controller's balance is low",
        Condition::WeightDecayed => "weight has decayed",
        Condition::Flapping => "fails on and off",
        Condition::QueryError => "query fails with an error",
    }
}

/// Returns the text for the reason why a peer or an endpoint fails.
pub(super) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Client(FailureReason::Dns) => "name does not resolve",
        Reason::Client(FailureReason::Refused) => "connection refused",
        Reason::Client(FailureReason::Unreachable) => "host unreachable",
        Reason::Client(FailureReason::ConnectTimeout) => "no connection in time",
        Reason::Client(FailureReason::Tls) => "TLS fails",
        Reason::Client(FailureReason::TlsExpired) => "certificate expired",
        Reason::Client(FailureReason::HttpStatus) => "HTTP error",
        Reason::Client(FailureReason::Timeout) => "no answer in time",
        Reason::Client(FailureReason::Closed) => "connection closed early",
        Reason::Client(FailureReason::Malformed) => "unreadable answer",
        Reason::Client(FailureReason::TooLarge) => "answer is too large",
        Reason::Client(FailureReason::QueryHangs) => "answers status, but queries hang",
        Reason::Client(FailureReason::PeerError) => "answers with an error",
        Reason::Client(FailureReason::Overloaded) => "overloaded",
        Reason::Client(FailureReason::UnsupportedRelease) => "release older than 0.8.0: upgrade it",
        Reason::WrongNetwork => "belongs to another network",
        Reason::WrongPeer => "another peer answers",
        Reason::MONITOR => "problem of the monitor itself",
    }
}

/// Returns the text for how the states of a peer compare with those of others, and its CSS class.
pub(super) const fn comparison(comparison: Comparison) -> (&'static str, &'static str) {
    match comparison {
        Comparison::Agrees => ("✓ agrees", "up"),
        Comparison::Differs => ("✕ differs", "down"),
        Comparison::Diverged { .. } => ("✕ diverged", "down"),
        Comparison::NotCompared => ("not compared", "quiet"),
    }
}

/// Returns the text for the state of an order.
pub(super) const fn order_state(state: OrderState) -> &'static str {
    match state {
        OrderState::Unknown => "unknown",
        OrderState::Receding => "finality went back",
        OrderState::Stalled => "stalled",
        OrderState::Advancing => "finalising normally",
        OrderState::Idle => "idle",
    }
}
