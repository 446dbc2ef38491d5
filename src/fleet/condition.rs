//! What can be in force against a peer: a closed set, the `condition` label.

use crate::peer::Reason;

/// Something that is wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// An endpoint fails with this reason.
    Failing(Reason),
    /// One endpoint fails while the other answers.
    EndpointFailing,
    /// The two endpoints are not one peer.
    TransportsDisagree,
    /// Another key than the learned one answers.
    IdentityChanged,
    /// The certificate ends soon.
    CertificateExpiring,
    /// The query is answered with an error.
    QueryError,
}

impl Condition {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing(reason) => reason.as_str(),
            Self::EndpointFailing => "endpoint_failing",
            Self::TransportsDisagree => "transports_disagree",
            Self::IdentityChanged => "identity_changed",
            Self::CertificateExpiring => "certificate_expiring",
            Self::QueryError => "query_error",
        }
    }
}

impl serde::Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
