//! How many different states and histories of blocks each network had, and when. Kept as spans of
//! time in which that did not change; does no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::fleet::NetworkVerdict;

use super::recorder::lock;
use super::time::unix_millis;

/// Number of spans kept of each network, in memory and in the database.
pub(super) const SPANS_KEPT: usize = 1_000;

/// A span goes on if the same is found again within this time.
const MAX_GAP: Duration = Duration::from_secs(60);

/// A time in which a network had as many different states and histories. What was not compared for
/// a minute is in no span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreementSpan {
    /// When it was first found so, in milliseconds since the epoch.
    pub since_ms: u64,
    /// When it was last found so, in milliseconds since the epoch.
    pub until_ms: u64,
    /// Number of different states at one block; none if no states were compared.
    pub states: Option<u32>,
    /// Number of different histories of blocks; none if no orders were compared.
    pub histories: Option<u32>,
    /// The lowest block at which states were seen to differ.
    pub state_block: Option<i64>,
    /// The first block at which histories differ, the lowest if it changed.
    pub fork_block: Option<u64>,
}

impl AgreementSpan {
    /// Returns what `verdict` says at this time; none if nothing was compared recently.
    fn at(verdict: &NetworkVerdict, at_ms: u64) -> Option<Self> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let histories = verdict.consensus.histories.as_ref();
        let span = Self {
            since_ms: at_ms,
            until_ms: at_ms,
            states: verdict.state_groups().map(number),
            histories: histories.map(|histories| number(histories.groups.len())),
            state_block: verdict.difference.as_ref().map(|found| found.block),
            fork_block: histories
                .and_then(|histories| histories.fork.as_ref())
                .map(|fork| fork.block),
        };
        (span.states.is_some() || span.histories.is_some()).then_some(span)
    }

    /// Whether states or histories differed.
    #[must_use]
    pub fn is_different(&self) -> bool {
        self.states > Some(1) || self.histories > Some(1)
    }

    /// Whether it goes on at this time if nothing else is found, in milliseconds since the epoch.
    #[must_use]
    pub fn lasts_at(&self, at_ms: u64) -> bool {
        Duration::from_millis(at_ms.saturating_sub(self.until_ms)) <= MAX_GAP
    }

    /// Goes on with what was found later, if that is the same. Returns whether it is.
    fn goes_on(&mut self, later: &Self) -> bool {
        let is_same = (self.states, self.histories) == (later.states, later.histories);
        let gap = later.since_ms.checked_sub(self.until_ms);
        let is_near = gap.is_some_and(|gap| Duration::from_millis(gap) <= MAX_GAP);
        if is_same && is_near {
            self.until_ms = later.until_ms;
            self.state_block = lowest(self.state_block, later.state_block);
            self.fork_block = lowest(self.fork_block, later.fork_block);
        }
        is_same && is_near
    }
}

fn lowest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// The spans of all networks.
#[derive(Debug, Default)]
pub(super) struct AgreementLog(Mutex<Spans>);

#[derive(Debug, Default)]
struct Spans {
    /// By the name of the network, oldest first.
    networks: BTreeMap<Arc<str>, VecDeque<AgreementSpan>>,
    /// The end of the newest span in the database.
    written_ms: u64,
}

impl AgreementLog {
    /// Records what the networks are like at this time.
    pub(super) fn record(&self, networks: &[(String, Arc<NetworkVerdict>)], at: SystemTime) {
        let mut log = lock(&self.0);
        for (name, verdict) in networks {
            if let Some(found) = AgreementSpan::at(verdict, unix_millis(at)) {
                log.push(name, found);
            }
        }
    }

    /// Returns the spans of a network, oldest first.
    pub(super) fn of(&self, network: &str) -> Vec<AgreementSpan> {
        let log = lock(&self.0);
        let spans = log.networks.get(network).into_iter().flatten();
        spans.copied().collect()
    }

    /// Adds stored spans, which are older than all others.
    pub(super) fn restore(&self, stored: Vec<(Arc<str>, AgreementSpan)>) {
        let mut log = lock(&self.0);
        let recent = std::mem::take(&mut log.networks);
        for (network, span) in stored {
            log.written_ms = log.written_ms.max(span.until_ms);
            log.push(&network, span);
        }
        for (network, spans) in recent {
            for span in spans {
                log.push(&network, span);
            }
        }
    }

    /// Counts all spans as unwritten: the database may have been replaced.
    pub(super) fn mark_unwritten(&self) {
        lock(&self.0).written_ms = 0;
    }

    /// Returns the spans that have begun or gone on since the last write.
    pub(super) fn unwritten(&self) -> Vec<(Arc<str>, AgreementSpan)> {
        let log = lock(&self.0);
        let all = log.networks.iter().flat_map(|(network, spans)| {
            let spans = spans.iter();
            spans.map(move |span| (Arc::clone(network), *span))
        });
        all.filter(|(_, span)| span.until_ms > log.written_ms)
            .collect()
    }

    /// Marks these spans as written.
    pub(super) fn mark_written(&self, written: &[(Arc<str>, AgreementSpan)]) {
        let newest = written.iter().map(|(_, span)| span.until_ms).max();
        let mut log = lock(&self.0);
        log.written_ms = log.written_ms.max(newest.unwrap_or_default());
    }
}

impl Spans {
    fn push(&mut self, network: &str, found: AgreementSpan) {
        let spans = match self.networks.get_mut(network) {
            Some(spans) => spans,
            None => self.networks.entry(network.into()).or_default(),
        };
        if spans.back_mut().is_some_and(|last| last.goes_on(&found)) {
            return;
        }
        spans.push_back(found);
        while spans.len() > SPANS_KEPT {
            spans.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Compared, Fork, ForkedBlock, Histories, History, StateDifference};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A verdict with so many states, which differ at this block, and so many histories; 0: nothing
    /// was compared.
    fn verdict(states: usize, block: i64, histories: usize, fork: u64) -> NetworkVerdict {
        let difference = StateDifference {
            block,
            states: Vec::new(),
            groups: states,
        };
        let forked = |byte| ForkedBlock {
            hash: cad3::Hash::new([byte; 32]),
            made: None,
        };
        let histories = Histories {
            groups: vec![History::default(); histories],
            fork: (histories > 1).then(|| Fork {
                block: fork,
                blocks: [1, 2].map(forked),
            }),
            ..Histories::default()
        };
        let mut verdict = NetworkVerdict {
            compared: Compared {
                peers: states.min(1) * 2,
                ..Compared::default()
            },
            difference: (states > 1).then_some(difference),
            ..NetworkVerdict::default()
        };
        let consensus = Arc::make_mut(&mut verdict.consensus);
        consensus.histories = (!histories.groups.is_empty()).then_some(histories);
        verdict
    }

    /// Records what was found after so many seconds.
    fn record(log: &AgreementLog, seconds: u64, verdict: NetworkVerdict) {
        log.record(&[("n".to_owned(), Arc::new(verdict))], at(seconds));
    }

    /// The spans in seconds, with the number of states and of histories.
    fn spans(log: &AgreementLog) -> Vec<(u64, u64, Option<u32>, Option<u32>)> {
        let spans = log.of("n").into_iter();
        spans
            .map(|it| {
                let seconds = (it.since_ms / 1_000, it.until_ms / 1_000);
                (seconds.0, seconds.1, it.states, it.histories)
            })
            .collect()
    }

    #[test]
    fn a_span_lasts_as_long_as_the_same_is_found_and_what_is_not_compared_is_in_none() {
        let log = AgreementLog::default();
        for (seconds, states, histories) in [
            (100, 0, 0),
            (101, 1, 0),
            (110, 1, 0),
            (120, 1, 1),
            (130, 2, 1),
            (140, 1, 1),
            // Within a minute nothing is missing; after more there is a gap.
            (190, 0, 0),
            (200, 1, 1),
            (261, 1, 1),
            // The clock was set back.
            (150, 1, 1),
        ] {
            record(&log, seconds, verdict(states, 7, histories, 7));
        }
        assert_eq!(
            spans(&log),
            [
                (101, 110, Some(1), None),
                (120, 120, Some(1), Some(1)),
                (130, 130, Some(2), Some(1)),
                (140, 200, Some(1), Some(1)),
                (261, 261, Some(1), Some(1)),
                (150, 150, Some(1), Some(1)),
            ]
        );
        assert_eq!(log.of("another"), []);
    }

    #[test]
    fn a_difference_has_the_lowest_block_that_was_seen() {
        let log = AgreementLog::default();
        for (seconds, block, fork) in [(1, 50, 9), (2, 51, 8), (3, 49, 8)] {
            record(&log, seconds, verdict(2, block, 3, fork));
        }
        let found = log.of("n");
        assert_eq!(found.len(), 1);
        assert!(found[0].is_different());
        assert_eq!(
            (found[0].state_block, found[0].fork_block),
            (Some(49), Some(8))
        );
    }

    #[test]
    fn a_network_that_changes_all_the_time_takes_no_more_memory() {
        let log = AgreementLog::default();
        for seconds in 0..3 * SPANS_KEPT as u64 {
            record(
                &log,
                seconds,
                verdict(1 + usize::from(seconds % 2 == 0), 7, 0, 7),
            );
        }
        assert_eq!(log.of("n").len(), SPANS_KEPT);
    }

    #[test]
    fn only_what_has_changed_since_the_last_write_is_written_and_stored_spans_go_on() {
        let log = AgreementLog::default();
        record(&log, 1, verdict(1, 7, 1, 7));
        record(&log, 2, verdict(2, 7, 1, 7));
        let first = log.unwritten();
        assert_eq!(first.len(), 2);
        log.mark_written(&first);
        assert_eq!(log.unwritten(), []);
        record(&log, 3, verdict(2, 7, 1, 7));
        assert_eq!(log.unwritten().len(), 1);
        log.mark_unwritten();
        assert_eq!(log.unwritten().len(), 2);

        let later = AgreementLog::default();
        record(&later, 30, verdict(2, 7, 1, 7));
        later.restore(log.unwritten());
        assert_eq!(
            spans(&later),
            [(1, 1, Some(1), Some(1)), (2, 30, Some(2), Some(1))]
        );
    }
}
