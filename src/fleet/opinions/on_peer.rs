//! Where the cause lies when agents do not see the same of a peer. Pure.
//!
//! Presence refutes absence, never the reverse, and nobody refutes a proof. Who has no evidence has
//! no vote.

use crate::config::Mode;
use crate::fleet::Health;
use crate::label_enum::label_enum;

/// From this number of agents on, most of them can outvote one that reaches a peer.
const MIN_AGENTS_FOR_MAJORITY: usize = 3;

/// What one agent says about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerView {
    /// Where the agent runs.
    pub(super) mode: Mode,
    /// Health according to the agent.
    pub(super) health: Health,
    /// Whether it has reached the peer within two intervals.
    pub(super) reaches: bool,
    /// Whether it is proven that what answers is not the peer.
    pub(super) is_impostor: bool,
}

label_enum! {
    /// Where the cause lies when agents do not reach a peer.
    pub enum Place {
        Peer = "peer", "At the peer: no agent reaches it.";
        Path = "path", "On the path from some agents to it: others reach it.";
        Partition = "partition", "Most agents do not reach it, some do.";
    }
}

/// What several agents say about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerConclusion {
    /// Where the cause lies.
    pub place: Place,
    /// Whether the peer answers an agent on its own host: its process is alive.
    pub process_alive: bool,
}

/// Returns where the cause lies when a peer is down for agents of this mode; none if it is down for
/// none of them, or if fewer than two agents have evidence.
pub(super) fn conclude_on_peer(mode: Mode, views: &[PeerView]) -> Option<PeerConclusion> {
    let with_evidence = views.iter().filter(|view| view.has_evidence());
    if with_evidence.count() < 2 {
        return None;
    }
    let of_mode = || views.iter().filter(|view| view.mode == mode);
    let down = of_mode().filter(|view| view.is_down()).count();
    let reaching = of_mode().filter(|view| view.reaches).count();
    if down == 0 {
        return None;
    }
    let is_impostor = of_mode().any(|view| view.is_impostor);
    let place = match reaching {
        _ if is_impostor => Place::Peer,
        0 => Place::Peer,
        _ if down + reaching >= MIN_AGENTS_FOR_MAJORITY && down > reaching => Place::Partition,
        _ => Place::Path,
    };
    let mut sidecars = views.iter().filter(|view| view.mode == Mode::Sidecar);
    Some(PeerConclusion {
        place,
        process_alive: mode == Mode::Central && sidecars.any(|view| view.reaches),
    })
}

impl PeerConclusion {
    /// Returns the conclusion in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match (self.place, self.process_alive) {
            (Place::Peer, true) => {
                "The process is alive, the path to it is broken: only a sidecar reaches the peer."
            }
            (Place::Peer, false) => "The cause is at the peer: no agent reaches it.",
            (Place::Path, _) => "The cause is the path: some agents reach the peer, others do not.",
            (Place::Partition, _) => {
                "A partition: the peer is unreachable from most agents, though not from all."
            }
        }
    }
}

impl PeerView {
    fn is_down(self) -> bool {
        self.health == Health::Down && !self.reaches
    }

    fn has_evidence(self) -> bool {
        self.reaches || self.is_down()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Views by one letter each: `d`own, `u`p, unknown (`?`), an `i`mpostor; of sidecars in
    /// capitals.
    fn views(letters: &str) -> Vec<PeerView> {
        let view = |letter: char| {
            let (health, reaches) = match letter.to_ascii_lowercase() {
                'd' | 'i' => (Health::Down, false),
                'u' => (Health::Up, true),
                _ => (Health::Unknown, false),
            };
            PeerView {
                mode: if letter.is_uppercase() {
                    Mode::Sidecar
                } else {
                    Mode::Central
                },
                health,
                reaches,
                is_impostor: letter == 'i',
            }
        };
        letters.chars().map(view).collect()
    }

    #[test]
    fn where_the_cause_of_an_outage_lies() {
        for (what, letters, expected) in [
            ("one of two reaches it", "du", "path"),
            ("nobody reaches it", "dd", "peer"),
            ("nobody misses it", "uu", "-"),
            ("the other has no evidence", "d?", "-"),
            ("one of three has no evidence", "du?", "path"),
            ("what answers is proven to be another peer", "iu", "peer"),
            (
                "a sidecar refutes no central agent",
                "dU",
                "peer, process alive",
            ),
            ("it changes no majority", "ddUUU", "peer, process alive"),
            ("nor does what a sidecar misses count", "uD", "-"),
            ("most of three", "ddu", "partition"),
            ("one of three", "duu", "path"),
            ("half of four is not most", "dduu", "path"),
            (
                "those without evidence are not counted",
                "ddu??",
                "partition",
            ),
            ("one agent alone", "d", "-"),
        ] {
            let found = conclude_on_peer(Mode::Central, &views(letters));
            let found = found.map_or_else(
                || "-".to_owned(),
                |it| {
                    let alive = if it.process_alive {
                        ", process alive"
                    } else {
                        ""
                    };
                    it.place.as_str().to_owned() + alive
                },
            );
            assert_eq!(found, expected, "{what}");
        }
        let seen_by_sidecar = conclude_on_peer(Mode::Sidecar, &views("uD"));
        assert_eq!(
            seen_by_sidecar.map(|it| it.place),
            Some(Place::Peer),
            "a central agent refutes no sidecar"
        );
    }
}
