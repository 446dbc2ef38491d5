//! The states after the blocks, and the registry in them.

use std::sync::Arc;
use std::time::Duration;

use crate::state::{FIRST_CONTROLLER, GENESIS_USER, Globals, PeerEntry, State};

use super::history::{History, StateId};
use super::{
    BLOCK_REWARD, CACHED_STATES, GENESIS_MS, MAX_CACHED_ENTRIES, SILENT_STAKE_AGE_MS, STAKE, World,
    to_i64, to_ms,
};

impl World {
    pub(super) fn state(&mut self, id: StateId) -> Arc<State> {
        let mut cached = self.genesis_states.iter().chain(&self.states);
        if let Some((_, state)) = cached.find(|(cached, _)| *cached == id) {
            return Arc::clone(state);
        }
        let state = Arc::new(self.make_state(id));
        if id.block < 0 && id.claim.is_none() {
            self.genesis_states.push((id, Arc::clone(&state)));
            return state;
        }
        let (min, max) = CACHED_STATES;
        let capacity = (MAX_CACHED_ENTRIES / self.keys.len()).clamp(min, max);
        if self.states.len() >= capacity {
            self.states.pop_front();
        }
        self.states.push_back((id, Arc::clone(&state)));
        state
    }

    fn make_state(&self, id: StateId) -> State {
        let block = usize::try_from(id.block).ok();
        let block = block.and_then(|block| self.blocks.get(block));
        let timestamp = block.map_or(GENESIS_MS, |block| self.start_ms + block.confirmed);
        let made =
            block.map(|it| Duration::from_millis(u64::try_from(it.made).unwrap_or_default()));
        let faults_at = made.filter(|at| self.script.has_stake_faults(*at));
        let entries: Vec<_> = (0..self.keys.len())
            .map(|peer| self.entry(peer, id.block, timestamp, faults_at))
            .collect();
        // Fees that differ make the states of the histories differ.
        let fees = match id.history {
            History::Common => 0,
            History::Fork(first) => first + 1,
            History::Foreign => i64::from(u32::MAX),
        };
        let protocol = block.and_then(|block| self.script.upgrades().protocol_after(*block));
        let globals = Globals {
            block: id.claim.unwrap_or(id.block),
            timestamp,
            fees,
            protocol: protocol.map(|(version, activations)| {
                let since_epoch = activations.into_iter().map(|at| self.start_ms + to_ms(at));
                (version, since_epoch.collect())
            }),
        };
        let by_key = Arc::clone(&self.by_key);
        let accounts = self.transactions.accounts_after(id.block);
        let similar = self.states.back().map(|(_, state)| state.as_ref());
        State::new(accounts, &self.keys, by_key, entries, &globals, similar)
    }

    /// Returns a peer's entry in the registry, if it has one, after `block`, which was made at
    /// `timestamp`, with the stake faults that are active at `faults_at`.
    pub(super) fn entry(
        &self,
        peer: usize,
        block: i64,
        timestamp: i64,
        faults_at: Option<Duration>,
    ) -> Option<PeerEntry> {
        if peer >= self.served {
            return Some(PeerEntry {
                controller: GENESIS_USER,
                stake: self.registered_stake,
                balance: self.registered_stake,
                timestamp: -1,
                url: None,
            });
        }
        let blocks = &self.made_by[peer];
        let made = blocks.partition_point(|made| *made <= block);
        let last_block_ms = made.checked_sub(1).and_then(|last| {
            let block = usize::try_from(blocks[last]).ok()?;
            Some(self.start_ms + self.blocks[block].dated)
        });
        let faults = faults_at
            .map(|at| self.script.stake_faults(peer, at))
            .unwrap_or_default();
        let stake = faults.stake.unwrap_or(STAKE);
        let entry = PeerEntry {
            controller: FIRST_CONTROLLER + peer as u64,
            stake,
            balance: stake + BLOCK_REWARD * to_i64(made),
            timestamp: if faults.silent {
                timestamp - SILENT_STAKE_AGE_MS
            } else {
                last_block_ms.unwrap_or(-1)
            },
            url: (block >= 0).then(|| self.urls.get(peer).cloned()).flatten(),
        };
        (!faults.unregistered).then_some(entry)
    }
}
