//! The version of the protocol, and the upgrades that are scheduled: when each takes effect, and
//! who can execute it.

use askama::Template;
use convex_client::chain::economics::CONSENSUS_THRESHOLD;

use crate::config::Role;
use crate::fleet::{PendingUpgrade, ProtocolVerdict, Readiness};
use crate::web::pages::format::{Markup, Timestamp, percent, push_fmt};
use crate::web::pages::peer_link::PeerLink;

use super::NetworkView;

/// Maximum number of own peers that are named.
const MAX_UNABLE: usize = 24;

#[derive(Template)]
#[template(path = "pages/upgrades.html")]
pub(super) struct UpgradesSection<'a> {
    prefix: &'a str,
    /// None while no state is trusted.
    protocol: Option<ProtocolView>,
}

struct ProtocolView {
    version: i64,
    failed: bool,
    upgrades: Vec<UpgradeRow>,
    /// Own peers that cannot execute the next upgrade.
    unable: Vec<PeerLink>,
    more_unable: usize,
    /// Peers that have withdrawn their stake.
    withdrawn: Vec<PeerLink>,
    more_withdrawn: usize,
}

struct UpgradeRow {
    version: i64,
    takes_effect: Timestamp,
    utc: String,
    /// Whether its time has come, so that the next block applies it.
    is_due: bool,
    /// Shares of the weight: ready, unable, unknown.
    weights: Option<[String; 3]>,
    is_at_risk: bool,
    bar: Option<Markup>,
}

impl<'a> UpgradesSection<'a> {
    pub(super) fn new(view: &NetworkView<'a>) -> Self {
        let protocol = view.network.verdict.protocol.as_ref();
        Self {
            prefix: view.prefix,
            protocol: protocol.map(|protocol| ProtocolView::new(protocol, view)),
        }
    }
}

impl ProtocolView {
    fn new(protocol: &ProtocolVerdict, view: &NetworkView<'_>) -> Self {
        let next = protocol.pending.first().map(|upgrade| upgrade.version);
        let needed = next.unwrap_or(protocol.version);
        let own = view.snapshot.peers.iter().filter(|record| {
            record.peer.network == view.network.name && record.peer.role == Role::Own
        });
        let unable = own.filter(|record| {
            let supported = record.supported_protocol(view.snapshot.now);
            supported.is_some_and(|supported| supported < needed)
        });
        let mut unable: Vec<_> = unable
            .map(|record| PeerLink::named(&record.peer.name, view.snapshot))
            .collect();
        let more_unable = unable.len().saturating_sub(MAX_UNABLE);
        unable.truncate(MAX_UNABLE);
        let withdrawn = protocol.withdrawn.iter().take(MAX_UNABLE);
        Self {
            version: protocol.version,
            failed: protocol.failed,
            upgrades: protocol
                .pending
                .iter()
                .map(|upgrade| UpgradeRow::new(upgrade, view))
                .collect(),
            unable,
            more_unable,
            withdrawn: withdrawn
                .map(|key| PeerLink::new(key, &view.names))
                .collect(),
            more_withdrawn: protocol.withdrawn.len().saturating_sub(MAX_UNABLE),
        }
    }
}

impl UpgradeRow {
    fn new(upgrade: &PendingUpgrade, view: &NetworkView<'_>) -> Self {
        let takes_effect = view.times.at(upgrade.takes_effect());
        Self {
            version: upgrade.version,
            takes_effect,
            utc: takes_effect.utc(),
            is_due: upgrade.due_in(view.snapshot.wall).is_none(),
            weights: upgrade.readiness.map(|weights| weights.map(percent)),
            is_at_risk: upgrade.is_at_risk(),
            bar: upgrade.readiness.map(draw_readiness),
        }
    }
}

/// Draws who is ready, unable and unknown, with a line at the weight that must be ready.
fn draw_readiness([ready, unable, unknown]: [f64; Readiness::ALL.len()]) -> Markup {
    let threshold = CONSENSUS_THRESHOLD * 100.0;
    let mut svg = r#"<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="back" width="100" height="10"/>"#.to_owned();
    let mut x = 0.0;
    for (class, share) in [("enough", ready), ("unable", unable), ("", unknown)] {
        let width = (share * 100.0).clamp(0.0, 100.0 - x);
        if !class.is_empty() {
            push_fmt(
                &mut svg,
                format_args!(
                    r#"<rect class="{class}" x="{x:.2}" width="{width:.2}" height="10"/>"#
                ),
            );
        }
        x += width;
    }
    push_fmt(
        &mut svg,
        format_args!(r#"<path class="threshold" d="M{threshold} 0V10"/></svg>"#),
    );
    Markup(svg)
}

const _: () = assert!(Readiness::ALL.len() == 3, "the template has three columns");
