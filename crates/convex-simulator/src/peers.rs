//! Which peers of a network are meant: `2,5`, `1-10`, `50%` (the last half) or `all`.

use std::ops::RangeInclusive;

/// Some peers of a network, by index from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSet(Vec<RangeInclusive<usize>>);

/// Why a text names no peers of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerSetError {
    /// The text.
    #[error("{0:?} names no peers; expected 2,5 or 1-10 or 50% (the last half) or all")]
    Shape(String),
    /// Peer 0.
    #[error("peers are counted from 1, {0:?} is not")]
    Zero(String),
    /// A peer beyond the last.
    #[error("there are {count} peers, no peer {named}")]
    Beyond {
        /// The peer that is named.
        named: usize,
        /// How many there are.
        count: usize,
    },
    /// More, or less, than a part.
    #[error("{0}% is no part; expected 1% to 100%")]
    Part(usize),
}

impl PeerSet {
    /// All `count` peers.
    #[must_use]
    pub fn all(count: usize) -> Self {
        Self(vec![0..=count.saturating_sub(1)])
    }

    /// Reads a text for a network of `count` peers.
    ///
    /// # Errors
    /// It names no peers, or such as the network has not.
    pub fn parse(text: &str, count: usize) -> Result<Self, PeerSetError> {
        let shape = || PeerSetError::Shape(text.to_owned());
        if text == "all" {
            return Ok(Self::all(count));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: usize = percent.parse().map_err(|_| shape())?;
            if !(1..=100).contains(&percent) {
                return Err(PeerSetError::Part(percent));
            }
            let part = (count * percent / 100).max(1);
            return Ok(Self(vec![count - part..=count - 1]));
        }
        let number = |digits: &str| match digits.trim().parse::<usize>() {
            Ok(0) => Err(PeerSetError::Zero(digits.to_owned())),
            Ok(named) if named > count => Err(PeerSetError::Beyond { named, count }),
            Ok(named) => Ok(named - 1),
            Err(_) => Err(shape()),
        };
        let ranges = text.split(',').map(|part| match part.split_once('-') {
            None => number(part).map(|index| index..=index),
            Some((first, last)) => {
                let range = number(first)?..=number(last)?;
                if range.is_empty() {
                    Err(shape())
                } else {
                    Ok(range)
                }
            }
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the peer with this index, from 0, is one of them.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.0.iter().any(|range| range.contains(&index))
    }

    /// The number, from 1, of the first peer that both have.
    #[must_use]
    pub fn first_shared(&self, other: &Self) -> Option<usize> {
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs
            .filter_map(|(a, b)| {
                let first = *a.start().max(b.start());
                (first <= *a.end().min(b.end())).then_some(first + 1)
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_one_by_one_by_range_by_part_or_all() {
        let members = |text: &str| -> Vec<usize> {
            let set = PeerSet::parse(text, 10).unwrap();
            (0..10)
                .filter(|index| set.has(*index))
                .map(|i| i + 1)
                .collect()
        };
        assert_eq!(members("2,5"), [2, 5]);
        assert_eq!(members("1-3,9"), [1, 2, 3, 9]);
        assert_eq!(members("50%"), [6, 7, 8, 9, 10]);
        assert_eq!(members("1%"), [10], "at least one");
        assert_eq!(members("all").len(), 10);
    }

    #[test]
    fn what_names_no_peers_of_the_network_is_refused() {
        for text in [
            "", "x", "3-1", "1,", "-", "%", "0", "11", "1-11", "0%", "101%",
        ] {
            assert!(PeerSet::parse(text, 10).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_shared_peer_is_found() {
        let set = |text: &str| PeerSet::parse(text, 10).unwrap();
        assert_eq!(set("8,2-5").first_shared(&set("4-9")), Some(4));
        assert_eq!(set("1,3").first_shared(&set("2,4-10")), None);
    }
}
