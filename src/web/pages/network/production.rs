//! The last blocks: who made them, when, with how many transactions, and whether the next one
//! waits.

use std::time::Duration;

use askama::Template;

use crate::config::Role;
use crate::fleet::{LastBlock, Pending, Production, ThroughputSource};
use crate::web::pages::facts::time_of_ms;
use crate::web::pages::format::{Timestamp, count, percent, short_duration};
use crate::web::pages::network_card::{ahead, describe_seconds, stall_cause};
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of blocks shown; the API has 100.
const MAX_BLOCKS: usize = 25;

/// Maximum number of makers that are listed.
const MAX_MAKERS: usize = 24;

#[derive(Template)]
#[template(path = "pages/production.html")]
pub(super) struct ProductionSection<'a> {
    prefix: &'a str,
    /// None if no blocks were read recently.
    production: Option<ProductionView>,
    rate: Option<RateView>,
}

/// Transactions a second.
struct RateView {
    per_second: String,
    source: ThroughputSource,
}

struct ProductionView {
    pending: Option<PendingView>,
    makers: Vec<MakerRow>,
    more_makers: usize,
    /// Number of blocks that the makers are counted in.
    counted: usize,
    /// The last blocks, the newest first.
    blocks: Vec<BlockRow>,
    /// Transactions in each of the counted blocks, on average.
    transactions_per_block: Option<String>,
    transactions: String,
    finality: Option<String>,
    skipped: Option<String>,
}

struct PendingView {
    block: BlockRow,
    /// How old the block was when it was read.
    age: Option<String>,
    /// How far it is dated ahead of the clock.
    ahead: Option<String>,
    stalls_network: bool,
}

struct MakerRow {
    peer: PeerLink,
    made: usize,
    share: String,
}

struct BlockRow {
    index: String,
    maker: PeerLink,
    at: Option<Timestamp>,
    transactions: String,
    is_final: bool,
    /// Time from its date until its maker had it final.
    finality: Option<String>,
}

impl<'a> ProductionSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let production = view.network.verdict.consensus.production.as_ref();
        Self {
            prefix: view.prefix,
            production: production.map(|production| ProductionView::new(production, view)),
            rate: view.network.throughput.map(|throughput| RateView {
                per_second: format!("{:.2}", throughput.transactions_per_second),
                source: throughput.source,
            }),
        }
    }
}

impl ProductionView {
    fn new(production: &Production, view: &NetworkView<'_>) -> Self {
        let mut makers = makers(production, view);
        let more_makers = makers.len().saturating_sub(MAX_MAKERS);
        makers.truncate(MAX_MAKERS);
        let last = production.last.iter();
        let transactions: u64 = last.clone().map(|block| block.transactions).sum();
        let counted = production.last.len();
        Self {
            pending: production
                .pending
                .as_ref()
                .map(|pending| PendingView::new(pending, view)),
            makers,
            more_makers,
            counted,
            blocks: last
                .rev()
                .take(MAX_BLOCKS)
                .map(|block| BlockRow::new(block, view))
                .collect(),
            transactions_per_block: (counted > 0)
                .then(|| format!("{:.1}", ratio(transactions, counted as u64))),
            transactions: count(production.transactions),
            finality: production.finality_seconds.map(describe_seconds),
            skipped: (production.skipped > 0).then(|| count(production.skipped)),
        }
    }
}

/// Returns who made the last blocks, the most diligent first. Own peers that made none are listed.
fn makers(production: &Production, view: &NetworkView<'_>) -> Vec<MakerRow> {
    let mut made = production.last_made();
    let own =
        view.snapshot.peers.iter().filter(|record| {
            record.peer.network == view.network.name && record.peer.role == Role::Own
        });
    for key in own.filter_map(|record| record.own_key()) {
        made.entry(key).or_default();
    }
    let counted = production.last.len().max(1) as u64;
    let rows = made.into_iter().map(|(key, made)| MakerRow {
        peer: PeerLink::new(&key, &view.names),
        made,
        share: percent(ratio(made as u64, counted)),
    });
    let mut rows: Vec<MakerRow> = rows.collect();
    rows.sort_by_cached_key(|row| (usize::MAX - row.made, row.peer.text()));
    rows
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a quotient that is shown with few digits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

impl PendingView {
    fn new(pending: &Pending, view: &NetworkView<'_>) -> Self {
        let is_ahead = pending.age_seconds < 0.0;
        let age = Duration::try_from_secs_f64(pending.age_seconds);
        Self {
            block: BlockRow::new(&pending.block, view),
            age: age.ok().map(short_duration),
            ahead: is_ahead.then(|| ahead(pending.age_seconds)),
            stalls_network: stall_cause(&view.network.verdict).is_some(),
        }
    }
}

impl BlockRow {
    fn new(block: &LastBlock, view: &NetworkView<'_>) -> Self {
        Self {
            index: count(block.index),
            maker: PeerLink::new(&block.maker, &view.names),
            at: time_of_ms(block.timestamp_ms).map(|at| view.times.at(at)),
            transactions: count(block.transactions),
            is_final: block.is_final,
            finality: block.finality_seconds.map(describe_seconds),
        }
    }
}
