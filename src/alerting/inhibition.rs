//! Which alerts hold back which: the table that both the agent's own notifications and the example
//! for Alertmanager follow. A test compares the two.

use std::collections::HashSet;

use super::subject::AlertSubject;
use super::tracker::Alert;

/// Alerts that hold back others while they fire.
#[derive(Debug)]
pub struct Inhibition {
    /// Names of the alerts that hold back.
    pub sources: &'static [&'static str],
    /// Names of the alerts that are held back.
    pub targets: &'static [&'static str],
    /// What both must be about.
    pub scope: Scope,
}

/// What two alerts must have in common for one to hold back the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The network.
    Network,
    /// The peer.
    Peer,
}

impl Scope {
    /// Returns the labels that must be equal.
    #[must_use]
    pub const fn equal(self) -> &'static [&'static str] {
        match self {
            Self::Network => &["network"],
            Self::Peer => &["peer", "network"],
        }
    }
}

/// All inhibitions. No alert about an agent is among them: what one agent cannot see, another may.
pub const INHIBITIONS: [Inhibition; 19] = [
    // A network that agrees on nothing makes its peers lag and lose weight. It never hides that
    // one is down, is another peer, or has another state.
    Inhibition {
        sources: &[
            "ConvexConsensusStalled",
            "ConvexNetworkSplit",
            "ConvexQuorumAtRisk",
            "ConvexUpgradeFailed",
        ],
        targets: &[
            "ConvexPeerLagging",
            "ConvexPeerDegraded",
            "ConvexWeightDecayed",
        ],
        scope: Scope::Network,
    },
    // A failed upgrade or a split says why nothing is finalised.
    Inhibition {
        sources: &["ConvexUpgradeFailed", "ConvexNetworkSplit"],
        targets: &["ConvexConsensusStalled", "ConvexQuorumAtRisk"],
        scope: Scope::Network,
    },
    // A network that finalises nothing has lost its quorum already.
    Inhibition {
        sources: &["ConvexConsensusStalled"],
        targets: &["ConvexQuorumAtRisk"],
        scope: Scope::Network,
    },
    // A network that finalises nothing executes no transactions.
    Inhibition {
        sources: &[
            "ConvexConsensusStalled",
            "ConvexNetworkSplit",
            "ConvexUpgradeFailed",
        ],
        targets: &["ConvexWritesFailing", "ConvexCanarySlow"],
        scope: Scope::Network,
    },
    // One that executes none is more than slow.
    Inhibition {
        sources: &["ConvexWritesFailing"],
        targets: &["ConvexCanarySlow"],
        scope: Scope::Network,
    },
    // A network that was reset makes all of its peers wrong at once.
    Inhibition {
        sources: &["ConvexNetworkReset"],
        targets: &[
            "ConvexPeerWrongNetwork",
            "ConvexPeerDown",
            "ConvexErrorBudgetBurn",
            "ConvexFinalityReceding",
            "ConvexPeerUnregistered",
            "ConvexQuorumAtRisk",
            "ConvexQuorumUnknown",
        ],
        scope: Scope::Network,
    },
    // Where nothing at all is known of a network, nothing is known of its own peers either.
    Inhibition {
        sources: &["ConvexMonitoringBlind"],
        targets: &["ConvexOwnPeersUnknown"],
        scope: Scope::Network,
    },
    // A split, a forked or a diverged peer says more than that states differ.
    Inhibition {
        sources: &[
            "ConvexNetworkSplit",
            "ConvexPeerForked",
            "ConvexStateDiverged",
        ],
        targets: &["ConvexStatesDiffer"],
        scope: Scope::Network,
    },
    // A peer with a wrong identity says why its weight is missing. ConvexPeerDown does not
    // suppress ConvexQuorumAtRisk: the page about the peer may be hours old when somebody else's
    // peer goes as well.
    Inhibition {
        sources: &["ConvexPeerWrongNetwork", "ConvexPeerIdentityChanged"],
        targets: &["ConvexQuorumAtRisk"],
        scope: Scope::Network,
    },
    // Of one peer, only the alert that explains the others: another network or another peer, then
    // queries that hang, then down, then the rest.
    Inhibition {
        sources: &["ConvexPeerWrongNetwork", "ConvexPeerIdentityChanged"],
        targets: &[
            "ConvexQueriesHang",
            "ConvexPeerDown",
            "ConvexPeerUnregistered",
            "ConvexVantagesDisagree",
        ],
        scope: Scope::Peer,
    },
    Inhibition {
        sources: &["ConvexPeerIdentityChanged"],
        targets: &["ConvexQueriesHang", "ConvexPeerDown"],
        scope: Scope::Peer,
    },
    Inhibition {
        sources: &["ConvexQueriesHang"],
        targets: &["ConvexPeerDown", "ConvexVantagesDisagree"],
        scope: Scope::Peer,
    },
    Inhibition {
        sources: &[
            "ConvexPeerWrongNetwork",
            "ConvexPeerIdentityChanged",
            "ConvexQueriesHang",
            "ConvexPeerDown",
        ],
        targets: &[
            "ConvexErrorBudgetBurn",
            "ConvexPeerDegraded",
            "ConvexPeerLagging",
            "ConvexLatencyHigh",
            "ConvexWeightDecayed",
        ],
        scope: Scope::Peer,
    },
    // A certificate that has expired stops an endpoint.
    Inhibition {
        sources: &["ConvexCertificateExpired"],
        targets: &["ConvexPeerDegraded"],
        scope: Scope::Peer,
    },
    // A peer that left the network's history has another state, and hears nothing of the
    // network's. The alert names the cause.
    Inhibition {
        sources: &["ConvexPeerForked"],
        targets: &[
            "ConvexStateDiverged",
            "ConvexPeerIsolated",
            "ConvexPeerUnheard",
            "ConvexFinalityReceding",
        ],
        scope: Scope::Peer,
    },
    Inhibition {
        sources: &["ConvexPeerForked", "ConvexPeerIsolated"],
        targets: &["ConvexPeerDegraded", "ConvexPeerLagging"],
        scope: Scope::Peer,
    },
    // A peer that nobody hears, or that is not registered, makes no blocks and loses weight.
    Inhibition {
        sources: &[
            "ConvexPeerForked",
            "ConvexPeerIsolated",
            "ConvexPeerUnheard",
            "ConvexPeerUnregistered",
        ],
        targets: &["ConvexWeightDecayed"],
        scope: Scope::Peer,
    },
    // A peer that does not take part in consensus executes no transactions. The alert names the
    // cause.
    Inhibition {
        sources: &[
            "ConvexPeerWrongNetwork",
            "ConvexPeerIdentityChanged",
            "ConvexQueriesHang",
            "ConvexPeerDown",
            "ConvexPeerForked",
            "ConvexPeerIsolated",
            "ConvexPeerUnheard",
            "ConvexPeerUnregistered",
            "ConvexOwnStakeBelowMinimum",
            "ConvexUpgradeUnsupported",
        ],
        targets: &["ConvexWritesFailing"],
        scope: Scope::Peer,
    },
    // A peer that lacks an upgrade is frozen, or has withdrawn its stake: it makes no blocks, and
    // loses weight.
    Inhibition {
        sources: &["ConvexUpgradeUnsupported"],
        targets: &["ConvexWeightDecayed"],
        scope: Scope::Peer,
    },
];

/// Returns the alerts that no other one holds back.
#[must_use]
pub fn without_explained(alerts: &[Alert]) -> Vec<&Alert> {
    let firing = FiringAlerts::new(alerts.iter());
    let unexplained = |alert: &&Alert| !firing.inhibit(alert);
    alerts.iter().filter(unexplained).collect()
}

/// The alerts that fire, to find out which others they hold back.
#[derive(Debug, Default)]
pub(super) struct FiringAlerts<'a>(HashSet<(&'static str, Scope, &'a str, Option<&'a str>)>);

impl<'a> FiringAlerts<'a> {
    pub(super) fn new(alerts: impl Iterator<Item = &'a Alert>) -> Self {
        let firing = alerts.filter(|alert| alert.ends_at.is_none());
        let entries = firing.flat_map(|alert| {
            [Scope::Network, Scope::Peer]
                .into_iter()
                .filter_map(|scope| Some((alert.rule.name, scope, place(&alert.subject, scope)?)))
        });
        Self(
            entries
                .map(|(name, scope, (network, peer))| (name, scope, network, peer))
                .collect(),
        )
    }

    /// Whether another alert that fires holds back `alert`.
    pub(super) fn inhibit(&self, alert: &'a Alert) -> bool {
        let targeting = INHIBITIONS
            .iter()
            .filter(|inhibition| inhibition.targets.contains(&alert.rule.name));
        targeting
            .filter_map(|inhibition| Some((inhibition, place(&alert.subject, inhibition.scope)?)))
            .any(|(inhibition, (network, peer))| {
                let mut sources = inhibition.sources.iter();
                sources.any(|source| self.0.contains(&(*source, inhibition.scope, network, peer)))
            })
    }
}

/// Returns network and peer of a subject as far as `scope` compares them; none if it has none.
fn place(subject: &AlertSubject, scope: Scope) -> Option<(&str, Option<&str>)> {
    match (subject, scope) {
        (AlertSubject::Monitor, _)
        | (AlertSubject::Network { .. } | AlertSubject::Service { .. }, Scope::Peer) => None,
        (
            AlertSubject::Peer { network, .. }
            | AlertSubject::Network { network }
            | AlertSubject::Service { network, .. },
            Scope::Network,
        ) => Some((network, None)),
        (AlertSubject::Peer { peer, network }, Scope::Peer) => Some((network, Some(peer))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alert_holds_itself_back_and_no_two_hold_back_each_other() {
        let pairs: HashSet<(&str, &str)> = INHIBITIONS
            .iter()
            .flat_map(|it| {
                it.sources
                    .iter()
                    .flat_map(|source| it.targets.iter().map(|target| (*source, *target)))
            })
            .collect();
        for (source, target) in &pairs {
            assert!(
                !pairs.contains(&(*target, *source)),
                "{source} and {target}"
            );
        }
    }
}
