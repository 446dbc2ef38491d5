//! The registered peers, watched or not, the one with the most stake first: stake, weight and
//! decay, and how far the order of each is.

use askama::Template;

use crate::fleet::PeerRecord;
use crate::web::pages::TableRow;
use crate::web::pages::facts::time_of_ms;
use crate::web::pages::format::{Timestamp, count, number, percent, short_cvm};
use crate::web::pages::labels;
use crate::web::pages::ladder::Ladder;
use crate::web::pages::peer_link::PeerLink;
use crate::web::registered::RegisteredPeer;

use super::NetworkView;

/// Maximum number of peers shown: about as many as orders are read of.
const MAX_PEERS: usize = 256;

/// What stands below the table.
#[derive(Template)]
#[template(path = "pages/registered.html")]
pub(super) struct RegisteredSection {
    shown: usize,
    watched: usize,
    /// Number of registered peers that are not shown.
    more: usize,
    /// When the registry was read.
    read: Option<Timestamp>,
    /// Number of registered peers whose orders are not read.
    unread: u64,
}

#[derive(Template)]
#[template(path = "pages/registered_row.html")]
struct RegisteredRow<'a> {
    prefix: &'a str,
    peer: PeerLink,
    key: String,
    /// Health of a watched peer.
    health: Option<&'static str>,
    /// Stake in CVM, and its share.
    stake: Option<(String, Option<String>)>,
    weight: Option<WeightCell>,
    ladder: Option<Ladder>,
    /// Whether the ladder is that of a signed order, not of a poll.
    is_signed: bool,
    behind: Option<(String, bool)>,
    state: Option<StateCell>,
    signed: Option<Timestamp>,
    held: Option<HeldCell>,
}

/// The part of the network's weight that a peer has.
struct WeightCell {
    share: Option<String>,
    /// How much of its stake counts, if not all.
    decayed_to: Option<String>,
    last_block: Option<Timestamp>,
    /// Whether others accept its orders.
    has_vote: bool,
}

/// How the states of a watched peer compare with those of others.
struct StateCell {
    text: &'static str,
    class: &'static str,
    compared: Option<Timestamp>,
}

/// How many of the peers whose beliefs were read hold its newest order.
struct HeldCell {
    by: usize,
    of: usize,
    /// Number of those that hold an older order instead.
    older: usize,
}

impl RegisteredSection {
    pub(super) fn new(peers: &[RegisteredPeer<'_>], view: &NetworkView<'_>) -> Self {
        let verdict = &view.network.verdict;
        let shown = peers.len().min(MAX_PEERS);
        let registered = verdict.registered.unwrap_or_default();
        let registered = usize::try_from(registered).unwrap_or_default();
        Self {
            shown,
            watched: peers.iter().filter(|peer| peer.record.is_some()).count(),
            more: registered.max(peers.len()) - shown,
            read: verdict.registry_read.map(|at| view.times.at(at)),
            unread: verdict.consensus.unread,
        }
    }

    fn more_text(&self) -> String {
        count(self.more as u64)
    }
}

/// Draws the rows of the table.
pub(super) fn rows(
    peers: &[RegisteredPeer<'_>],
    view: &NetworkView<'_>,
) -> askama::Result<Vec<TableRow>> {
    let shown = peers.iter().take(MAX_PEERS);
    shown
        .map(|peer| {
            let row = RegisteredRow::new(peer, view);
            Ok(TableRow {
                html: row.render()?,
                key: row.key,
            })
        })
        .collect()
}

impl<'a> RegisteredRow<'a> {
    fn new(peer: &RegisteredPeer<'_>, view: &NetworkView<'a>) -> Self {
        let now = view.snapshot.now;
        let walked = view.network.verdict.consensus.hearing.len();
        let polled = peer.record.and_then(|record| record.order(now));
        let lag = peer.record.and_then(|record| record.lag(now));
        // The order of a peer that has never signed one has the time 0.
        let signed = peer.vote.filter(|vote| vote.signed_ms > 0);
        Self {
            prefix: view.prefix,
            peer: PeerLink::new(&peer.key, &view.names),
            key: peer.key.to_string(),
            health: peer.record.map(|record| record.health.as_str()),
            stake: peer.entry.map(|entry| {
                let stake = short_cvm(entry.stake.registered.stake_copper());
                (stake, entry.share.map(percent))
            }),
            weight: WeightCell::of(peer, view),
            ladder: peer.order.map(|order| Ladder::new(order, peer.executed)),
            is_signed: polled.is_none(),
            behind: lag.map(|lag| (number(lag.blocks), lag.blocks > 0)),
            state: peer.record.map(|record| StateCell::of(record, view)),
            signed: signed
                .and_then(|vote| time_of_ms(vote.signed_ms))
                .map(|at| view.times.at(at)),
            held: peer.vote.map(|vote| HeldCell {
                by: vote.held_by.0,
                of: walked,
                older: vote.held_by.1.saturating_sub(vote.held_by.0),
            }),
        }
    }
}

impl WeightCell {
    fn of(peer: &RegisteredPeer<'_>, view: &NetworkView<'_>) -> Option<Self> {
        let stake = &peer.entry?.stake;
        let last_block = stake.registered.last_block_ms.and_then(time_of_ms);
        Some(Self {
            share: stake.weight.map(percent),
            decayed_to: (stake.decay < 1.0).then(|| percent(stake.decay)),
            last_block: last_block.map(|at| view.times.at(at)),
            has_vote: stake.registered.has_effective_stake(),
        })
    }
}

impl StateCell {
    fn of(record: &PeerRecord, view: &NetworkView<'_>) -> Self {
        let (text, class) = labels::comparison(record.comparison);
        Self {
            text,
            class,
            compared: record
                .compared
                .map(|at| view.times.at(view.snapshot.time_of(at))),
        }
    }
}
