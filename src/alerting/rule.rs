//! The table of alerts that the agent can raise by itself. A test holds it against the rules for Prometheus.

use std::time::Duration;

use convex_client::FailureReason;

use crate::config::Severity::{self, Critical, Info, Warning};
use crate::failure::Reason;
use crate::fleet::Condition::{self, Failing};
use crate::fleet::{Health, NetworkSnapshot, OrderState, PeerRecord, Stake};

use super::seen::Seen;

/// Off by more than this a peer's blocks are refused by others, seconds (PEER-PROTOCOL, section 8).
const AGREES_WITHIN_SECONDS: f64 = 15.0;

/// An idle network costs no weight; it is idle when nothing was finalised for so long.
const IDLE_FOR: Duration = Duration::from_secs(600);

/// Less than this is left of the quorum when a tenth of the weight is proven absent: 0.33 − 0.1.
const MARGIN_AT_RISK: f64 = 0.23;

/// How long an alert that wakes somebody goes on without cause: a restart must not resolve and repeat it.
const KEEP_CRITICAL: Duration = Duration::from_secs(120);

/// Conditions that have an alert of their own and never stop an endpoint.
const TOLD_APART: [Condition; 10] = [
    Condition::CertificateExpiring,
    Condition::ClockSkew,
    Condition::ControllerBalanceLow,
    Condition::Diverged,
    Condition::Flapping,
    Condition::IdentityChanged,
    Condition::Lagging,
    Condition::OwnStakeLow,
    Condition::TransportsDisagree,
    Condition::WeightDecayed,
];

/// One alert.
#[derive(Debug)]
pub struct Rule {
    /// The `alertname` label.
    pub name: &'static str,
    /// The `severity` label.
    pub severity: Severity,
    /// How long its cause has to last.
    pub hold: Duration,
    /// What it says, in a sentence.
    pub summary: &'static str,
    /// Whether it is why a peer is down.
    pub(super) explains_an_outage: bool,
    pub(super) cause: Cause,
}

/// When an alert is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// For one of the operator's own peers that is not in maintenance.
    Peer(fn(&PeerRecord, &NetworkSnapshot, Seen<'_>) -> bool),
    /// For a network with such a peer.
    Network(fn(&NetworkSnapshot, Seen<'_>) -> bool),
    /// For a network that the agent cannot see, whatever its own trouble.
    Sight(fn(&NetworkSnapshot, Seen<'_>) -> bool),
    /// For the agent.
    Monitor(fn(Seen<'_>) -> bool),
}

impl Rule {
    /// The same as one that says why a peer is down, and holds back `ConvexPeerDown`.
    const fn explaining(self) -> Self {
        Self {
            explains_an_outage: true,
            ..self
        }
    }

    /// How long it goes on without cause.
    #[must_use]
    pub const fn keep(&self) -> Duration {
        match self.severity {
            Critical => KEEP_CRITICAL,
            Info | Warning => Duration::ZERO,
        }
    }

    /// Whether it waits while trouble of the agent's own lies between it and what it is about.
    pub(super) const fn can_be_held(&self) -> bool {
        matches!(self.cause, Cause::Peer(_) | Cause::Network(_))
    }

    /// The alert called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }
}

const fn rule(
    name: &'static str,
    severity: Severity,
    hold_seconds: u64,
    summary: &'static str,
    cause: Cause,
) -> Rule {
    Rule {
        name,
        severity,
        hold: Duration::from_secs(hold_seconds),
        summary,
        explains_an_outage: false,
        cause,
    }
}

/// What follows from verdicts. Others need Prometheus: a past longer than the agent's memory, or several agents' sight.
pub static RULES: [Rule; 26] = [
    rule(
        "ConvexPeerDown",
        Critical,
        60,
        "A Convex peer is down.",
        Cause::Peer(|record, _, _| record.health == Health::Down),
    ),
    rule(
        "ConvexPeerWrongNetwork",
        Critical,
        0,
        "A Convex peer belongs to another network.",
        Cause::Peer(|record, _, _| has(record, Failing(Reason::WrongNetwork))),
    )
    .explaining(),
    rule(
        "ConvexPeerIdentityChanged",
        Critical,
        0,
        "Another peer answers in place of a Convex peer.",
        Cause::Peer(|record, _, _| {
            has(record, Condition::IdentityChanged) || has(record, Failing(Reason::WrongPeer))
        }),
    ),
    rule(
        "ConvexQueriesHang",
        Critical,
        60,
        "A Convex peer answers its status but no queries.",
        Cause::Peer(|record, _, _| has(record, Failing(Reason::Client(FailureReason::QueryHangs)))),
    )
    .explaining(),
    rule(
        "ConvexCertificateExpired",
        Critical,
        0,
        "The TLS certificate of a Convex peer has expired.",
        Cause::Peer(|record, _, _| has(record, Failing(Reason::Client(FailureReason::TlsExpired)))),
    ),
    rule(
        "ConvexStateDiverged",
        Critical,
        60,
        "A Convex peer has another state than its network.",
        Cause::Peer(|record, _, _| has(record, Condition::Diverged)),
    ),
    rule(
        "ConvexOwnStakeBelowMinimum",
        Critical,
        60,
        "The own stake of a Convex peer is below the minimum.",
        Cause::Peer(|record, _, _| record.stake.as_ref().is_some_and(is_evictable)),
    ),
    rule(
        "ConvexClockSkew",
        Critical,
        120,
        "The clock of a Convex peer is so wrong that it stops agreeing.",
        Cause::Peer(|record, _, seen| {
            has(record, Condition::ClockSkew) && stops_agreeing(record, seen)
        }),
    ),
    rule(
        "ConvexPeerDegraded",
        Warning,
        300,
        "A Convex peer answers, but something is wrong with it.",
        Cause::Peer(|record, _, _| {
            let mut conditions = record.conditions.iter();
            record.health == Health::Degraded
                && conditions.any(|condition| !TOLD_APART.contains(condition))
        }),
    ),
    rule(
        "ConvexTransportsDisagree",
        Warning,
        300,
        "The HTTP and TCP endpoints of a Convex peer are not one peer.",
        Cause::Peer(|record, _, _| has(record, Condition::TransportsDisagree)),
    ),
    rule(
        "ConvexCertificateExpiring",
        Warning,
        3600,
        "The TLS certificate of a Convex peer ends soon.",
        Cause::Peer(|record, _, _| {
            has(record, Condition::CertificateExpiring)
                && !has(record, Failing(Reason::Client(FailureReason::TlsExpired)))
        }),
    ),
    rule(
        "ConvexProbeDataStale",
        Warning,
        300,
        "Nothing new is known of a Convex peer that counts as up.",
        Cause::Peer(|record, _, seen| {
            let figures = record.figures(seen.snapshot.now);
            matches!(record.health, Health::Up | Health::Degraded)
                && figures.and_then(|figures| figures.state_block).is_none()
                && !has(record, Condition::QueryError)
        }),
    ),
    rule(
        "ConvexPeerLagging",
        Warning,
        120,
        "A Convex peer lags behind its network.",
        Cause::Peer(|record, _, _| has(record, Condition::Lagging)),
    ),
    rule(
        "ConvexPeerFlapping",
        Warning,
        0,
        "A Convex peer goes up and down.",
        Cause::Peer(|record, _, _| has(record, Condition::Flapping)),
    ),
    rule(
        "ConvexWeightDecayed",
        Warning,
        300,
        "A Convex peer makes no blocks and loses weight.",
        Cause::Peer(|record, network, seen| {
            let advanced = network.verdict.finality_advanced;
            let age = advanced.map(|at| seen.snapshot.wall.duration_since(at).unwrap_or_default());
            let long_idle =
                network.verdict.order == OrderState::Idle && age.is_none_or(|age| age >= IDLE_FOR);
            has(record, Condition::WeightDecayed) && !long_idle
        }),
    ),
    rule(
        "ConvexStakeNearEviction",
        Warning,
        300,
        "The own stake of a Convex peer is near the minimum.",
        Cause::Peer(|record, _, _| {
            has(record, Condition::OwnStakeLow) && !record.stake.as_ref().is_some_and(is_evictable)
        }),
    ),
    rule(
        "ConvexClockDrift",
        Warning,
        600,
        "The clock of a Convex peer is wrong.",
        Cause::Peer(|record, _, seen| {
            has(record, Condition::ClockSkew) && !stops_agreeing(record, seen)
        }),
    ),
    rule(
        "ConvexConsensusStalled",
        Critical,
        60,
        "A Convex network finalises nothing.",
        Cause::Network(|network, _| network.verdict.order == OrderState::Stalled),
    ),
    rule(
        "ConvexNetworkSplit",
        Critical,
        60,
        "A Convex network is split.",
        Cause::Network(|network, _| network.verdict.split),
    ),
    rule(
        "ConvexQuorumAtRisk",
        Critical,
        120,
        "A Convex network can lose no further peer.",
        Cause::Network(|network, _| {
            let quorum = network.verdict.quorum.as_ref();
            quorum.is_some_and(|quorum| quorum.margin < MARGIN_AT_RISK && quorum.losable == 0)
        }),
    ),
    rule(
        "ConvexControllerBalanceLow",
        Warning,
        600,
        "The account that controls a Convex peer is short of coins.",
        Cause::Network(|network, seen| {
            let mut own = seen.own(network);
            own.any(|record| has(record, Condition::ControllerBalanceLow))
        }),
    ),
    rule(
        "ConvexMonitoringBlind",
        Critical,
        300,
        "Nothing is known of a whole Convex network.",
        Cause::Sight(|network, seen| {
            seen.of(network)
                .all(|record| record.health == Health::Unknown)
        }),
    ),
    rule(
        "ConvexMonitorUnhealthy",
        Warning,
        300,
        "A monitoring agent has trouble of its own.",
        Cause::Monitor(|seen| !seen.snapshot.checks.all_passed()),
    ),
    rule(
        "ConvexMonitorMissesPolls",
        Warning,
        600,
        "A monitoring agent cannot keep up with its polls.",
        Cause::Monitor(|seen| seen.monitor.misses_polls),
    ),
    rule(
        "ConvexConfigReloadFailed",
        Warning,
        300,
        "A monitoring agent runs with an old configuration.",
        Cause::Monitor(|seen| !seen.monitor.reload_successful),
    ),
    rule(
        "ConvexNotificationsFailing",
        Warning,
        300,
        "A monitoring agent cannot deliver its notifications.",
        Cause::Monitor(|seen| !seen.monitor.failing_receivers.is_empty()),
    ),
];

/// The alert that tells of a condition, whose runbook says what to do.
#[must_use]
pub const fn of_condition(condition: Condition) -> &'static str {
    match condition {
        Failing(Reason::WrongNetwork) => "ConvexPeerWrongNetwork",
        Failing(Reason::WrongPeer) | Condition::IdentityChanged => "ConvexPeerIdentityChanged",
        Failing(Reason::Client(FailureReason::QueryHangs)) => "ConvexQueriesHang",
        Failing(Reason::Client(FailureReason::TlsExpired)) => "ConvexCertificateExpired",
        Condition::Lagging => "ConvexPeerLagging",
        Condition::Diverged => "ConvexStateDiverged",
        Condition::TransportsDisagree => "ConvexTransportsDisagree",
        Condition::ClockSkew => "ConvexClockDrift",
        Condition::CertificateExpiring => "ConvexCertificateExpiring",
        Condition::OwnStakeLow => "ConvexStakeNearEviction",
        Condition::ControllerBalanceLow => "ConvexControllerBalanceLow",
        Condition::Flapping => "ConvexPeerFlapping",
        Condition::WeightDecayed => "ConvexWeightDecayed",
        Failing(_)
        | Condition::Stalled
        | Condition::Receding
        | Condition::StateBehind
        | Condition::EndpointFailing
        | Condition::AdvertisedUrl
        | Condition::QueryError => "ConvexPeerDegraded",
    }
}

fn has(record: &PeerRecord, condition: Condition) -> bool {
    record.conditions.contains(&condition)
}

fn is_evictable(stake: &Stake) -> bool {
    stake.registered.eviction_margin() < 0
}

fn stops_agreeing(record: &PeerRecord, seen: Seen<'_>) -> bool {
    let clock = record.clock(seen.snapshot.now);
    clock.is_some_and(|clock| clock.skew.abs() > AGREES_WITHIN_SECONDS)
}
