//! Compares the states of the peers of one network at the blocks that they have in common.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use cad3::Hash;
use serde::Serialize;

use crate::cli::terminal::escape;
use crate::fleet;
use crate::fleet::peer_json::ExactInteger;

/// Most names in a list; of more, only the number is shown.
const MAX_NAMES: usize = 8;

/// Length of the shown part of a hash, characters.
const HASH_CHARS: usize = 10;

/// Longest name of a peer, characters.
const MAX_NAME_CHARS: usize = 80;

/// What a peer showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) name: String,
    /// Its key if it is known. Two endpoints with one key are one peer.
    pub(super) key: Option<Hash>,
    pub(super) genesis: Option<Hash>,
    /// The states that it showed, by block.
    pub(super) states: BTreeSet<(i64, Hash)>,
}

/// How the states of the peers of a network compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// Name of the network; empty for endpoints from the command line.
    #[serde(skip)]
    network: String,
    /// Number of peers.
    peers: usize,
    /// How many of them showed a state.
    answering: usize,
    /// How many of them showed blocks that others showed too.
    compared: usize,
    /// Names of the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_compared: Vec<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Outcome {
    /// Nothing is known about whether the peers have equal states.
    NotCompared { reason: NotCompared },
    /// Equal at all common blocks.
    Equal {
        /// The newest of these.
        block: ExactInteger,
    },
    /// Different at a common block.
    Different {
        /// The newest such block.
        block: ExactInteger,
        states: Vec<StateAtBlock>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotCompared {
    /// Fewer than two peers showed a state.
    TooFewAnswers,
    /// The peers have different genesis hashes.
    DifferentNetworks,
    /// No two peers showed the same block.
    NoCommonBlock,
}

/// One of several states at a block.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct StateAtBlock {
    hash: String,
    /// Names of the peers that have it.
    peers: Vec<String>,
}

impl Comparison {
    /// Compares what the peers of one network showed; none if there is only one.
    pub(super) fn new(network: &str, shown: &[Shown]) -> Option<Self> {
        let peer_of = peer_of(shown);
        let peers = peer_of.iter().collect::<HashSet<_>>().len();
        if peers < 2 {
            return None;
        }
        let group = compared_group(shown, &peer_of);
        let outcome = outcome(shown, &peer_of, &group);
        let mut comparison = Self {
            network: network.to_owned(),
            peers,
            answering: answering(shown, &peer_of),
            compared: 0,
            not_compared: Vec::new(),
            outcome,
        };
        if !matches!(comparison.outcome, Outcome::NotCompared { .. }) {
            let left_out = shown
                .iter()
                .zip(&peer_of)
                .filter(|(_, peer)| !group.contains(peer));
            comparison.compared = group.len();
            comparison.not_compared = left_out.map(|(it, _)| it.name.clone()).collect();
        }
        Some(comparison)
    }

    /// Whether peers answer that were not compared for lack of a common block.
    pub(super) fn lacks_common_blocks(&self) -> bool {
        match self.outcome {
            Outcome::NotCompared { reason } => reason == NotCompared::NoCommonBlock,
            Outcome::Equal { .. } | Outcome::Different { .. } => self.compared < self.answering,
        }
    }

    /// Returns how this peer compares with the others.
    pub(super) fn of(&self, peer: &Shown) -> fleet::Comparison {
        let is_compared = !self.not_compared.contains(&peer.name);
        match &self.outcome {
            Outcome::Different { states, .. }
                if states.iter().any(|state| state.peers.contains(&peer.name)) =>
            {
                fleet::Comparison::Differs
            }
            Outcome::Equal { .. } | Outcome::Different { .. } if is_compared => {
                fleet::Comparison::Agrees
            }
            _ => fleet::Comparison::NotCompared,
        }
    }

    /// Whether peers have different states.
    pub(super) fn is_different(&self) -> bool {
        matches!(self.outcome, Outcome::Different { .. })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.network.is_empty() {
            write!(f, "{}: ", escape(&self.network, MAX_NAME_CHARS))?;
        }
        let (peers, compared) = (self.peers, self.compared);
        match &self.outcome {
            Outcome::NotCompared { reason } => {
                return match reason {
                    NotCompared::TooFewAnswers => {
                        write!(
                            f,
                            "not compared: fewer than two of {peers} peers showed a state"
                        )
                    }
                    NotCompared::DifferentNetworks => {
                        f.write_str("not compared: the peers have different genesis hashes")
                    }
                    NotCompared::NoCommonBlock => f.write_str("not compared: no common block"),
                };
            }
            Outcome::Equal { block } => {
                let block = block.0;
                write!(
                    f,
                    "{compared} of {peers} peers compared up to block {block}: equal"
                )?;
            }
            Outcome::Different { block, states } => {
                let states = states.iter().map(|state| {
                    let short: String = state.hash.chars().take(HASH_CHARS).collect();
                    format!("{short}… ({})", list(&state.peers))
                });
                let states = states.collect::<Vec<_>>().join(", ");
                let block = block.0;
                write!(
                    f,
                    "{compared} of {peers} peers compared: differ at block {block}: {states}"
                )?;
            }
        }
        if self.not_compared.is_empty() {
            return Ok(());
        }
        write!(f, "; not compared: {}", list(&self.not_compared))
    }
}

/// Joins the first names of a list.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES);
    let shown: Vec<String> = shown.map(|name| escape(name, MAX_NAME_CHARS)).collect();
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(", ") + &more
}

/// Returns a number for the peer of each; the same one if they have the same key.
fn peer_of(shown: &[Shown]) -> Vec<usize> {
    let mut first_with = HashMap::new();
    let of = |(index, it): (usize, &Shown)| match it.key {
        Some(key) => *first_with.entry(key).or_insert(index),
        None => index,
    };
    shown.iter().enumerate().map(of).collect()
}

/// Returns the number of peers that showed a state.
fn answering(shown: &[Shown], peer_of: &[usize]) -> usize {
    let peers = shown.iter().zip(peer_of);
    let answering = peers.filter(|(it, _)| !it.states.is_empty());
    answering
        .map(|(_, peer)| peer)
        .collect::<HashSet<_>>()
        .len()
}

/// Returns the most peers that are connected by common blocks: only between them anything is known.
/// Empty if no two peers showed the same block.
fn compared_group(shown: &[Shown], peer_of: &[usize]) -> HashSet<usize> {
    // Each block connects its peers with the first one that showed it.
    let mut first_at: HashMap<i64, usize> = HashMap::new();
    let mut group_of: Vec<usize> = (0..shown.len()).collect();
    let find = |group_of: &[usize], mut peer: usize| {
        while group_of[peer] != peer {
            peer = group_of[peer];
        }
        peer
    };
    for (it, peer) in shown.iter().zip(peer_of) {
        for (block, _) in &it.states {
            let first = *first_at.entry(*block).or_insert(*peer);
            let (a, b) = (find(&group_of, first), find(&group_of, *peer));
            group_of[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, HashSet<usize>> = BTreeMap::new();
    for peer in peer_of {
        groups
            .entry(find(&group_of, *peer))
            .or_default()
            .insert(*peer);
    }
    let several = groups.into_values().filter(|group| group.len() > 1);
    several.max_by_key(HashSet::len).unwrap_or_default()
}

/// Returns how the states compare; `group` is the compared group.
fn outcome(shown: &[Shown], peer_of: &[usize], group: &HashSet<usize>) -> Outcome {
    let not_compared = |reason| Outcome::NotCompared { reason };
    let networks: HashSet<Hash> = shown.iter().filter_map(|it| it.genesis).collect();
    if networks.len() > 1 {
        return not_compared(NotCompared::DifferentNetworks);
    }
    if answering(shown, peer_of) < 2 {
        return not_compared(NotCompared::TooFewAnswers);
    }
    let mut blocks: BTreeMap<i64, BTreeMap<Hash, Vec<usize>>> = BTreeMap::new();
    for (index, it) in shown.iter().enumerate() {
        for (block, hash) in &it.states {
            blocks
                .entry(*block)
                .or_default()
                .entry(*hash)
                .or_default()
                .push(index);
        }
    }
    let newest_first = || blocks.iter().rev();
    let is_common = |states: &BTreeMap<Hash, Vec<usize>>| {
        let peers = states.values().flatten().map(|index| peer_of[*index]);
        peers.collect::<HashSet<_>>().len() > 1
    };
    if let Some((block, states)) =
        newest_first().find(|(_, states)| states.len() > 1 && is_common(states))
    {
        let block = ExactInteger(*block);
        let name = |index: &usize| shown[*index].name.clone();
        let states = states.iter().map(|(hash, holders)| StateAtBlock {
            hash: hash.to_string(),
            peers: holders.iter().map(name).collect(),
        });
        return Outcome::Different {
            block,
            states: states.collect(),
        };
    }
    let is_of_group = |states: &BTreeMap<Hash, Vec<usize>>| {
        let mut holders = states.values().flatten();
        is_common(states) && holders.any(|index| group.contains(&peer_of[*index]))
    };
    match newest_first().find(|(_, states)| is_of_group(states)) {
        Some((block, _)) => Outcome::Equal {
            block: ExactInteger(*block),
        },
        None => not_compared(NotCompared::NoCommonBlock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses what peers showed: `a 5x 6x` is the peer with key a and state x at blocks 5 and 6;
    /// `?` is a peer whose key is not known.
    fn compare(peers: &[&str]) -> Option<Comparison> {
        let shown = peers.iter().zip(1..).map(|(text, number)| {
            let (key, states) = text.split_once(' ').unwrap_or((text, ""));
            let states = states.split(' ').filter(|state| !state.is_empty());
            let states = states.map(|state| {
                let (block, hash) = state.split_at(state.len() - 1);
                (block.parse().unwrap(), Hash::new([hash.as_bytes()[0]; 32]))
            });
            Shown {
                name: format!("p{number}"),
                key: (key != "?").then(|| Hash::new([key.as_bytes()[0]; 32])),
                genesis: None,
                states: states.collect(),
            }
        });
        Comparison::new("main", &shown.collect::<Vec<_>>())
    }

    fn text(peers: &[&str]) -> String {
        compare(peers).map_or_else(String::new, |comparison| comparison.to_string())
    }

    #[test]
    fn the_text_says_how_much_was_compared_and_how() {
        for (peers, expected) in [
            (&["a 5x"][..], ""),
            (&["a 5x", "a 5x"], ""),
            (
                &["a 5x", "b 5x"],
                "main: 2 of 2 peers compared up to block 5: equal",
            ),
            (
                &["? 5x", "? 5x"],
                "main: 2 of 2 peers compared up to block 5: equal",
            ),
            (
                &["a 5x 6x", "b 5x 7x", "c 6x 8x"],
                "main: 3 of 3 peers compared up to block 6: equal",
            ),
            (&["a 5x", "b 6x"], "main: not compared: no common block"),
            (
                &["a 5x", "a 5x", "b 6x"],
                "main: not compared: no common block",
            ),
            (
                &["a 5x", "b"],
                "main: not compared: fewer than two of 2 peers showed a state",
            ),
            (
                &["a 5x", "b 5x", "c"],
                "main: 2 of 3 peers compared up to block 5: equal; not compared: p3",
            ),
            (
                &["a 5x", "b 5x", "c 9x", "d 9x", "e 5x"],
                "main: 3 of 5 peers compared up to block 5: equal; not compared: p3, p4",
            ),
            (
                &["a 5x 6x", "b 5x 6y", "c 6x"],
                "main: 3 of 3 peers compared: differ at block 6: 0x78787878… (p1, p3), \
                 0x79797979… (p2)",
            ),
        ] {
            assert_eq!(text(peers), expected, "{peers:?}");
        }
    }

    #[test]
    fn peers_of_different_networks_are_not_compared() {
        let shown = [1, 2].map(|genesis| Shown {
            name: "peer".to_owned(),
            genesis: Some(Hash::new([genesis; 32])),
            states: BTreeSet::from([(5, Hash::new([7; 32]))]),
            ..Shown::default()
        });
        let comparison = Comparison::new("", &shown).unwrap();
        assert_eq!(
            comparison.to_string(),
            "not compared: the peers have different genesis hashes"
        );
        assert_eq!(comparison.compared, 0);
    }

    #[test]
    fn a_difference_has_all_hashes_and_peers_as_json() {
        let json = serde_json::to_value(compare(&["a 6x", "b 6y", "c 6x", "d 7x"])).unwrap();
        let hash = |letter: &str| format!("0x{}", letter.repeat(32));
        let expected = serde_json::json!({
            "peers": 4, "answering": 4, "compared": 3, "not_compared": ["p4"], "result": "different", "block": 6,
            "states": [
                { "hash": hash("78"), "peers": ["p1", "p3"] },
                { "hash": hash("79"), "peers": ["p2"] },
            ],
        });
        assert_eq!(json, expected);
    }
}
