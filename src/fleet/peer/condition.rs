//! Problems that a peer can have: a closed set, the values of the `condition` label.

use crate::failure::Reason;
use crate::label_enum;

macro_rules! conditions {
    ($($variant:ident = $label:literal, $meaning:literal;)*) => {
        /// A problem of a peer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Condition {
            /// An endpoint fails for this reason.
            Failing(Reason),
            $(#[doc = $meaning] $variant,)*
        }

        impl Condition {
            /// All conditions that are not reasons with their meanings, in label order.
            pub const BESIDES_REASONS: &'static [(Self, &'static str)] = &[$((Self::$variant, $meaning)),*];

            /// Returns the condition with this label value.
            #[must_use]
            pub fn named(label: &str) -> Option<Self> {
                let reasons = Reason::ALL.iter().map(|reason| Self::Failing(*reason));
                let others = Self::BESIDES_REASONS.iter().map(|(condition, _)| *condition);
                reasons.chain(others).find(|condition| condition.as_str() == label)
            }

            /// Returns the label value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Failing(reason) => reason.as_str(),
                    $(Self::$variant => $label,)*
                }
            }
        }
    };
}

conditions! {
    UpgradeRequired = "upgrade_required", "The peer's release cannot execute a protocol upgrade that the network has applied, or that the peer's next final block needs.";
    StakeWithdrawn = "stake_withdrawn", "Own stake fell below the minimum less than ten minutes before a protocol upgrade, or after it: a peer that cannot execute the upgrade withdraws its stake.";
    Forked = "forked", "The peer's order and that of peers with more than half of the registered stake have different blocks where both were final, or where both had consensus in two walks a minute apart.";
    Isolated = "isolated", "In two walks in a row, the peer lacked orders of peers with more than a third of the others' stake, although others have held them for more than a minute.";
    Unheard = "unheard", "In two walks in a row, peers with more than two thirds of the others' stake lacked the order that this peer has held for more than a minute.";
    DuplicateKey = "duplicate_key", "Two processes sign with one key: in three walks a minute apart, this peer and another configured one each held an order under it that the other never held.";
    Lagging = "lagging", "The peer has been `verdicts.lag_blocks` or more behind the network's head for `lag_for`, or the oldest block that it lacks has been final at the head for longer than `lag_time`.";
    Stalled = "stalled", "Blocks are pending in the order and finality has not advanced for `verdicts.stall_after`.";
    Receding = "receding", "The order or the state has been behind an earlier value for `verdicts.stall_after`.";
    FinalityLost = "finality_lost", "Finality went back and has not advanced since for `verdicts.restart_grace`.";
    Diverged = "diverged", "Peers with more than half of the registered stake have another state at the same block.";
    StatesDiffer = "states_differ", "Another peer has another state at the same block, and it is unknown which is right.";
    Unregistered = "unregistered", "The registry on chain no longer has the peer, or lacks a peer configured as `validator`.";
    StateBehind = "state_behind", "The state lacks a block that was final `verdicts.stall_after` ago.";
    EndpointFailing = "endpoint_failing", "One endpoint fails while the other answers.";
    NewConnectionsFail = "new_connections_fail", "New connections fail, `down_after` in a row, while the old one still works.";
    TransportsDisagree = "transports_disagree", "The two endpoints answer as different peers.";
    AdvertisedUrl = "advertised_url", "Another watched peer answers at the URL that is registered on chain for this one.";
    IdentityChanged = "identity_changed", "The learned peer key changed within the last hour.";
    ClockSkew = "clock_skew", "The peer's clock is off by more than `verdicts.clock_skew` plus the uncertainty.";
    CertificateExpiring = "certificate_expiring", "The certificate that expires first in the chain has less than `verdicts.certificate`, and less than a third of its lifetime, left.";
    OwnStakeLow = "own_stake_low", "Own stake is less than `verdicts.own_stake_margin_cvm` above the eviction limit.";
    ControllerBalanceLow = "controller_balance_low", "The account that controls the peer has less than `verdicts.controller_balance_cvm`.";
    WeightDecayed = "weight_decayed", "The peer made no block for longer than `expect_block_every` while the network did, so its weight decays.";
    Flapping = "flapping", "The verdict changed between up and down six times within an hour, or three of the last ten polls failed without the peer being down.";
    QueryError = "query_error", "The peer answers the query with an error.";
}

impl serde::Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl utoipa::PartialSchema for Condition {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let reasons = Reason::ALL
            .iter()
            .map(|reason| (reason.as_str(), reason.meaning()));
        let others = Self::BESIDES_REASONS
            .iter()
            .map(|(condition, meaning)| (condition.as_str(), *meaning));
        label_enum::schema(reasons.chain(others))
    }
}

impl utoipa::ToSchema for Condition {}
