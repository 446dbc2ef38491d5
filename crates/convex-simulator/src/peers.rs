//! A selection of peers: `2,5`, `1-10`, `50%` (the last half) or `all`.

use std::ops::RangeInclusive;

/// Some peers of a network, by index from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSet(Vec<RangeInclusive<usize>>);

/// Why a text does not select peers of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerSetError {
    /// The text has none of the accepted forms.
    #[error("{0:?} does not select peers; expected 2,5 or 1-10 or 50% (the last half) or all")]
    Syntax(String),
    /// Peer 0.
    #[error("peer {0:?} does not exist; peers are numbered from 1")]
    Zero(String),
    /// A number above that of the last peer.
    #[error("peer {number} does not exist; there are {count} peers")]
    TooHigh {
        /// The number in the text.
        number: usize,
        /// Number of peers in the network.
        count: usize,
    },
    /// A percentage outside 1 to 100.
    #[error("{0}% is out of range; expected 1% to 100%")]
    Percentage(usize),
}

impl PeerSet {
    /// Selects all `count` peers.
    #[must_use]
    pub fn all(count: usize) -> Self {
        Self(vec![0..=count.saturating_sub(1)])
    }

    /// Parses a selection from a network of `count` peers.
    ///
    /// # Errors
    /// The text has none of the accepted forms, or selects peers that do not exist.
    pub fn parse(text: &str, count: usize) -> Result<Self, PeerSetError> {
        let syntax = || PeerSetError::Syntax(text.to_owned());
        if text == "all" {
            return Ok(Self::all(count));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: usize = percent.parse().map_err(|_| syntax())?;
            if !(1..=100).contains(&percent) {
                return Err(PeerSetError::Percentage(percent));
            }
            let selected = (count * percent / 100).max(1);
            return Ok(Self(vec![count - selected..=count - 1]));
        }
        let index = |digits: &str| match digits.trim().parse::<usize>() {
            Ok(0) => Err(PeerSetError::Zero(digits.to_owned())),
            Ok(number) if number > count => Err(PeerSetError::TooHigh { number, count }),
            Ok(number) => Ok(number - 1),
            Err(_) => Err(syntax()),
        };
        let ranges = text.split(',').map(|part| match part.split_once('-') {
            None => index(part).map(|index| index..=index),
            Some((first, last)) => {
                let range = index(first)?..=index(last)?;
                if range.is_empty() {
                    Err(syntax())
                } else {
                    Ok(range)
                }
            }
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the peer with this index, from 0, is selected.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.0.iter().any(|range| range.contains(&index))
    }

    /// Returns the number of selected peers before the one with this index, from 0; none if that is
    /// not selected.
    #[must_use]
    pub(super) fn rank(&self, index: usize) -> Option<usize> {
        let before = (0..index).filter(|other| self.contains(*other));
        self.contains(index).then(|| before.count())
    }

    /// Returns the index, from 0, of the first selected peer.
    pub(super) fn first(&self) -> Option<usize> {
        self.0.iter().map(|range| *range.start()).min()
    }

    /// Returns the number, from 1, of the first peer that is in both selections.
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
    fn peers_are_selected_by_number_range_percentage_or_all() {
        let members = |text: &str| -> Vec<usize> {
            let set = PeerSet::parse(text, 10).unwrap();
            (0..10)
                .filter(|index| set.contains(*index))
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
    fn a_text_that_selects_no_peers_of_the_network_is_rejected() {
        for text in [
            "", "x", "3-1", "1,", "-", "%", "0", "11", "1-11", "0%", "101%",
        ] {
            assert!(PeerSet::parse(text, 10).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_selected_peers_have_ranks() {
        let set = PeerSet::parse("8,2-3,3", 10).unwrap();
        assert_eq!(set.first(), Some(1));
        let ranks = [0, 1, 2, 3, 7].map(|index| set.rank(index));
        assert_eq!(ranks, [None, Some(0), Some(1), None, Some(2)]);
    }

    #[test]
    fn the_first_peer_in_both_selections_is_found() {
        let set = |text: &str| PeerSet::parse(text, 10).unwrap();
        assert_eq!(set("8,2-5").first_shared(&set("4-9")), Some(4));
        assert_eq!(set("1,3").first_shared(&set("2,4-10")), None);
    }
}
