//! One history of blocks or several, and the first block at which they differ.

use askama::Template;

use crate::fleet::{Fork, ForkedBlock, Histories, History};
use crate::web::pages::facts::time_of_ms;
use crate::web::pages::format::{Timestamp, count, percent};
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of peers that are named in a list.
const MAX_PEERS: usize = 24;

#[derive(Template)]
#[template(path = "pages/histories.html")]
pub(super) struct HistoriesSection<'a> {
    prefix: &'a str,
    /// None if no two orders were compared recently.
    histories: Option<HistoriesView>,
}

struct HistoriesView {
    groups: Vec<HistoryRow>,
    has_majority: bool,
    /// The first block at which each history differs from the first one.
    forks: Vec<ForkRow>,
    compared_stake: Option<String>,
    not_compared: PeerList,
}

struct HistoryRow {
    name: char,
    peers: PeerList,
    stake: Option<String>,
    is_majority: bool,
    leaves_at: Option<String>,
}

/// The first peers of a list, and the number of the others.
struct PeerList {
    all: usize,
    shown: Vec<PeerLink>,
    more: usize,
}

struct ForkRow {
    block: String,
    /// The history with the block, and the block.
    sides: Vec<(char, BlockDetails)>,
}

struct BlockDetails {
    hash: String,
    maker: Option<PeerLink>,
    at: Option<Timestamp>,
}

impl<'a> HistoriesSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let histories = view.network.verdict.consensus.histories.as_ref();
        Self {
            prefix: view.prefix,
            histories: histories.map(|histories| HistoriesView::new(histories, view)),
        }
    }
}

impl HistoriesView {
    fn new(histories: &Histories, view: &NetworkView<'_>) -> Self {
        let named = || ('A'..='Z').zip(&histories.groups);
        Self {
            groups: named()
                .map(|(name, history)| HistoryRow::new(name, history, view))
                .collect(),
            has_majority: histories.groups.iter().any(|history| history.is_majority),
            forks: named()
                .filter_map(|(name, history)| Some((name, history.fork.as_ref()?)))
                .map(|(name, fork)| ForkRow::new(name, fork, view))
                .collect(),
            compared_stake: histories.compared_stake.map(percent),
            not_compared: PeerList::new(&histories.not_compared, view),
        }
    }

    fn compared_peers(&self) -> usize {
        self.groups.iter().map(|history| history.peers.all).sum()
    }
}

impl HistoryRow {
    fn new(name: char, history: &History, view: &NetworkView<'_>) -> Self {
        Self {
            name,
            peers: PeerList::new(&history.peers, view),
            stake: history.stake.map(percent),
            is_majority: history.is_majority,
            leaves_at: history.fork.as_ref().map(|fork| count(fork.block)),
        }
    }
}

impl PeerList {
    fn new(keys: &[cad3::Hash], view: &NetworkView<'_>) -> Self {
        let shown = keys.iter().take(MAX_PEERS);
        Self {
            all: keys.len(),
            shown: shown.map(|key| PeerLink::new(key, &view.names)).collect(),
            more: keys.len().saturating_sub(MAX_PEERS),
        }
    }
}

impl ForkRow {
    fn new(name: char, fork: &Fork, view: &NetworkView<'_>) -> Self {
        let [heavier, other] = &fork.blocks;
        Self {
            block: count(fork.block),
            sides: vec![
                ('A', BlockDetails::new(heavier, view)),
                (name, BlockDetails::new(other, view)),
            ],
        }
    }
}

impl BlockDetails {
    fn new(block: &ForkedBlock, view: &NetworkView<'_>) -> Self {
        let at = block.made.and_then(|(_, ms)| time_of_ms(ms));
        Self {
            hash: block.hash.to_string(),
            maker: block.made.map(|(key, _)| PeerLink::new(&key, &view.names)),
            at: at.map(|at| view.times.at(at)),
        }
    }
}
