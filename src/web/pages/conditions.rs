//! The conditions of a peer as pages show them: the most severe first, each with the runbook that
//! says what to do.

use std::cmp::Reverse;

use convex_client::FailureReason;

use crate::alerting::{RULES, alert_for_condition};
use crate::config::Severity;
use crate::failure::Reason;
use crate::fleet::{Condition, Health, PeerRecord};

use super::format::{TimeFormat, Timestamp};
use super::labels;

/// The runbook of a peer that does not answer.
pub(super) const PEER_DOWN: &str = "ConvexPeerDown";

/// The runbook of a peer that answers and has a condition without a runbook of its own.
const PEER_DEGRADED: &str = "ConvexPeerDegraded";

/// A condition with the name of its runbook.
pub(super) struct ConditionLink {
    pub(super) text: &'static str,
    pub(super) label: &'static str,
    pub(super) alert: &'static str,
    pub(super) severity: Severity,
    /// Since when its cause has lasted.
    pub(super) since: Option<Timestamp>,
}

/// Returns the conditions of a peer with their runbooks, the most severe first.
pub(super) fn condition_links(record: &PeerRecord, times: TimeFormat) -> Vec<ConditionLink> {
    let link = |condition: Condition| ConditionLink {
        text: text(condition, record),
        label: condition.as_str(),
        alert: runbook(condition, record),
        severity: severity(condition, record),
        since: record
            .condition_since
            .get(&condition)
            .map(|since| times.lasting(*since)),
    };
    ranked(record).into_iter().map(link).collect()
}

/// Returns the texts for the conditions of a peer, the most severe first.
pub(super) fn condition_texts(record: &PeerRecord) -> Vec<&'static str> {
    let conditions = ranked(record).into_iter();
    conditions
        .map(|condition| text(condition, record))
        .collect()
}

/// Returns the conditions by the severity of their alerts. A peer that answers with an error comes
/// after what else is critical, because that may be why it does.
fn ranked(record: &PeerRecord) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = record.conditions.iter().copied().collect();
    conditions.sort_by_key(|condition| {
        let answers = matches!(
            condition,
            Condition::Failing(Reason::Client(
                FailureReason::HttpStatus | FailureReason::PeerError | FailureReason::Overloaded
            ))
        );
        (Reverse(severity(*condition, record)), answers)
    });
    conditions
}

/// Returns the severity of the alert that reports the condition.
fn severity(condition: Condition, record: &PeerRecord) -> Severity {
    let alert = runbook(condition, record);
    let rules = RULES.iter().filter(|rule| rule.name == alert);
    let severities = rules.map(|rule| rule.severity);
    let is_severe = match condition {
        Condition::OwnStakeLow => is_below_minimum(record),
        Condition::ClockSkew => false,
        _ => true,
    };
    let found = if is_severe {
        severities.max()
    } else {
        severities.min()
    };
    found.unwrap_or(Severity::Warning)
}

/// Returns the name of the runbook for a condition of this peer.
fn runbook(condition: Condition, record: &PeerRecord) -> &'static str {
    match alert_for_condition(condition) {
        // That a peer fails on and off says more than that it fails now.
        PEER_DEGRADED if record.health == Health::Down && condition != Condition::Flapping => {
            PEER_DOWN
        }
        alert => alert,
    }
}

fn text(condition: Condition, record: &PeerRecord) -> &'static str {
    match condition {
        Condition::OwnStakeLow if is_below_minimum(record) => "own stake is below the minimum",
        _ => labels::condition(condition),
    }
}

/// Whether anyone may evict the peer, because its own stake is below the minimum.
fn is_below_minimum(record: &PeerRecord) -> bool {
    let stake = record.stake.as_ref();
    stake.is_some_and(|stake| stake.registered.eviction_margin() < 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use convex_client::Endpoint;
    use convex_client::chain::RegisteredPeer;

    use crate::config::Peer;
    use crate::fleet::Stake;

    use super::*;

    const TIMES: TimeFormat = TimeFormat {
        now: SystemTime::UNIX_EPOCH,
        relative: true,
    };

    /// A peer with these conditions and so much own stake.
    fn peer(health: Health, conditions: &[Condition], own_cvm: i64) -> PeerRecord {
        let endpoint = Endpoint::parse("tcp://peer.example").unwrap();
        let mut record = PeerRecord::new(Arc::new(Peer::from_endpoint(endpoint)));
        record.health = health;
        record.conditions = conditions.iter().copied().collect();
        record.stake = Some(Stake {
            registered: RegisteredPeer {
                controller: None,
                own_copper: own_cvm * 1_000_000_000,
                delegated_copper: 0,
                shares: 0,
                last_block_ms: Some(0),
                url: None,
            },
            state_time_ms: 0,
            decay: 1.0,
            weight: None,
            controller_balance: None,
        });
        record
    }

    const fn failing(reason: FailureReason) -> Condition {
        Condition::Failing(Reason::Client(reason))
    }

    #[test]
    fn the_most_severe_condition_comes_first_with_the_runbook_of_what_is_wrong() {
        use Condition::{ClockSkew, EndpointFailing, Flapping, Forked, OwnStakeLow};
        use Health::{Degraded, Down};
        let http_500 = failing(FailureReason::HttpStatus);
        let timeout = failing(FailureReason::Timeout);
        let hangs = failing(FailureReason::QueryHangs);
        for (health, conditions, own_cvm, expected) in [
            (
                Degraded,
                vec![http_500, EndpointFailing, OwnStakeLow],
                500,
                vec![
                    (
                        "own stake is below the minimum",
                        "ConvexOwnStakeBelowMinimum",
                    ),
                    ("one endpoint fails", PEER_DEGRADED),
                    ("HTTP error", PEER_DEGRADED),
                ],
            ),
            (
                Degraded,
                vec![timeout, EndpointFailing, OwnStakeLow],
                1_001,
                vec![
                    ("no answer in time", PEER_DEGRADED),
                    ("one endpoint fails", PEER_DEGRADED),
                    ("own stake is low", "ConvexOwnStakeBelowMinimum"),
                ],
            ),
            (
                Down,
                vec![timeout, OwnStakeLow, Flapping],
                500,
                vec![
                    ("no answer in time", PEER_DOWN),
                    (
                        "own stake is below the minimum",
                        "ConvexOwnStakeBelowMinimum",
                    ),
                    ("fails on and off", PEER_DEGRADED),
                ],
            ),
            (
                Down,
                vec![http_500, OwnStakeLow],
                500,
                vec![
                    (
                        "own stake is below the minimum",
                        "ConvexOwnStakeBelowMinimum",
                    ),
                    ("HTTP error", PEER_DOWN),
                ],
            ),
            (
                Down,
                vec![hangs],
                2_000,
                vec![("answers status, but queries hang", "ConvexQueriesHang")],
            ),
            (
                Degraded,
                vec![ClockSkew, Forked],
                2_000,
                vec![
                    (
                        "forked: its blocks differ from the majority's",
                        "ConvexPeerForked",
                    ),
                    ("clock is off", "ConvexClockSkew"),
                ],
            ),
        ] {
            let record = peer(health, &conditions, own_cvm);
            let found = condition_links(&record, TIMES);
            let found: Vec<_> = found.iter().map(|it| (it.text, it.alert)).collect();
            assert_eq!(found, expected, "{conditions:?}");
        }
    }

    #[test]
    fn a_condition_shows_how_long_its_cause_has_lasted() {
        let mut record = peer(Health::Degraded, &[Condition::ClockSkew], 2_000);
        let since = SystemTime::UNIX_EPOCH;
        record.condition_since.insert(Condition::ClockSkew, since);
        let times = TimeFormat {
            now: since + Duration::from_secs(60),
            ..TIMES
        };
        let found = condition_links(&record, times).remove(0);
        assert!(found.since.unwrap().to_string().contains("for 60 s"));
    }
}
