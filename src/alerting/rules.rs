//! The table of alert rules that the agent evaluates itself. A test compares it with the rules for
//! Prometheus.

use std::time::Duration;

use convex_client::FailureReason;

use crate::config::Severity::{self, Critical, Info, Warning};
use crate::failure::Reason;
use crate::fleet::Condition::{self, Failing};
use crate::fleet::{
    CanaryPeer, Evidence, FAILING_PEERS, Health, NetworkSnapshot, OrderState, PeerRecord,
    ServiceLevel, Stake,
};

use super::burn;
use super::input::RuleInput;
use super::subject::AlertSubject;
use super::upgrades;
use super::vantages;

/// Largest clock skew at which other peers still accept a peer's blocks, in seconds (PEER-PROTOCOL,
/// section 8).
const MAX_AGREEING_SKEW_SECONDS: f64 = 15.0;

/// A network is long idle when it has finalised nothing for this time. An idle network costs its
/// peers no weight.
const LONG_IDLE_AFTER: Duration = Duration::from_secs(600);

/// How long a critical alert keeps firing without a cause, so that a restart does not resolve and
/// repeat it.
const CRITICAL_KEEP_FIRING_FOR: Duration = Duration::from_secs(120);

/// Conditions that have their own alert and never make an endpoint fail.
const CONDITIONS_WITH_OWN_ALERT: [Condition; 17] = [
    Condition::CertificateExpiring,
    Condition::ClockSkew,
    Condition::ControllerBalanceLow,
    Condition::Diverged,
    Condition::FinalityLost,
    Condition::Forked,
    Condition::IdentityChanged,
    Condition::Isolated,
    Condition::Lagging,
    Condition::NewConnectionsFail,
    Condition::OwnStakeLow,
    Condition::StakeWithdrawn,
    Condition::StatesDiffer,
    Condition::Unheard,
    Condition::Unregistered,
    Condition::UpgradeRequired,
    Condition::WeightDecayed,
];

/// An alert rule.
#[derive(Debug)]
pub struct Rule {
    /// The `alertname` label.
    pub name: &'static str,
    /// The `severity` label.
    pub severity: Severity,
    /// How long the predicate must hold before the alert fires (`for` in Prometheus).
    pub hold_duration: Duration,
    /// The `summary` annotation, a title, with `{peer}`, `{network}`, `{service}` and `{vantage}`
    /// for the values of these labels.
    pub summary: &'static str,
    /// Whether the verdict on a network can say that the alert is over.
    pub(super) is_judged: fn(&NetworkSnapshot) -> bool,
    pub(super) predicate: Predicate,
}

/// Decides whether an alert has a cause.
#[derive(Clone, Copy, Debug)]
pub(super) enum Predicate {
    /// Evaluated for each peer of role `own` that is not in maintenance.
    Peer(fn(&PeerRecord, &NetworkSnapshot, RuleInput<'_>) -> bool),
    /// Evaluated for each network with a peer of role `own`.
    Network(fn(&NetworkSnapshot, RuleInput<'_>) -> bool),
    /// Like `Network`, for something that is missing. Held back while the agent may only not have
    /// heard of it.
    Absence(fn(&NetworkSnapshot, RuleInput<'_>) -> bool),
    /// Like `Network`, for networks that the agent cannot observe.
    Visibility(fn(&NetworkSnapshot, RuleInput<'_>) -> bool),
    /// Evaluated for each service of such a network.
    Service(fn(&NetworkSnapshot, &ServiceLevel, RuleInput<'_>) -> bool),
    /// Evaluated for the agent itself.
    Monitor(fn(RuleInput<'_>) -> bool),
}

impl Rule {
    /// Sets what the verdict on a network must say before the alert can end.
    const fn ending_once(self, is_judged: fn(&NetworkSnapshot) -> bool) -> Self {
        Self { is_judged, ..self }
    }

    /// Returns the `summary` annotation for a subject. `vantage` is the agent's name.
    #[must_use]
    pub fn summary_of(&self, subject: &AlertSubject, vantage: &str) -> String {
        let labels = subject.labels(vantage).into_iter();
        labels.fold(self.summary.to_owned(), |summary, (name, value)| {
            summary.replace(&format!("{{{name}}}"), &value)
        })
    }

    /// Returns a rule for pages that are only tests; nothing raises it.
    pub(super) const fn for_test_page(severity: Severity) -> Self {
        Self {
            name: "ConvexNotificationTest",
            severity,
            hold_duration: Duration::ZERO,
            summary: "TEST: notifications of {vantage} arrive here; nothing is wrong",
            is_judged: |_| true,
            predicate: Predicate::Monitor(|_| false),
        }
    }

    /// Returns how long the alert keeps firing without a cause.
    #[must_use]
    pub const fn keep_firing_for(&self) -> Duration {
        match self.severity {
            Critical => CRITICAL_KEEP_FIRING_FOR,
            Info | Warning => Duration::ZERO,
        }
    }

    /// Returns whether only polls show that the alert is over.
    pub(super) const fn needs_polls(&self) -> bool {
        !matches!(
            self.predicate,
            Predicate::Visibility(_) | Predicate::Monitor(_)
        )
    }

    /// Returns the rule called `name` for this kind of subject, with this severity if there are
    /// several.
    #[must_use]
    pub fn find(
        name: &str,
        severity: Option<Severity>,
        subject: &AlertSubject,
    ) -> Option<&'static Self> {
        RULES.iter().find(|rule| {
            rule.name == name
                && severity.is_none_or(|severity| rule.severity == severity)
                && rule.predicate.is_about(subject)
        })
    }
}

impl Predicate {
    /// Whether it is evaluated for this kind of subject.
    const fn is_about(&self, subject: &AlertSubject) -> bool {
        match self {
            Self::Peer(_) => matches!(subject, AlertSubject::Peer { .. }),
            Self::Network(_) | Self::Absence(_) | Self::Visibility(_) => {
                matches!(subject, AlertSubject::Network { .. })
            }
            Self::Service(_) => matches!(subject, AlertSubject::Service { .. }),
            Self::Monitor(_) => matches!(subject, AlertSubject::Monitor),
        }
    }
}

const fn rule(
    name: &'static str,
    severity: Severity,
    hold_seconds: u64,
    summary: &'static str,
    predicate: Predicate,
) -> Rule {
    Rule {
        name,
        severity,
        hold_duration: Duration::from_secs(hold_seconds),
        summary,
        is_judged: |_| true,
        predicate,
    }
}

/// Rules that follow from verdicts and the opinions of other agents. Rules that need a longer
/// history exist only in Prometheus.
pub static RULES: [Rule; 49] = [
    rule(
        "ConvexPeerDown",
        Critical,
        60,
        "{peer} of {network} is down",
        Predicate::Peer(|record, _, input| vantages::is_down(record, input)),
    ),
    rule(
        "ConvexPeerWrongNetwork",
        Critical,
        60,
        "{peer} of {network} belongs to another network",
        Predicate::Peer(|record, _, _| has(record, Failing(Reason::WrongNetwork))),
    ),
    rule(
        "ConvexPeerIdentityChanged",
        Critical,
        0,
        "Another peer answers in place of {peer} of {network}",
        Predicate::Peer(|record, _, _| {
            has(record, Condition::IdentityChanged) || has(record, Failing(Reason::WrongPeer))
        }),
    ),
    rule(
        "ConvexQueriesHang",
        Critical,
        60,
        "{peer} of {network} answers its status but no queries",
        Predicate::Peer(|record, _, _| {
            has(record, Failing(Reason::Client(FailureReason::QueryHangs)))
        }),
    ),
    rule(
        "ConvexCertificateExpired",
        Critical,
        0,
        "The TLS certificate of {peer} of {network} has expired",
        Predicate::Peer(|record, _, _| {
            has(record, Failing(Reason::Client(FailureReason::TlsExpired)))
        }),
    ),
    rule(
        "ConvexStateDiverged",
        Critical,
        60,
        "{peer} of {network} has another state than its network",
        Predicate::Peer(|record, _, _| has(record, Condition::Diverged)),
    ),
    rule(
        "ConvexPeerForked",
        Critical,
        0,
        "{peer} of {network} has another history than its network",
        Predicate::Peer(|record, _, _| has(record, Condition::Forked)),
    ),
    rule(
        "ConvexPeerIsolated",
        Critical,
        0,
        "{peer} of {network} does not hear its network",
        Predicate::Peer(|record, _, _| has(record, Condition::Isolated)),
    ),
    rule(
        "ConvexPeerUnheard",
        Critical,
        0,
        "{peer} of {network} is not heard by its network",
        Predicate::Peer(|record, _, _| has(record, Condition::Unheard)),
    ),
    rule(
        "ConvexPeerUnregistered",
        Critical,
        0,
        "{peer} of {network} is no longer registered",
        Predicate::Peer(|record, _, _| has(record, Condition::Unregistered)),
    ),
    rule(
        "ConvexFinalityReceding",
        Critical,
        0,
        "{peer} of {network} has lost final blocks",
        Predicate::Peer(|record, _, _| has(record, Condition::FinalityLost)),
    ),
    rule(
        "ConvexOwnStakeBelowMinimum",
        Critical,
        60,
        "The own stake of {peer} of {network} is below the minimum",
        Predicate::Peer(|record, _, _| {
            record.stake.as_ref().is_some_and(is_evictable)
                && !has(record, Condition::StakeWithdrawn)
        }),
    ),
    rule(
        "ConvexOwnStakeBelowMinimum",
        Warning,
        300,
        "The own stake of {peer} of {network} is near the minimum",
        Predicate::Peer(|record, _, _| {
            has(record, Condition::OwnStakeLow) && !record.stake.as_ref().is_some_and(is_evictable)
        }),
    ),
    rule(
        "ConvexUpgradeUnsupported",
        Critical,
        60,
        "{peer} of {network} cannot follow an upgrade that is due within a day",
        Predicate::Peer(upgrades::leaves_peer_behind_today),
    ),
    rule(
        "ConvexUpgradeUnsupported",
        Warning,
        300,
        "{peer} of {network} cannot follow a scheduled upgrade",
        Predicate::Peer(|record, network, input| {
            upgrades::leaves_peer_behind(record, network, input)
                && !upgrades::leaves_peer_behind_today(record, network, input)
        }),
    ),
    rule(
        "ConvexClockSkew",
        Critical,
        120,
        "The clock of {peer} of {network} is so wrong that it stops agreeing",
        Predicate::Peer(|record, _, input| {
            has(record, Condition::ClockSkew) && stops_agreeing(record, input)
        }),
    ),
    rule(
        "ConvexClockSkew",
        Warning,
        600,
        "The clock of {peer} of {network} is wrong",
        Predicate::Peer(|record, _, input| {
            has(record, Condition::ClockSkew) && !stops_agreeing(record, input)
        }),
    ),
    rule(
        "ConvexPeerDegraded",
        Warning,
        300,
        "{peer} of {network} answers, but has problems",
        Predicate::Peer(|record, _, _| {
            let mut conditions = record.conditions.iter();
            let is_degraded = record.health == Health::Degraded
                && conditions.any(|condition| !CONDITIONS_WITH_OWN_ALERT.contains(condition));
            // A peer that flaps is degraded and down in turn.
            is_degraded || has(record, Condition::Flapping)
        }),
    ),
    rule(
        "ConvexNewConnectionsFail",
        Warning,
        300,
        "{peer} of {network} accepts no new connections",
        Predicate::Peer(|record, _, _| has(record, Condition::NewConnectionsFail)),
    ),
    rule(
        "ConvexCertificateExpiring",
        Warning,
        3600,
        "The TLS certificate of {peer} of {network} expires soon",
        Predicate::Peer(|record, _, _| {
            has(record, Condition::CertificateExpiring)
                && !has(record, Failing(Reason::Client(FailureReason::TlsExpired)))
        }),
    ),
    rule(
        "ConvexVantagesDisagree",
        Warning,
        300,
        "{peer} of {network} is reached by some agents only",
        Predicate::Peer(vantages::disagree_on_peer),
    ),
    rule(
        "ConvexPeerLagging",
        Warning,
        120,
        "{peer} of {network} lags behind its network",
        Predicate::Peer(|record, _, _| has(record, Condition::Lagging)),
    ),
    rule(
        "ConvexWeightDecayed",
        Warning,
        300,
        "{peer} of {network} makes no blocks and loses weight",
        Predicate::Peer(|record, network, input| {
            let advanced = network.verdict.finality_advanced;
            let age = advanced.map(|at| input.snapshot.wall.duration_since(at).unwrap_or_default());
            let long_idle = network.verdict.order == OrderState::Idle
                && age.is_none_or(|age| age >= LONG_IDLE_AFTER);
            has(record, Condition::WeightDecayed) && !long_idle
        }),
    ),
    rule(
        "ConvexWritesFailing",
        Warning,
        0,
        "Transactions through {peer} of {network} are not executed",
        Predicate::Peer(|record, network, input| {
            canary_fails(record, network) && !canary_fails_widely(network, input)
        }),
    ),
    rule(
        "ConvexConsensusStalled",
        Critical,
        60,
        "{network} finalises no blocks",
        Predicate::Absence(vantages::is_stalled),
    )
    .ending_once(|network| network.verdict.order != OrderState::Unknown),
    rule(
        "ConvexVantagesDisagree",
        Warning,
        300,
        "{network} is reached by some agents only",
        Predicate::Network(vantages::disagree_on_network),
    ),
    rule(
        "ConvexNetworkReset",
        Critical,
        0,
        "{network} was reset",
        Predicate::Network(|network, _| network.verdict.reset.is_some()),
    ),
    rule(
        "ConvexNetworkSplit",
        Critical,
        60,
        "{network} is split",
        Predicate::Network(|network, _| network.verdict.split == Evidence::Proven),
    ),
    rule(
        "ConvexFinalityReceding",
        Critical,
        0,
        "{network} has lost final blocks",
        Predicate::Network(|network, _| network.verdict.order == OrderState::Receding),
    )
    .ending_once(|network| network.verdict.order != OrderState::Unknown),
    rule(
        "ConvexStatesDiffer",
        Warning,
        0,
        "Peers of {network} have different states",
        Predicate::Network(|network, input| {
            let mut own_peers = input.own_peers(network);
            network.verdict.difference.is_some()
                || own_peers.any(|record| has(record, Condition::StatesDiffer))
        }),
    ),
    rule(
        "ConvexNothingCompared",
        Warning,
        0,
        "The states of peers of {network} are not compared",
        Predicate::Absence(|network, _| network.verdict.nothing_compared),
    ),
    rule(
        "ConvexQuorumUnknown",
        Warning,
        600,
        "The stake of {network} is unknown",
        Predicate::Absence(|network, input| {
            let is_answering =
                |record: &PeerRecord| matches!(record.health, Health::Up | Health::Degraded);
            network.verdict.quorum.is_none() && input.network_peers(network).any(is_answering)
        }),
    ),
    rule(
        "ConvexQuorumAtRisk",
        Critical,
        120,
        "{network} can lose no further peer",
        Predicate::Network(vantages::is_quorum_at_risk),
    )
    .ending_once(|network| network.verdict.quorum.is_some()),
    rule(
        "ConvexUpgradeFailed",
        Critical,
        0,
        "An upgrade of {network} has failed",
        Predicate::Absence(|network, _| {
            let protocol = network.verdict.protocol.as_ref();
            protocol.is_some_and(|protocol| protocol.failed)
        }),
    ),
    rule(
        "ConvexUpgradeAtRisk",
        Critical,
        120,
        "Too little stake of {network} can follow an upgrade that is due within a day",
        Predicate::Network(upgrades::stops_network_today),
    ),
    rule(
        "ConvexUpgradeAtRisk",
        Warning,
        600,
        "Too little stake of {network} is known to follow a scheduled upgrade",
        Predicate::Network(|network, input| {
            upgrades::may_stop_network(network, input)
                && !upgrades::stops_network_today(network, input)
        }),
    ),
    rule(
        "ConvexUpgradePending",
        Info,
        0,
        "An upgrade of {network} is scheduled",
        Predicate::Network(|network, _| {
            let protocol = network.verdict.protocol.as_ref();
            protocol.is_some_and(|protocol| !protocol.pending.is_empty())
        }),
    ),
    rule(
        "ConvexControllerBalanceLow",
        Warning,
        600,
        "An account that controls peers of {network} is short of coins",
        Predicate::Network(|network, input| {
            let mut own_peers = input.own_peers(network);
            own_peers.any(|record| has(record, Condition::ControllerBalanceLow))
        }),
    ),
    rule(
        "ConvexWritesFailing",
        Critical,
        0,
        "{network} does not execute transactions",
        Predicate::Network(canary_fails_widely),
    ),
    rule(
        "ConvexCanaryFunds",
        Warning,
        600,
        "The account of the canary of {network} needs attention",
        Predicate::Network(|network, _| {
            let canary = network.canary.as_ref();
            canary.is_some_and(|canary| !canary.problems().is_empty())
        }),
    ),
    rule(
        "ConvexCanarySlow",
        Warning,
        600,
        "{network} executes transactions slowly",
        Predicate::Network(|network, input| {
            let canary = network.canary.as_ref();
            canary.is_some_and(|canary| canary.is_slow(input.snapshot.now))
        }),
    ),
    rule(
        "ConvexMonitoringBlind",
        Critical,
        300,
        "Nothing is known of {network}",
        Predicate::Visibility(vantages::is_blind),
    ),
    rule(
        "ConvexOwnPeersUnknown",
        Critical,
        300,
        "Nothing is known of your own peers of {network}",
        Predicate::Visibility(|network, input| {
            let is_known = |record: &PeerRecord| record.health != Health::Unknown;
            let mut own_peers = input.own_peers(network).peekable();
            own_peers.peek().is_some()
                && !own_peers.any(is_known)
                && input.network_peers(network).any(is_known)
        }),
    ),
    rule(
        "ConvexErrorBudgetBurn",
        Critical,
        120,
        "{service} of {network} spends its error budget fast",
        Predicate::Service(burn::burns),
    ),
    rule(
        "ConvexMonitorUnhealthy",
        Warning,
        300,
        "The agent {vantage} has a problem of its own",
        Predicate::Monitor(|input| !input.snapshot.checks.all_passed()),
    ),
    rule(
        "ConvexMonitorClockWrong",
        Warning,
        300,
        "The agent {vantage} and most of its peers disagree about the time",
        Predicate::Monitor(|input| input.snapshot.clock_dispute.is_some()),
    ),
    rule(
        "ConvexMonitorMissesPolls",
        Warning,
        600,
        "The agent {vantage} misses polls",
        Predicate::Monitor(|input| {
            input.monitor.misses_polls
                || input
                    .alertable_peers()
                    .any(|(record, _)| is_stale(record, input))
        }),
    ),
    rule(
        "ConvexConfigReloadFailed",
        Warning,
        300,
        "The agent {vantage} runs with an old configuration",
        Predicate::Monitor(|input| !input.monitor.reload_successful),
    ),
    rule(
        "ConvexNotificationsFailing",
        Warning,
        300,
        "The agent {vantage} cannot deliver its notifications",
        Predicate::Monitor(|input| !input.monitor.failing_receivers.is_empty()),
    ),
];

/// Returns the name of the alert that reports a condition; its runbook says what to do.
#[must_use]
pub const fn alert_for_condition(condition: Condition) -> &'static str {
    match condition {
        Failing(Reason::WrongNetwork) => "ConvexPeerWrongNetwork",
        Failing(Reason::WrongPeer) | Condition::IdentityChanged => "ConvexPeerIdentityChanged",
        Failing(Reason::Client(FailureReason::QueryHangs)) => "ConvexQueriesHang",
        Failing(Reason::Client(FailureReason::TlsExpired)) => "ConvexCertificateExpired",
        Condition::Lagging => "ConvexPeerLagging",
        Condition::Diverged => "ConvexStateDiverged",
        Condition::StatesDiffer => "ConvexStatesDiffer",
        Condition::Forked => "ConvexPeerForked",
        Condition::UpgradeRequired | Condition::StakeWithdrawn => "ConvexUpgradeUnsupported",
        Condition::Isolated => "ConvexPeerIsolated",
        Condition::Unheard => "ConvexPeerUnheard",
        Condition::FinalityLost => "ConvexFinalityReceding",
        Condition::Unregistered => "ConvexPeerUnregistered",
        Condition::NewConnectionsFail => "ConvexNewConnectionsFail",
        Condition::ClockSkew => "ConvexClockSkew",
        Condition::CertificateExpiring => "ConvexCertificateExpiring",
        Condition::OwnStakeLow => "ConvexOwnStakeBelowMinimum",
        Condition::ControllerBalanceLow => "ConvexControllerBalanceLow",
        Condition::WeightDecayed => "ConvexWeightDecayed",
        Failing(_)
        | Condition::Stalled
        | Condition::Receding
        | Condition::StateBehind
        | Condition::DuplicateKey
        | Condition::EndpointFailing
        | Condition::AdvertisedUrl
        | Condition::TransportsDisagree
        | Condition::Flapping
        | Condition::QueryError => "ConvexPeerDegraded",
    }
}

pub(super) fn has(record: &PeerRecord, condition: Condition) -> bool {
    record.conditions.contains(&condition)
}

/// Whether the last rounds of the canary failed at the peer.
fn canary_fails(record: &PeerRecord, network: &NetworkSnapshot) -> bool {
    let found = network.canary.as_ref();
    let found = found.and_then(|canary| canary.peers.get(&record.peer.name));
    found.is_some_and(CanaryPeer::is_failing)
}

/// Whether they failed at so many peers that the network is to blame.
fn canary_fails_widely(network: &NetworkSnapshot, input: RuleInput<'_>) -> bool {
    let mut failing = input
        .own_peers(network)
        .filter(|record| canary_fails(record, network));
    failing.nth(FAILING_PEERS - 1).is_some()
}

/// Whether the peer answers but has no measurement: those of its last polls are too old.
fn is_stale(record: &PeerRecord, input: RuleInput<'_>) -> bool {
    let answer = record.poll_answer(input.snapshot.now);
    matches!(record.health, Health::Up | Health::Degraded)
        && answer.and_then(|answer| answer.state_block).is_none()
        && !has(record, Condition::QueryError)
}

fn is_evictable(stake: &Stake) -> bool {
    stake.registered.eviction_margin() < 0
}

fn stops_agreeing(record: &PeerRecord, input: RuleInput<'_>) -> bool {
    let clock = record.clock(input.snapshot.now);
    clock.is_some_and(|clock| clock.skew.abs() > MAX_AGREEING_SKEW_SECONDS)
}
