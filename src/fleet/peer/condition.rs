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
    Lagging = "lagging", "The state has been `verdicts.lag_blocks` or more behind the head of the network for `lag_for`.";
    Stalled = "stalled", "Blocks are pending in the order and finality has not advanced for `verdicts.stall_after`.";
    Receding = "receding", "The order or the state has been behind an earlier value for `verdicts.stall_after`.";
    Diverged = "diverged", "The state differs from the majority's at the same block.";
    StateBehind = "state_behind", "The state lacks a block that was final `verdicts.stall_after` ago.";
    EndpointFailing = "endpoint_failing", "One endpoint fails while the other answers.";
    TransportsDisagree = "transports_disagree", "The two endpoints answer as different peers.";
    AdvertisedUrl = "advertised_url", "Another watched peer answers at the URL that the registry has for this one.";
    IdentityChanged = "identity_changed", "The learned peer key changed within the last hour.";
    ClockSkew = "clock_skew", "The peer's clock is off by more than `verdicts.clock_skew`, not counting the uncertainty.";
    CertificateExpiring = "certificate_expiring", "The certificate expires within `verdicts.certificate`.";
    OwnStakeLow = "own_stake_low", "Own stake is less than `verdicts.own_stake_margin_cvm` above the eviction limit.";
    ControllerBalanceLow = "controller_balance_low", "The account that controls the peer has less than `verdicts.controller_balance_cvm`.";
    WeightDecayed = "weight_decayed", "The peer made no block for longer than `expect_block_every` while the network did, so its weight decays.";
    Flapping = "flapping", "The verdict has changed between up and down six times within the last hour, or three of the last ten polls failed without the peer being down.";
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
