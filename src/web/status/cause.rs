//! Causes of an incident in words for the public. They are a closed set: messages of peers and of
//! the agent contain addresses and names, and are never published.

use convex_client::FailureReason;

use crate::failure::Reason;
use crate::fleet::Condition;

/// Why something is degraded or down. Ordered from the most telling to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Split,
    Reset,
    Stalled,
    StatesDiffer,
    Apart,
    WrongNetwork,
    WrongPeer,
    OldRelease,
    Isolated,
    NotAdvancing,
    Behind,
    Insecure,
    Overloaded,
    Errors,
    Slow,
    Unstable,
    InPart,
    Unreachable,
}

impl Cause {
    /// Returns the cause as a sentence without its full stop.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Split => "The network was split into parts that disagree",
            Self::Reset => "The network was started again from another beginning",
            Self::Stalled => "Transactions did not become final",
            Self::StatesDiffer => "Peers had different data",
            Self::Apart => "Its data differed from that of most of the network",
            Self::WrongNetwork => "It was part of another network",
            Self::WrongPeer => "Another peer answered in its place",
            Self::OldRelease => "Its software was too old for the network",
            Self::Isolated => "It lost contact with other peers",
            Self::NotAdvancing => "It no longer followed the network",
            Self::Behind => "It was behind the network",
            Self::Insecure => "Secure connections to it failed",
            Self::Overloaded => "It was overloaded",
            Self::Errors => "It answered with errors",
            Self::Slow => "It did not answer in time",
            Self::Unstable => "It failed again and again",
            Self::InPart => "One of the ways to reach it failed",
            Self::Unreachable => "It could not be reached",
        }
    }

    /// Returns what a condition of a peer means for its users; none if they notice nothing.
    pub(super) const fn of(condition: Condition) -> Option<Self> {
        Some(match condition {
            Condition::Failing(reason) => return Self::of_failure(reason),
            Condition::UpgradeRequired => Self::OldRelease,
            Condition::Forked | Condition::Diverged => Self::Apart,
            Condition::StatesDiffer => Self::StatesDiffer,
            Condition::Isolated | Condition::Unheard => Self::Isolated,
            Condition::Lagging | Condition::StateBehind => Self::Behind,
            Condition::Stalled => Self::Stalled,
            Condition::Receding | Condition::FinalityLost => Self::NotAdvancing,
            Condition::EndpointFailing | Condition::NewConnectionsFail => Self::InPart,
            Condition::TransportsDisagree => Self::WrongPeer,
            Condition::Flapping => Self::Unstable,
            Condition::QueryError => Self::Errors,
            Condition::StakeWithdrawn
            | Condition::DuplicateKey
            | Condition::Unregistered
            | Condition::AdvertisedUrl
            | Condition::IdentityChanged
            | Condition::ClockSkew
            | Condition::CertificateExpiring
            | Condition::OwnStakeLow
            | Condition::ControllerBalanceLow
            | Condition::WeightDecayed => return None,
        })
    }

    const fn of_failure(reason: Reason) -> Option<Self> {
        Some(match reason {
            Reason::MONITOR => return None,
            Reason::WrongNetwork => Self::WrongNetwork,
            Reason::WrongPeer => Self::WrongPeer,
            Reason::Client(reason) => match reason {
                FailureReason::Dns
                | FailureReason::Refused
                | FailureReason::Unreachable
                | FailureReason::ConnectTimeout
                | FailureReason::Closed => Self::Unreachable,
                FailureReason::Tls | FailureReason::TlsExpired => Self::Insecure,
                FailureReason::Timeout | FailureReason::QueryHangs => Self::Slow,
                FailureReason::Overloaded => Self::Overloaded,
                FailureReason::HttpStatus
                | FailureReason::Malformed
                | FailureReason::TooLarge
                | FailureReason::PeerError
                | FailureReason::UnsupportedRelease => Self::Errors,
                FailureReason::Local => return None,
            },
        })
    }
}
