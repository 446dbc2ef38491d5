//! The first thing to do about an alert: one or two sentences, the same as in the rules for
//! Prometheus. Runbooks say the rest.

use crate::config::Severity::{self, Critical, Warning};

use super::rules::Rule;

/// The first thing to do about alerts of this name, and of this severity if there are several.
type FirstStep = (&'static str, Option<Severity>, &'static str);

static FIRST_STEPS: [FirstStep; 45] = [
    (
        "ConvexPeerDown",
        None,
        "Run 'convex-peer-monitor probe' with its endpoints on another host. If it does not answer \
         there either, check on its host that the process runs and was not killed for lack of \
         memory.",
    ),
    (
        "ConvexPeerWrongNetwork",
        None,
        "Stop clients from using it. Then check which genesis its configuration and its store \
         belong to.",
    ),
    (
        "ConvexPeerIdentityChanged",
        None,
        "Find out whether its operator changed the key or moved the address. If not, stop clients \
         from using the address: it may be taken over.",
    ),
    (
        "ConvexQueriesHang",
        None,
        "Take a thread dump of its process (jstack), then restart it with SIGTERM.",
    ),
    (
        "ConvexCertificateExpired",
        None,
        "Renew the certificate and reload the proxy or peer that presents it.",
    ),
    (
        "ConvexCertificateExpiring",
        None,
        "Renew the certificate and reload the proxy or peer that presents it.",
    ),
    (
        "ConvexStateDiverged",
        None,
        "Stop clients from using it, and keep a copy of its store before you sync it again.",
    ),
    (
        "ConvexPeerForked",
        None,
        "Stop clients from using it, and keep its store and the evidence of the agent before you \
         sync it again.",
    ),
    (
        "ConvexPeerIsolated",
        None,
        "Check that it can connect to the other peers: firewall, DNS, and the URLs that the \
         registry has for them. Then restart it.",
    ),
    (
        "ConvexPeerUnheard",
        None,
        "Check that the other peers can reach the URL that the registry has for it, and that its \
         outgoing connections work.",
    ),
    (
        "ConvexPeerUnregistered",
        None,
        "Ask the owner of its controller account who removed it, then register it again.",
    ),
    (
        "ConvexFinalityReceding",
        None,
        "Stop clients from relying on what it confirmed, keep store, log and the evidence of the \
         agent, and contact the other operators.",
    ),
    (
        "ConvexOwnStakeBelowMinimum",
        Some(Critical),
        "Let its controller add stake. If none of you withdrew it, treat the key of the controller \
         as stolen.",
    ),
    (
        "ConvexOwnStakeBelowMinimum",
        Some(Warning),
        "Let its controller add stake, or lower verdicts.own_stake_margin_cvm.",
    ),
    (
        "ConvexUpgradeUnsupported",
        Some(Critical),
        "Install a release that supports the upgrade and restart the peer.",
    ),
    (
        "ConvexUpgradeUnsupported",
        Some(Warning),
        "Plan the installation of a release that supports the upgrade.",
    ),
    (
        "ConvexClockSkew",
        None,
        "Check time synchronisation on the peer's host (timedatectl, chronyc tracking). If all \
         peers are off by the same, check the host of the agent.",
    ),
    (
        "ConvexPeerDegraded",
        None,
        "Open the peer's page and read the last failure of each endpoint.",
    ),
    (
        "ConvexNewConnectionsFail",
        None,
        "Connect to it from another host. If that fails too, check its open file descriptors, its \
         listener and its firewall.",
    ),
    (
        "ConvexPeerLagging",
        None,
        "Check CPU, disk and log of the peer's host, and whether the peer hears the others.",
    ),
    (
        "ConvexWeightDecayed",
        None,
        "Send a transaction through the peer and see whether it becomes final.",
    ),
    (
        "ConvexConsensusStalled",
        None,
        "Open the page of the network and see which peers hold the next block and which do not. \
         Contact the operators of the missing ones.",
    ),
    (
        "ConvexVantagesDisagree",
        None,
        "Trace the route to the endpoints of the peers from the host of the agent that does not \
         reach them.",
    ),
    (
        "ConvexNetworkReset",
        None,
        "Ask the operators of the network whether it was reset. The page of the network shows both \
         hashes.",
    ),
    (
        "ConvexNetworkSplit",
        None,
        "Stop clients from sending transactions. Contact the operators of both sides before anyone \
         restarts or syncs a peer.",
    ),
    (
        "ConvexStatesDiffer",
        None,
        "Open the page of the network: it names the block, the states and the peers that have \
         them.",
    ),
    (
        "ConvexNothingCompared",
        None,
        "Shorten the interval of its peers, or add a reference peer.",
    ),
    (
        "ConvexQuorumUnknown",
        None,
        "Query the registry of one of its peers by hand and read the error.",
    ),
    (
        "ConvexQuorumAtRisk",
        None,
        "Bring back the peer with the most weight that is down, and postpone maintenance of the \
         others.",
    ),
    (
        "ConvexUpgradeFailed",
        None,
        "Contact the other operators and the developers of the peer. Change nothing alone.",
    ),
    (
        "ConvexUpgradeAtRisk",
        None,
        "Contact the operators of the peers that cannot follow; the page of the network lists \
         them.",
    ),
    (
        "ConvexUpgradePending",
        None,
        "Check that the release of each of your peers supports it.",
    ),
    (
        "ConvexControllerBalanceLow",
        None,
        "Transfer coins to the account: it pays for changes of stake and of registrations.",
    ),
    (
        "ConvexWritesFailing",
        Some(Critical),
        "Open the page of the network: it shows the error of each peer and which peers vote. Contact \
         the operators of the peers that do not.",
    ),
    (
        "ConvexWritesFailing",
        Some(Warning),
        "Stop clients from sending transactions through it, and read the error on the page of the \
         network.",
    ),
    (
        "ConvexCanaryFunds",
        None,
        "Run 'convex-peer-monitor probe --canary' on the host of the agent: it says what is wrong \
         with the account.",
    ),
    (
        "ConvexCanarySlow",
        None,
        "Compare the durations of the peers on the page of the network. If only one is slow, check \
         its host.",
    ),
    (
        "ConvexOwnPeersUnknown",
        None,
        "Poll one of your peers with 'convex-peer-monitor probe', from the host of an agent and from \
         another one.",
    ),
    (
        "ConvexMonitoringBlind",
        None,
        "Read the self-checks on the pages of the agents. If they pass, check the network of the \
         agents' hosts.",
    ),
    (
        "ConvexErrorBudgetBurn",
        Some(Critical),
        "Find out what the short outages of its peers have in common.",
    ),
    (
        "ConvexMonitorUnhealthy",
        None,
        "Repair on its host what the self-check names.",
    ),
    (
        "ConvexMonitorClockWrong",
        None,
        "Run 'timedatectl' on its host: it says whether the clock is synchronised.",
    ),
    (
        "ConvexMonitorMissesPolls",
        None,
        "Run 'convex-peer-monitor check-config' on its host: it names the limit that is too low.",
    ),
    (
        "ConvexConfigReloadFailed",
        None,
        "Run 'convex-peer-monitor check-config' with the new file: it names each error with its \
         line.",
    ),
    (
        "ConvexNotificationsFailing",
        None,
        "Read the log of the agent: it names the receiver and the error.",
    ),
];

impl Rule {
    /// Returns the first thing to do about the alert.
    #[must_use]
    pub fn first_step(&self) -> Option<&'static str> {
        let mut steps = FIRST_STEPS.iter();
        let (.., step) = steps.find(|(name, severity, _)| {
            *name == self.name && severity.is_none_or(|severity| severity == self.severity)
        })?;
        Some(step)
    }
}
