//! One network on the fleet page: what its order does, how fast, who can still be lost, and on how
//! much that rests.

use convex_client::chain::economics::CONSENSUS_THRESHOLD;

use crate::fleet::{NetworkSnapshot, Production, Quorum, Snapshot, StakeClass};

use super::format::{Markup, TimeFormat, Timestamp, percent, push_fmt};
use super::headline::losable;
use super::network_card::{NetworkCard, describe_seconds, shares};

/// Width of the bar of stake, in which a hundredth is four wide.
const BAR_WIDTH: f64 = 400.0;

/// Blocks are counted over this time, in seconds.
const RATE_SECONDS: f64 = 300.0;

/// A strip; unknown values are `None`.
pub(super) struct NetworkStrip<'a> {
    /// What the network does, what has gone wrong, and how much was compared.
    pub(super) card: NetworkCard<'a>,
    /// Final blocks a minute.
    pub(super) blocks_a_minute: Option<String>,
    pub(super) time_to_final: Option<String>,
    pub(super) upgrade: Option<UpgradeSummary>,
    pub(super) stake: Option<StakeBar>,
    /// What follows from the opinions of several agents.
    pub(super) conclusion: Option<&'static str>,
}

/// The next upgrade of the protocol.
pub(super) struct UpgradeSummary {
    pub(super) version: i64,
    pub(super) takes_effect: Timestamp,
    pub(super) is_due: bool,
    /// Whether it has failed.
    pub(super) failed: bool,
    /// Whether too little weight is ready for it.
    pub(super) is_at_risk: bool,
}

/// The weight of a network by standing.
pub(super) struct StakeBar {
    pub(super) bar: Markup,
    pub(super) losable: String,
    /// CSS class of what can be lost.
    pub(super) class: &'static str,
}

impl<'a> NetworkStrip<'a> {
    pub(super) fn new(
        network: &'a NetworkSnapshot,
        snapshot: &Snapshot,
        times: TimeFormat,
    ) -> Self {
        let verdict = &network.verdict;
        let production = verdict.consensus.production.as_ref();
        Self {
            card: NetworkCard::new(network, snapshot, times),
            blocks_a_minute: production
                .and_then(|production| blocks_a_minute(production, times))
                .map(|rate| format!("{rate:.1}")),
            time_to_final: production
                .and_then(|production| production.finality_seconds)
                .map(describe_seconds),
            upgrade: verdict.protocol.as_ref().and_then(|protocol| {
                let next = protocol.pending.first()?;
                Some(UpgradeSummary {
                    version: next.version,
                    takes_effect: times.at(next.takes_effect()),
                    is_due: next.due_in(snapshot.wall).is_none(),
                    failed: protocol.failed,
                    is_at_risk: next.is_at_risk(),
                })
            }),
            conclusion: snapshot.conclusion_on_network(network).meaning(),
            stake: verdict.quorum.as_ref().map(|quorum| {
                let (losable, class) = losable(network).unwrap_or_default();
                StakeBar {
                    bar: draw_bar(quorum),
                    losable,
                    class,
                }
            }),
        }
    }
}

/// Returns how many final blocks a minute were made recently, by their dates.
#[expect(
    clippy::cast_precision_loss,
    reason = "at most 100 blocks, and times of this century in milliseconds"
)]
fn blocks_a_minute(production: &Production, times: TimeFormat) -> Option<f64> {
    let now_ms = convex_client::seconds_since_epoch(times.now) * 1000.0;
    let since = |timestamp_ms: i64| (now_ms - timestamp_ms as f64) / 1000.0;
    let finals = || production.last.iter().filter(|block| block.is_final);
    let oldest = since(finals().next()?.timestamp_ms);
    let recent = finals().filter(|block| since(block.timestamp_ms) <= RATE_SECONDS);
    let count = recent.count() as f64;
    // Where the last blocks do not reach back that far, they cover less time.
    let seconds = oldest.clamp(1.0, RATE_SECONDS);
    Some(count / seconds * 60.0)
}

/// Draws the weight by standing, with a line at the share that confirms a block.
fn draw_bar(quorum: &Quorum) -> Markup {
    let names: Vec<String> = shares(quorum)
        .into_iter()
        .map(|(class, share)| format!("{share} {class}"))
        .collect();
    let mut svg = format!(
        r#"<svg class="stake" role="img" viewBox="0 0 {BAR_WIDTH} 14" preserveAspectRatio="none" aria-label="weight: {}; a block needs more than 67 %">"#,
        names.join(", ")
    );
    let mut x = 0.0;
    for (class, ratio) in StakeClass::ALL.iter().zip(quorum.ratios) {
        let width = ratio * BAR_WIDTH;
        if width > 0.0 {
            push_fmt(
                &mut svg,
                format_args!(
                    r#"<rect class="{0}" x="{x:.1}" y="2" width="{width:.1}" height="10"><title>{1} {0}</title></rect>"#,
                    class.as_str(),
                    percent(ratio),
                ),
            );
        }
        x += width;
    }
    let line = CONSENSUS_THRESHOLD * BAR_WIDTH;
    push_fmt(
        &mut svg,
        format_args!(
            r#"<path class="threshold" d="M{line:.1} 0V14"><title>a block needs more than 67 %</title></path></svg>"#
        ),
    );
    Markup(svg)
}
