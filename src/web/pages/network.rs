//! One network with its verdict, as a card of the fleet page.

use crate::fleet::{Health, NetworkSnapshot, OrderState, Snapshot, StakeClass};
use crate::web::pages::format::{Clock, When, cvm_in_short, number, percent};
use crate::web::pages::labels;

use super::view::{View, Which};

/// What is said of a network; what is not known is absent.
pub(super) struct NetworkCard<'a> {
    pub(super) name: &'a str,
    /// `up`, `degraded`, `down` or `unknown`, as peers are coloured.
    pub(super) class: &'static str,
    pub(super) order: &'static str,
    pub(super) head: Option<String>,
    pub(super) finality: Option<When>,
    pub(super) groups: usize,
    pub(super) split: bool,
    pub(super) registered: Option<String>,
    pub(super) quorum: Option<QuorumFigures>,
    pub(super) stake: Option<String>,
    pub(super) accounts: Option<String>,
    pub(super) counts: Vec<HealthCount>,
}

pub(super) struct QuorumFigures {
    pub(super) margin: String,
    pub(super) lacking: bool,
    pub(super) losable: usize,
    /// Parts of the stake by standing, those that are not zero.
    pub(super) parts: Vec<(&'static str, String)>,
}

/// How many peers have one health, and the address that shows them.
pub(super) struct HealthCount {
    pub(super) health: &'static str,
    pub(super) count: usize,
    pub(super) query: String,
}

/// Peers by health, the worst first; those without a peer are left out.
pub(super) fn counts(snapshot: &Snapshot, network: &str) -> Vec<HealthCount> {
    let of_network = |it: &&std::sync::Arc<crate::fleet::PeerRecord>| {
        network.is_empty() || it.peer.network == network
    };
    [Health::Down, Health::Degraded, Health::Unknown, Health::Up]
        .into_iter()
        .map(|health| HealthCount {
            health: health.as_str(),
            count: snapshot
                .peers
                .iter()
                .filter(of_network)
                .filter(|it| it.health == health)
                .count(),
            query: View {
                which: Which::Only(health),
                network: network.to_owned(),
                ..View::default()
            }
            .query(),
        })
        .filter(|counted| counted.count > 0)
        .collect()
}

impl<'a> NetworkCard<'a> {
    pub(super) fn new(network: &'a NetworkSnapshot, snapshot: &Snapshot, clock: Clock) -> Self {
        let verdict = &network.verdict;
        let quorum = verdict.quorum.as_ref().map(|quorum| QuorumFigures {
            margin: percent(quorum.margin),
            lacking: quorum.margin < 0.0,
            losable: quorum.losable,
            parts: StakeClass::ALL
                .iter()
                .zip(quorum.ratios)
                .filter(|(_, ratio)| *ratio > 0.0)
                .map(|(standing, ratio)| (standing.as_str(), percent(ratio)))
                .collect(),
        });
        let lacking = quorum.as_ref().is_some_and(|quorum| quorum.lacking);
        let counts = counts(snapshot, &network.name);
        let any = |health: Health| counts.iter().any(|it| it.health == health.as_str());
        let class = match verdict.order {
            OrderState::Stalled | OrderState::Receding => "down",
            _ if verdict.split || lacking => "down",
            OrderState::Unknown => "unknown",
            _ if verdict.groups > 1 || any(Health::Down) || any(Health::Degraded) => "degraded",
            OrderState::Advancing | OrderState::Idle => "up",
        };
        Self {
            name: &network.name,
            class,
            order: labels::of_order(verdict.order),
            head: verdict.head.map(number),
            finality: verdict.finality_advanced.map(|at| clock.when(at)),
            groups: verdict.groups,
            split: verdict.split,
            registered: verdict.registered.map(number),
            quorum,
            stake: verdict.stake_copper.map(cvm_in_short),
            accounts: network
                .figures
                .as_ref()
                .and_then(|it| it.accounts)
                .map(number),
            counts,
        }
    }
}
