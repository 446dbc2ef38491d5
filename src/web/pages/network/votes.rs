//! The votes of the registered peers: which blocks each sees at each level, and how much stake is
//! behind the next block.

use askama::Template;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;

use crate::fleet::Vote;
use crate::web::pages::format::{Markup, number, percent, push_fmt};
use crate::web::pages::labels;

use super::NetworkView;

/// Peers with less stake than this have no line in a bar.
const LEAST_DRAWN_SHARE: f64 = 0.005;

#[derive(Template)]
#[template(path = "pages/votes.html")]
pub(super) struct VotesSection {
    /// The block that the levels are about, and whether it is after the head.
    deciding: Option<(String, bool)>,
    levels: Vec<Level>,
    /// Number of registered peers of which a signed order was read.
    votes: usize,
}

/// The stake that has the deciding block at one level.
struct Level {
    name: &'static str,
    share: String,
    /// Number of peers that have it.
    voters: usize,
    is_enough: bool,
    bar: Markup,
}

impl VotesSection {
    pub(super) fn new(view: &NetworkView<'_>) -> Self {
        let verdict = &view.network.verdict;
        let consensus = &verdict.consensus;
        let is_next = |block| verdict.head.is_some_and(|head| block > head);
        let levels = consensus.levels.into_iter().flatten().enumerate();
        let level = |(level, share)| {
            let has_block = |vote: &&Vote| {
                let blocks = vote.points.by_level()[level];
                consensus.deciding.is_some_and(|block| block < blocks)
            };
            let voters: Vec<&Vote> = consensus.votes.iter().filter(has_block).collect();
            Level::new(labels::ORDER_LEVELS[level], share, &voters)
        };
        Self {
            deciding: consensus
                .deciding
                .map(|block| (number(block), is_next(block))),
            levels: levels.map(level).collect(),
            votes: consensus.votes.len(),
        }
    }
}

impl Level {
    /// A level that `voters` have reached, the heaviest first, with this share of the stake.
    fn new(name: &'static str, share: f64, voters: &[&Vote]) -> Self {
        let threshold = CONSENSUS_THRESHOLD * 100.0;
        let width = (share * 100.0).clamp(0.0, 100.0);
        let is_enough = share > CONSENSUS_THRESHOLD;
        let class = if is_enough { "enough" } else { "lacking" };
        let mut lines = String::new();
        let mut reached = 0.0;
        for stake in voters.iter().filter_map(|vote| vote.stake) {
            reached += stake * 100.0;
            // Peers of another history have the block's number as well, but do not count.
            if stake >= LEAST_DRAWN_SHARE && reached < width {
                push_fmt(&mut lines, format_args!("M{reached:.2} 0V10"));
            }
        }
        Self {
            name,
            share: percent(share),
            voters: voters.len(),
            is_enough,
            bar: Markup(format!(
                r#"<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="back" width="100" height="10"/><rect class="{class}" width="{width:.2}" height="10"/><path class="parts" d="{lines}"/><path class="threshold" d="M{threshold} 0V10"/></svg>"#
            )),
        }
    }
}
