//! What can be in force against a peer: a closed set, the `condition` label.

use crate::failure::Reason;
use crate::label_enum;

macro_rules! conditions {
    ($($variant:ident = $label:literal, $meaning:literal;)*) => {
        /// Something that is wrong with a peer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Condition {
            /// An endpoint fails with this reason.
            Failing(Reason),
            $(#[doc = $meaning] $variant,)*
        }

        impl Condition {
            /// Every condition that is no reason, with what it means, in label order.
            pub const BESIDES_REASONS: &'static [(Self, &'static str)] = &[$((Self::$variant, $meaning)),*];

            /// The label value.
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
    Lagging = "lagging", "The state is `verdicts.lag_blocks` or more behind the network's head, and has been for `lag_for`.";
    Stalled = "stalled", "Blocks wait in the order and finality has not moved for `verdicts.stall_after`.";
    Receding = "receding", "The order or the state went back and has stayed so for `verdicts.stall_after`.";
    Diverged = "diverged", "The state is another one than the majority's at the same block.";
    StateBehind = "state_behind", "The state lacks a block that was final `verdicts.stall_after` ago.";
    EndpointFailing = "endpoint_failing", "One endpoint fails while the other answers.";
    TransportsDisagree = "transports_disagree", "The two endpoints are not one peer.";
    AdvertisedUrl = "advertised_url", "Another watched peer answers where the chain says that this one does.";
    IdentityChanged = "identity_changed", "Another key than the learned one began to answer within the last hour.";
    ClockSkew = "clock_skew", "The peer's clock is off by more than `verdicts.clock_skew`, beyond the uncertainty.";
    CertificateExpiring = "certificate_expiring", "The certificate ends sooner than `verdicts.certificate`.";
    OwnStakeLow = "own_stake_low", "Own stake is less than `verdicts.own_stake_margin_cvm` above what keeps a peer from being evicted.";
    ControllerBalanceLow = "controller_balance_low", "The account that controls the peer has less than `verdicts.controller_balance_cvm`.";
    WeightDecayed = "weight_decayed", "No block for longer than `expect_block_every` while the network made some, so the peer's weight decays.";
    Flapping = "flapping", "The verdict has changed between up and down six times within the last hour.";
    QueryError = "query_error", "The query is answered with an error.";
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
