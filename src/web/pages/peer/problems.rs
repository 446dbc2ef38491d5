//! Problems of a peer and their remedies: its conditions, each with the runbook that
//! has the names of the peer filled in.

use askama::Template;

use crate::config::Severity;
use crate::fleet::{Health, PeerRecord};
use crate::web::pages::conditions::{ConditionLink, PEER_DOWN, condition_links};
use crate::web::pages::format::{TimeFormat, Timestamp};
use crate::web::pages::runbook::{self, Embedded};
use crate::web::pages::runbook_commands::RunbookNames;

/// Runbooks that say what to do about a peer that does not answer correctly.
const OF_DOWN_PEERS: [&str; 5] = [
    PEER_DOWN,
    "ConvexPeerWrongNetwork",
    "ConvexPeerIdentityChanged",
    "ConvexQueriesHang",
    "ConvexCertificateExpired",
];

#[derive(Template)]
#[template(path = "pages/peer/problems.html")]
pub(super) struct Problems<'a> {
    prefix: &'a str,
    peer: &'a str,
    found: Vec<Problem>,
}

/// Conditions with one runbook.
struct Problem {
    /// Texts of the conditions.
    texts: Vec<&'static str>,
    /// Since when the first of them has lasted.
    since: Option<Timestamp>,
    /// The highest of theirs.
    severity: Severity,
    alert: &'static str,
    runbook: Option<Embedded>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(
        record: &'a PeerRecord,
        names: &RunbookNames,
        prefix: &'a str,
        times: TimeFormat,
    ) -> Self {
        let mut problems: Vec<Problem> = Vec::new();
        for link in links(record, times) {
            match problems.iter_mut().find(|it| it.alert == link.alert) {
                Some(problem) => problem.texts.push(link.text),
                None => problems.push(Problem {
                    texts: vec![link.text],
                    since: link.since,
                    severity: link.severity,
                    alert: link.alert,
                    runbook: runbook::embedded(link.alert, prefix, names),
                }),
            }
        }
        Self {
            prefix,
            peer: &record.peer.name,
            found: problems,
        }
    }
}

/// Returns the conditions of a peer. A down peer always has one that says so: after a restart of
/// the agent its conditions are not known yet.
fn links(record: &PeerRecord, times: TimeFormat) -> Vec<ConditionLink> {
    let mut links = condition_links(record, times);
    let explains_down = |link: &ConditionLink| OF_DOWN_PEERS.contains(&link.alert);
    if record.health == Health::Down && !links.iter().any(explains_down) {
        let down = ConditionLink {
            text: "down",
            label: "down",
            alert: PEER_DOWN,
            severity: Severity::Critical,
            since: None,
        };
        links.insert(0, down);
    }
    links
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use convex_client::FailureReason;

    use crate::config;
    use crate::failure::Reason;
    use crate::fleet::{Condition, example};
    use crate::web::pages::relative_times;
    use crate::web::pages::runbook_commands::AgentAddress;

    use super::*;

    /// Runbooks and texts of a peer with this health and these conditions.
    fn problems(
        health: Health,
        conditions: &[Condition],
    ) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut snapshot = example::snapshot(4, 1);
        let times = relative_times(&snapshot);
        let record = Arc::make_mut(&mut snapshot.peers[0]);
        (record.health, record.conditions) = (health, conditions.iter().copied().collect());
        let record = Arc::clone(&snapshot.peers[0]);
        let agent = AgentAddress::of(&config::embedded());
        let names = RunbookNames::new(&record, &snapshot, agent);
        let problems = Problems::new(&record, &names, "", times).found;
        problems
            .into_iter()
            .map(|problem| {
                assert!(problem.runbook.is_some(), "{}", problem.alert);
                (problem.alert, problem.texts)
            })
            .collect()
    }

    #[test]
    fn a_down_peer_offers_the_runbook_of_what_is_down() {
        let failing = |reason| Condition::Failing(Reason::Client(reason));
        for (conditions, expected) in [
            (vec![], vec![(PEER_DOWN, vec!["down"])]),
            (
                vec![
                    failing(FailureReason::Refused),
                    failing(FailureReason::Timeout),
                ],
                vec![(PEER_DOWN, vec!["connection refused", "no answer in time"])],
            ),
            (
                vec![failing(FailureReason::QueryHangs)],
                vec![(
                    "ConvexQueriesHang",
                    vec!["answers status, but queries hang"],
                )],
            ),
            (
                vec![Condition::Flapping],
                vec![
                    (PEER_DOWN, vec!["down"]),
                    ("ConvexPeerDegraded", vec!["fails on and off"]),
                ],
            ),
        ] {
            assert_eq!(
                problems(Health::Down, &conditions),
                expected,
                "{conditions:?}"
            );
        }
    }

    #[test]
    fn conditions_with_one_runbook_are_one_problem() {
        let timeout = Condition::Failing(Reason::Client(FailureReason::Timeout));
        assert_eq!(
            problems(Health::Degraded, &[timeout, Condition::EndpointFailing]),
            [(
                "ConvexPeerDegraded",
                vec!["no answer in time", "one endpoint fails"]
            )]
        );
        assert_eq!(problems(Health::Up, &[]), []);
    }
}
