//! One sentence about everything that is watched: how many peers have trouble, what the networks
//! do, and how many peers they can still lose.

use crate::fleet::{Evidence, Health, Losable, NetworkSnapshot, OrderState, Snapshot, StakeClass};

use super::labels;
use super::view::{FleetView, HealthFilter};

/// A part of the sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// CSS class: `down`, `degraded` or `unknown` for what needs attention, else empty.
    pub(super) class: &'static str,
    /// Path and query below the prefix that show more; empty if there is nothing more.
    pub(super) link: String,
}

impl Part {
    fn new(text: String, class: &'static str) -> Self {
        Self {
            text,
            class,
            link: String::new(),
        }
    }
}

/// Returns the parts of the sentence.
pub(super) fn parts(snapshot: &Snapshot) -> Vec<Part> {
    let mut parts = peers(snapshot);
    match snapshot.networks.as_slice() {
        [] => {}
        [only] => {
            let (text, class) = state(only);
            parts.push(Part::new(format!("network {text}"), class));
            parts.extend(margin(only, text).map(|(text, class)| Part::new(text, class)));
        }
        networks => parts.extend(several(networks)),
    }
    parts
}

/// Returns how many peers have which trouble, in the words of the headline, for the title of the
/// page: a tab in the background shows its beginning.
pub(super) fn title(snapshot: &Snapshot) -> String {
    let parts = peers(snapshot).into_iter();
    parts.map(|part| part.text).collect::<Vec<_>>().join(", ")
}

/// How many peers have which trouble.
fn peers(snapshot: &Snapshot) -> Vec<Part> {
    let all = snapshot.peers.len();
    let troubled = [Health::Down, Health::Degraded, Health::Unknown]
        .into_iter()
        .map(|health| (health, snapshot.count(health)))
        .filter(|(_, count)| *count > 0);
    let mut parts = Vec::new();
    for (health, count) in troubled {
        let text = if parts.is_empty() {
            format!("{count} of {all} peers {}", health.as_str())
        } else {
            format!("{count} {}", health.as_str())
        };
        let view = FleetView {
            health: HealthFilter::Only(health),
            ..FleetView::default()
        };
        parts.push(Part {
            text,
            class: health.as_str(),
            link: view.query(),
        });
    }
    if parts.is_empty() {
        let text = match all {
            0 => "No peer is configured".to_owned(),
            1 => "The peer is up".to_owned(),
            _ => format!("All {all} peers up"),
        };
        parts.push(Part::new(text, ""));
    }
    parts
}

/// What several networks do: those in trouble by name, the others by number.
fn several(networks: &[NetworkSnapshot]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut sound: Vec<(&'static str, usize)> = Vec::new();
    for network in networks {
        let (text, class) = state(network);
        if class.is_empty() {
            match sound.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => sound.push((text, 1)),
            }
        } else {
            parts.push(Part::new(format!("{} {text}", network.name), class));
        }
        if let Some((text, class @ "down")) = margin(network, text) {
            parts.push(Part::new(format!("{} {text}", network.name), class));
        }
    }
    parts.extend(sound.into_iter().map(|(text, count)| {
        let noun = if count == 1 { "network" } else { "networks" };
        Part::new(format!("{count} {noun} {text}"), "")
    }));
    parts
}

/// What a network does, in the words of all pages, and the CSS class of trouble.
pub(super) fn state(network: &NetworkSnapshot) -> (&'static str, &'static str) {
    let verdict = &network.verdict;
    let histories = verdict.consensus.histories.as_ref();
    let is_forked = histories.is_some_and(|histories| histories.groups.len() > 1);
    let quorum = verdict.quorum.as_ref();
    let order = labels::order_state(verdict.order);
    match verdict.order {
        _ if verdict.reset.is_some() => ("reset", "down"),
        _ if verdict.split == Evidence::Proven => ("split", "down"),
        OrderState::Stalled | OrderState::Receding => (order, "down"),
        _ if quorum.is_some_and(|quorum| quorum.margin < 0.0) => (QUORUM_LOST, "down"),
        OrderState::Unknown => ("state unknown", "unknown"),
        _ if is_forked => ("has several histories", "degraded"),
        _ if verdict.difference.is_some() => ("has different states", "degraded"),
        OrderState::Advancing | OrderState::Idle => (order, ""),
    }
}

/// The weight that can still be reached is too little to confirm a block.
const QUORUM_LOST: &str = "quorum lost";

/// How many peers a network can lose, unless its state says so already.
fn margin(network: &NetworkSnapshot, state: &str) -> Option<(String, &'static str)> {
    losable(network).filter(|(text, _)| text != state)
}

/// How many peers a network can lose, and the CSS class of trouble; none while that is not known.
pub(super) fn losable(network: &NetworkSnapshot) -> Option<(String, &'static str)> {
    let quorum = network.verdict.quorum.as_ref()?;
    // A network of few equal peers can never lose one: trouble is what is lost already.
    let lost = StakeClass::ALL
        .iter()
        .zip(quorum.ratios)
        .filter(|(class, _)| matches!(class, StakeClass::Minority | StakeClass::Down))
        .any(|(_, ratio)| ratio > 0.0);
    let class = if lost { "down" } else { "" };
    Some(match quorum.losable {
        _ if quorum.margin < 0.0 => (QUORUM_LOST.to_owned(), "down"),
        Losable { best: 0, .. } => ("can lose no peer".to_owned(), class),
        Losable { worst: 1, best: 1 } => ("can lose 1 peer".to_owned(), ""),
        Losable { worst, best } if worst == best => (format!("can lose {best} peers"), ""),
        Losable { worst, best } => (format!("can lose {worst} to {best} peers"), ""),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::fleet::{NetworkVerdict, Quorum};

    use super::*;

    fn network(order: OrderState, quorum: Option<(f64, f64, (usize, usize))>) -> NetworkSnapshot {
        let quorum = quorum.map(|(down, margin, (worst, best))| Quorum {
            ratios: [1.0 - down, 0.0, down, 0.0],
            margin,
            losable: Losable { worst, best },
        });
        NetworkSnapshot {
            name: "main".to_owned(),
            verdict: Arc::new(NetworkVerdict {
                order,
                quorum,
                ..NetworkVerdict::default()
            }),
            ..NetworkSnapshot::default()
        }
    }

    #[test]
    fn only_what_is_lost_already_makes_a_small_network_troubled() {
        for (quorum, expected) in [
            (None, None),
            (Some((0.0, 0.33, (0, 0))), Some(("can lose no peer", ""))),
            (
                Some((0.2, 0.13, (0, 0))),
                Some(("can lose no peer", "down")),
            ),
            (Some((0.4, -0.07, (0, 0))), Some(("quorum lost", "down"))),
            (Some((0.1, 0.23, (1, 1))), Some(("can lose 1 peer", ""))),
            (
                Some((0.1, 0.23, (1, 3))),
                Some(("can lose 1 to 3 peers", "")),
            ),
            (Some((0.0, 0.33, (4, 4))), Some(("can lose 4 peers", ""))),
        ] {
            let network = network(OrderState::Advancing, quorum);
            let found = losable(&network);
            let found = found.as_ref().map(|(text, class)| (text.as_str(), *class));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_state_of_a_network_is_one_text_and_healthy_ones_have_no_class() {
        let lost = Some((0.4, -0.07, (0, 0)));
        for (order, quorum, expected, class) in [
            (OrderState::Advancing, None, "finalising normally", ""),
            (OrderState::Idle, None, "idle", ""),
            (OrderState::Stalled, lost, "stalled", "down"),
            (OrderState::Receding, None, "finality went back", "down"),
            (OrderState::Advancing, lost, "quorum lost", "down"),
            (OrderState::Unknown, None, "state unknown", "unknown"),
        ] {
            let network = network(order, quorum);
            assert_eq!(state(&network), (expected, class));
        }
        let network = network(OrderState::Idle, lost);
        assert_eq!(margin(&network, state(&network).0), None, "it is said once");
    }

    #[test]
    fn sound_networks_are_counted_and_troubled_ones_named() {
        let networks = [
            network(OrderState::Advancing, None),
            network(OrderState::Stalled, None),
            network(OrderState::Advancing, None),
            network(OrderState::Idle, None),
        ];
        let parts = several(&networks);
        let texts: Vec<_> = parts
            .iter()
            .map(|part| (part.text.as_str(), part.class))
            .collect();
        assert_eq!(
            texts,
            [
                ("main stalled", "down"),
                ("2 networks finalising normally", ""),
                ("1 network idle", ""),
            ]
        );
    }
}
