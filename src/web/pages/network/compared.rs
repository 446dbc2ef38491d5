//! What the verdicts on the network rest on: how much was compared and read, and when.

use askama::Template;

use crate::web::pages::format::{Timestamp, percent};

use super::NetworkView;

#[derive(Template)]
#[template(path = "pages/compared.html")]
pub(super) struct ComparedSection {
    rows: Vec<ComparedRow>,
}

struct ComparedRow {
    what: &'static str,
    /// How many were compared or read, of how many.
    how_many: String,
    /// Their share of the registered stake.
    stake: Option<String>,
    last: Option<Timestamp>,
    /// What follows from it.
    tells: &'static str,
}

impl ComparedSection {
    pub(super) fn new(view: &NetworkView<'_>) -> Self {
        let verdict = &view.network.verdict;
        let (compared, consensus) = (verdict.compared, &verdict.consensus);
        let reads = consensus.walks.values().filter_map(|walk| walk.read);
        let last_read = reads.max().map(|(_, wall)| view.times.at(wall));
        let histories = consensus.histories.as_ref();
        let grouped = histories.map_or(0, |histories| {
            histories.groups.iter().map(|it| it.peers.len()).sum()
        });
        let apart = histories.map_or(0, |histories| histories.not_compared.len());
        let registered = match verdict.registered {
            Some(registered) => format!(
                "{} of {registered} registered peers",
                verdict.registered_peers.len()
            ),
            None => "not known".to_owned(),
        };
        let of_stake = |share: Option<f64>| share.map(percent);
        Self {
            rows: vec![
                ComparedRow {
                    what: "States after the same block",
                    how_many: format!(
                        "{} of {} answering peers",
                        compared.peers, compared.answering
                    ),
                    stake: of_stake(compared.stake),
                    last: compared
                        .last
                        .map(|at| view.times.at(view.snapshot.time_of(at))),
                    tells: "states, splits",
                },
                ComparedRow {
                    what: "Blocks of signed orders",
                    how_many: format!("{grouped} of {} orders", grouped + apart),
                    stake: of_stake(histories.and_then(|histories| histories.compared_stake)),
                    last: last_read.filter(|_| histories.is_some()),
                    tells: "histories, forks",
                },
                ComparedRow {
                    what: "Beliefs read",
                    how_many: format!(
                        "{} of {} watched peers",
                        consensus.hearing.len(),
                        consensus.walks.len()
                    ),
                    stake: None,
                    last: last_read,
                    tells: "who hears whom, votes, last blocks",
                },
                ComparedRow {
                    what: "Registry on chain",
                    how_many: registered,
                    stake: None,
                    last: verdict.registry_read.map(|at| view.times.at(at)),
                    tells: "stake, weight, quorum",
                },
            ],
        }
    }
}
