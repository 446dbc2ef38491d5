//! The page of one network: its verdict, its upgrades, its registered peers, its states and
//! histories now and over time, how peers vote, who hears whom, what its canary found, who makes
//! the blocks, and the latest comparisons and readings.

mod agreement;
mod canary;
mod compared;
mod hearing;
mod histories;
mod matrix;
mod production;
mod registered;
mod upgrades;
mod votes;
mod walks;

use askama::Template;

use crate::fleet::{Evidence, Health, NetworkSnapshot, Snapshot};
use crate::history::AgreementSpan;
use crate::web::peer_names::PeerNames;
use crate::web::registered::RegisteredPeer;

use super::format::TimeFormat;
use super::icon::icon_url;
use super::network_card::NetworkCard;
use super::vantages::VantagesSection;
use super::{Content, Section, Shell};
use agreement::AgreementSection;
use canary::CanarySection;
use compared::ComparedSection;
use hearing::HearingSection;
use histories::HistoriesSection;
use production::ProductionSection;
use registered::RegisteredSection;
use upgrades::UpgradesSection;
use votes::VotesSection;
use walks::WalksSection;

#[derive(Template)]
#[template(path = "pages/network.html")]
pub(super) struct NetworkPage<'a> {
    pub(super) shell: Shell<'a>,
    pub(super) content: Content,
    pub(super) name: &'a str,
    pub(super) live: String,
}

#[derive(Template)]
#[template(path = "pages/network_verdict.html")]
struct VerdictSection<'a> {
    prefix: &'a str,
    it: NetworkCard<'a>,
}

/// What the sections of the page are drawn from.
struct NetworkView<'a> {
    prefix: &'a str,
    network: &'a NetworkSnapshot,
    snapshot: &'a Snapshot,
    names: PeerNames<'a>,
    /// How many states and histories it had, oldest first.
    agreement: &'a [AgreementSpan],
    times: TimeFormat,
}

/// Draws the parts of the page that are updated live.
pub(super) fn content(
    prefix: &str,
    network: &NetworkSnapshot,
    snapshot: &Snapshot,
    agreement: &[AgreementSpan],
    times: TimeFormat,
) -> askama::Result<Content> {
    let view = NetworkView {
        prefix,
        network,
        snapshot,
        names: PeerNames::of(&network.name, snapshot),
        agreement,
        times,
    };
    let peers = RegisteredPeer::all(network, snapshot, &view.names);
    let verdict = VerdictSection {
        prefix,
        it: NetworkCard::new(network, snapshot, times),
    };
    let health = match verdict.it.class {
        "up" => Health::Up,
        "degraded" => Health::Degraded,
        "down" => Health::Down,
        _ => Health::Unknown,
    };
    Ok(Content {
        title: format!("{}: {} · Convex peers", network.name, verdict.it.state()),
        icon: icon_url(prefix, health, None),
        sections: vec![
            Section::new("verdict", verdict.render()?),
            Section::new(
                "vantages",
                VantagesSection::on_network(network, snapshot, times).render()?,
            ),
            Section::new("upgrades", UpgradesSection::new(&view).render()?),
            Section::new(
                "registered",
                RegisteredSection::new(&peers, &view).render()?,
            ),
            Section::new("agreement", AgreementSection::new(&view).render()?),
            Section::new("histories", HistoriesSection::new(&view).render()?),
            Section::new("votes", VotesSection::new(&view).render()?),
            Section::new("hearing", HearingSection::new(&view).render()?),
            Section::new("canary", CanarySection::new(&view).render()?),
            Section::new("production", ProductionSection::new(&view).render()?),
            Section::new("compared", ComparedSection::new(&view).render()?),
            Section::new("walks", WalksSection::new(&view).render()?),
        ],
        rows: registered::rows(&peers, &view)?,
    })
}

#[cfg(test)]
mod tests;
