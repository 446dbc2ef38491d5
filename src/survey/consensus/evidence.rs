//! Keeps evidence when a peer forks, diverges, recedes or shares its key: what the walks of its
//! network read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::fleet::{Condition, Fleet};
use crate::history::{Compared, Event, EventKind, History, Incident};

use super::rounds::Rounds;

/// Of one condition of one peer, evidence is kept no more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(3600);

/// Number of the last events of a peer among which its finality before is looked for.
const EVENTS_READ: usize = 100;

/// Keeps evidence of the peers of one network.
#[derive(Debug)]
pub(in crate::survey) struct EvidenceCollector {
    fleet: Arc<Fleet>,
    history: Arc<History>,
    network: String,
    rounds: Arc<Rounds>,
    /// When evidence was last kept.
    kept: BTreeMap<(String, Condition), Instant>,
}

impl EvidenceCollector {
    pub(super) const fn new(
        fleet: Arc<Fleet>,
        history: Arc<History>,
        network: String,
        rounds: Arc<Rounds>,
    ) -> Self {
        Self {
            fleet,
            history,
            network,
            rounds,
            kept: BTreeMap::new(),
        }
    }

    /// Keeps evidence of each condition that begins, for as long as the history lives.
    pub(in crate::survey) async fn run(mut self) {
        if !self.history.evidence().is_enabled() {
            return;
        }
        let mut events = self.history.subscribe(None);
        while let Some(event) = events.next().await {
            let of_network = event.network.as_deref() == Some(&self.network);
            if let (true, Some(peer), Some(condition)) = (of_network, &event.peer, began(&event)) {
                self.keep(peer, condition).await;
            }
        }
    }

    async fn keep(&mut self, peer: &str, condition: Condition) {
        let now = Instant::now();
        self.kept
            .retain(|_, kept| now.saturating_duration_since(*kept) < MIN_INTERVAL);
        let key = (peer.to_owned(), condition);
        if self.kept.contains_key(&key) {
            return;
        }
        let Some(mut incident) = self.incident(peer, condition) else {
            return;
        };
        let round = match condition {
            // The walks of the last round have proven it.
            Condition::Forked | Condition::DuplicateKey => self.rounds.last(),
            _ => self.rounds.request().await,
        };
        if let Some(round) = round {
            incident.add_round(&round);
        }
        self.kept.insert(key, now);
        self.history.evidence().keep(incident).await;
    }

    /// Describes a condition of a configured peer, as the polls show it.
    fn incident(&self, peer: &str, condition: Condition) -> Option<Incident> {
        let snapshot = self.fleet.snapshot();
        let mut peers = snapshot.peers.iter();
        let record = peers.find(|it| it.peer.name == peer && !it.peer.discovered)?;
        let since = record.condition_since.get(&condition);
        let began = since.copied().unwrap_or_else(SystemTime::now);
        let mut incident = Incident::new(&self.network, peer, condition, began);
        let mut networks = snapshot.networks.iter();
        let network = networks.find(|network| network.name == self.network)?;
        if condition == Condition::Diverged
            && let Some(difference) = &network.verdict.difference
        {
            let states = difference.states.iter();
            incident.compared.push(Compared::DifferentStates {
                block: difference.block,
                states: states
                    .map(|(hash, name)| (name.clone(), hash.to_string()))
                    .collect(),
            });
        }
        if condition == Condition::Receding
            && let Some(now) = record.last_finality()
        {
            let events = self.history.peer_events(peer, EVENTS_READ);
            let before = events.iter().find_map(|event| match event.kind {
                EventKind::FinalityReceded { from, .. } => Some(from.0),
                _ => None,
            });
            incident
                .compared
                .extend(before.map(|before| Compared::Finality { before, now }));
        }
        Some(incident)
    }
}

/// Returns the condition that begins with this event, if evidence of it is kept.
fn began(event: &Event) -> Option<Condition> {
    match &event.kind {
        EventKind::ForkBegan { .. } => Some(Condition::Diverged),
        EventKind::ConditionBegan { condition } => {
            let condition = Condition::named(condition)?;
            let is_kept = matches!(
                condition,
                Condition::DuplicateKey | Condition::Forked | Condition::Receding
            );
            is_kept.then_some(condition)
        }
        _ => None,
    }
}
