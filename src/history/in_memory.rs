//! What is held in memory of one peer: its last polls, what is not written yet, and what events are told apart by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use cad3::Hash;
use convex_client::Transport;
use tokio::time::Instant;

use crate::config;
use crate::fleet::Observation;
use crate::fleet::{Condition, Health, PeerRecord};
use crate::history::db::{PeerKey, minute};

use super::event::EventKind;
use super::recent::{Outcome, Poll, Recent};
use super::summary::Summary;
use super::transcript::Transcript;

/// Minutes that can wait for a disk that does not take them. Older ones are given up: monitoring must not need more and more
/// memory because a disk is full.
const WAITING_MINUTES: usize = 3;

/// A poll stands for the time since the one before, but not for more than so many of the peer's longest intervals.
const SPAN_INTERVALS: u32 = 2;

/// What is held of one peer.
#[derive(Debug)]
pub(super) struct PeerMemory {
    key: PeerKey,
    recent: Recent,
    /// What is not written yet, by minute since the epoch.
    waiting: Vec<(u32, Summary)>,
    polled: Option<Instant>,
    seen: Seen,
    success: Option<Box<Kept>>,
    failure: Option<Box<Kept>>,
}

/// A poll of which a transcript can be made.
#[derive(Debug)]
struct Kept {
    peer: Arc<config::Peer>,
    observation: Observation,
}

/// What a record showed last, for what it shows next to be told as a change.
#[derive(Debug)]
struct Seen {
    health: Health,
    /// Whether there was a verdict: the first one is news only when it is a bad one.
    judged: bool,
    conditions: BTreeSet<Condition>,
    restarts: u64,
    key: Option<Hash>,
    key_changes: u64,
    diverged: bool,
}

impl PeerMemory {
    /// Of a peer that has shown this so far; what is remembered of it is no news.
    pub(super) fn new(record: &PeerRecord) -> Self {
        Self {
            key: key(&record.peer),
            recent: Recent::default(),
            waiting: Vec::new(),
            polled: None,
            seen: Seen::of(record),
            success: None,
            failure: None,
        }
    }

    pub(super) fn is_of(&self, peer: &config::Peer) -> bool {
        *self.key.0 == *peer.network
    }

    pub(super) fn key(&self) -> &PeerKey {
        &self.key
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// The transcripts of the last successful and the last failed poll.
    pub(super) fn transcripts(&self) -> [Option<Transcript>; 2] {
        [&self.success, &self.failure].map(|kept| {
            let kept = kept.as_ref()?;
            Some(Transcript::of(&kept.peer, &kept.observation))
        })
    }

    pub(super) fn forget_transcripts(&mut self) {
        (self.success, self.failure) = (None, None);
    }

    /// Whether transcripts are kept of this peer even when there are too many to keep those of all.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.seen.health != Health::Up
    }

    /// Takes a poll; `record` has taken it already.
    pub(super) fn poll(&mut self, record: &PeerRecord, observation: &Observation, now: Instant) {
        let began = observation.endpoints.first().map(|probed| probed.began);
        let poll = charted(
            record,
            observation,
            began.unwrap_or(SystemTime::UNIX_EPOCH),
            now,
        );
        let cadence = &record.peer.cadence;
        let longest = cadence.max_interval.max(cadence.interval) * SPAN_INTERVALS;
        let span = self.polled.map_or(cadence.interval, |before| {
            now.saturating_duration_since(before).min(longest)
        });
        self.polled = Some(now);
        self.recent.add(&poll);
        self.wait(minute(poll.at), &Summary::of(&poll, span));
    }

    /// Keeps the poll for its transcript.
    pub(super) fn keep(&mut self, record: &PeerRecord, observation: &Observation) {
        let place = if record.up == Some(true) {
            &mut self.success
        } else {
            &mut self.failure
        };
        if let Some(kept) = place {
            kept.observation.clone_from(observation);
            kept.peer = Arc::clone(&record.peer);
        } else {
            *place = Some(Box::new(Kept {
                peer: Arc::clone(&record.peer),
                observation: observation.clone(),
            }));
        }
    }

    /// Has `summary` written later, added to what waits of its minute.
    pub(super) fn wait(&mut self, minute: u32, summary: &Summary) {
        if let Some((_, waiting)) = self.waiting.iter_mut().find(|(at, _)| *at == minute) {
            waiting.merge(summary);
            return;
        }
        // As a rule one minute waits, or two.
        self.waiting.reserve_exact(1);
        self.waiting.push((minute, summary.clone()));
        if self.waiting.len() > WAITING_MINUTES {
            self.waiting.remove(0);
        }
    }

    /// What was taken to be written and was not comes back, before what has come meanwhile.
    pub(super) fn take_back(&mut self, minute: u32, mut summary: Summary) {
        if let Some((_, waiting)) = self.waiting.iter_mut().find(|(at, _)| *at == minute) {
            summary.merge(waiting);
            *waiting = summary;
        } else if self.waiting.len() < WAITING_MINUTES {
            self.waiting.insert(0, (minute, summary));
        }
    }

    pub(super) fn waiting(&self) -> &[(u32, Summary)] {
        &self.waiting
    }

    /// Takes what is to be written.
    pub(super) fn take_waiting(&mut self) -> Vec<(PeerKey, u32, Summary)> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting
            .map(|(minute, summary)| (self.key.clone(), minute, summary))
            .collect()
    }

    /// What `record` shows that was otherwise before, in the order in which it is to be told.
    pub(super) fn news(&mut self, record: &PeerRecord) -> Vec<EventKind> {
        let mut news = Vec::new();
        let before = &self.seen;
        if record.identity.key_changes > before.key_changes {
            news.push(EventKind::KeyChanged {
                from: before.key.map(|key| key.to_string()),
                to: record.identity.key.map(|key| key.to_string()),
            });
        }
        if record.restarts > before.restarts {
            news.push(EventKind::RestartInferred);
        }
        let diverged = record.diverged == Some(true);
        if diverged && !before.diverged {
            news.push(EventKind::ForkBegan {
                first_block: record.first_divergent_block,
            });
        }
        if before.diverged && !diverged {
            news.push(EventKind::ForkEnded);
        }
        // A fork is told as one.
        let told = |condition: &&Condition| **condition != Condition::Diverged;
        if record.conditions != before.conditions {
            let label = |condition: &Condition| condition.as_str().into();
            let began = record.conditions.difference(&before.conditions);
            let ended = before.conditions.difference(&record.conditions);
            news.extend(began.filter(told).map(|began| EventKind::ConditionBegan {
                condition: label(began),
            }));
            news.extend(ended.filter(told).map(|ended| EventKind::ConditionEnded {
                condition: label(ended),
            }));
        }
        let first_and_good = !before.judged && record.health == Health::Up;
        if record.health != before.health && !first_and_good {
            news.push(EventKind::HealthChanged {
                from: before.health.as_str().into(),
                to: record.health.as_str().into(),
                why: why(record),
            });
        }
        self.seen.take(record);
        news
    }
}

impl Seen {
    fn of(record: &PeerRecord) -> Self {
        Self {
            health: record.health,
            judged: record.health != Health::Unknown,
            conditions: record.conditions.clone(),
            restarts: record.restarts,
            key: record.identity.key,
            key_changes: record.identity.key_changes,
            diverged: record.diverged == Some(true),
        }
    }

    fn take(&mut self, record: &PeerRecord) {
        let judged = self.judged || record.health != Health::Unknown;
        if self.conditions != record.conditions {
            self.conditions.clone_from(&record.conditions);
        }
        *self = Self {
            judged,
            conditions: std::mem::take(&mut self.conditions),
            health: record.health,
            restarts: record.restarts,
            key: record.identity.key,
            key_changes: record.identity.key_changes,
            diverged: record.diverged == Some(true),
        };
    }
}

/// The peer's name in the store.
pub(super) fn key(peer: &config::Peer) -> PeerKey {
    (peer.network.as_str().into(), peer.name.as_str().into())
}

/// What excuses the last poll, or what its endpoints failed with.
fn why(record: &PeerRecord) -> String {
    let doubt = record.excuse.iter().map(ToString::to_string);
    let failures = record.endpoints.iter().filter_map(|endpoint| {
        let failure = endpoint.last_failure.as_ref()?;
        Some(format!("{}: {failure}", endpoint.transport))
    });
    let all: Vec<String> = doubt.chain(failures).collect();
    all.join("; ")
}

/// What one poll showed. Only of this poll: the record remembers more.
fn charted(record: &PeerRecord, observation: &Observation, at: SystemTime, now: Instant) -> Poll {
    let mut failures = [None; Transport::ALL.len()];
    let mut latency = [None; Transport::ALL.len()];
    for probed in &observation.endpoints {
        failures[probed.transport as usize] = probed.reason();
        latency[probed.transport as usize] = probed.took;
    }
    // The binary endpoint comes last and tells more.
    let right = || {
        let attempts = observation.endpoints.iter().rev();
        attempts
            .filter(|probed| !probed.is_wrong())
            .map(|probed| &probed.attempt)
    };
    Poll {
        at,
        outcome: match record.up {
            Some(true) => Outcome::Up,
            Some(false) => Outcome::Failed,
            None => Outcome::Excused,
        },
        maintenance: record.in_maintenance(at),
        health: record.health,
        failures,
        latency,
        order: right().find_map(|attempt| Some(attempt.status.as_ref()?.value.order)),
        state_block: right()
            .find_map(|attempt| attempt.query.as_ref()?.value.as_ref().ok()?.state_block),
        lag: record.lag(now).filter(|_| record.up == Some(true)),
    }
}
