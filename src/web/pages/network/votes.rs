//! The votes of the registered peers: which blocks each sees at each level, and how much stake is
//! behind the next block.

use askama::Template;
use convex_client::ORDER_LEVELS;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;

use crate::fleet::Vote;
use crate::web::pages::facts::time_of_ms;
use crate::web::pages::format::{Markup, Timestamp, number, percent};
use crate::web::pages::labels;
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of votes shown.
const MAX_VOTES: usize = 100;

#[derive(Template)]
#[template(path = "pages/votes.html")]
pub(super) struct VotesSection<'a> {
    prefix: &'a str,
    /// The block that the levels are about, and whether it is after the head.
    deciding: Option<(String, bool)>,
    levels: Vec<Level>,
    level_names: [&'static str; ORDER_LEVELS.len()],
    votes: Vec<VoteRow>,
    /// Number of votes that are not shown.
    more: usize,
    /// Number of registered peers whose orders are not read.
    unread: u64,
    walked: usize,
}

/// The stake that has the deciding block at one level.
struct Level {
    name: &'static str,
    share: String,
    is_enough: bool,
    bar: Markup,
}

struct VoteRow {
    peer: PeerLink,
    stake: Option<String>,
    /// Number of blocks at each level, and whether the deciding block is among them.
    points: Vec<(String, bool)>,
    signed: Option<Timestamp>,
    held_by: usize,
    /// Number of walked peers that hold an older order instead.
    older: usize,
}

impl<'a> VotesSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let verdict = &view.network.verdict;
        let consensus = &verdict.consensus;
        let is_next = |block| verdict.head.is_some_and(|head| block > head);
        let levels = consensus.levels.into_iter().flatten();
        let votes = consensus.votes.iter().take(MAX_VOTES);
        Self {
            prefix: view.prefix,
            deciding: consensus
                .deciding
                .map(|block| (number(block), is_next(block))),
            levels: labels::ORDER_LEVELS
                .into_iter()
                .zip(levels)
                .map(|(name, share)| Level::new(name, share))
                .collect(),
            level_names: labels::ORDER_LEVELS,
            votes: votes
                .map(|vote| VoteRow::new(vote, consensus.deciding, view))
                .collect(),
            more: consensus.votes.len().saturating_sub(MAX_VOTES),
            unread: consensus.unread,
            walked: consensus.hearing.len(),
        }
    }
}

impl Level {
    fn new(name: &'static str, share: f64) -> Self {
        let threshold = CONSENSUS_THRESHOLD * 100.0;
        let width = (share * 100.0).clamp(0.0, 100.0);
        let is_enough = share > CONSENSUS_THRESHOLD;
        let class = if is_enough { "enough" } else { "lacking" };
        Self {
            name,
            share: percent(share),
            is_enough,
            bar: Markup(format!(
                r#"<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="back" width="100" height="10"/><rect class="{class}" width="{width:.2}" height="10"/><path class="threshold" d="M{threshold} 0V10"/></svg>"#
            )),
        }
    }
}

impl VoteRow {
    fn new(vote: &Vote, deciding: Option<i64>, view: &NetworkView<'_>) -> Self {
        let (held_by, heard_by) = vote.held_by;
        let points = vote.points.by_level().into_iter();
        // The order of a peer that has never signed one has the time 0.
        let signed = (vote.signed_ms > 0).then(|| time_of_ms(vote.signed_ms));
        Self {
            peer: PeerLink::new(&vote.key, &view.names),
            stake: vote.stake.map(percent),
            points: points
                .map(|blocks| (number(blocks), deciding.is_some_and(|block| block < blocks)))
                .collect(),
            signed: signed.flatten().map(|at| view.times.at(at)),
            held_by,
            older: heard_by.saturating_sub(held_by),
        }
    }
}
