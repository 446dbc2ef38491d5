//! The stake of the peer, as registered on chain.

use crate::fleet::Condition;
use crate::web::pages::format::{cvm, number, percent};

use super::{Entry, PeerFacts, time_of_ms};

impl PeerFacts<'_> {
    pub(super) fn stake(&self) -> Vec<Entry> {
        let Some(stake) = &self.record.stake else {
            return Vec::new();
        };
        let registered = &stake.registered;
        let source = &self.chain_source();
        let has = |condition| self.record.conditions.contains(&condition);
        let mut entries = vec![
            Entry::new("Own", cvm(registered.own_copper), source)
                .problem_if(has(Condition::OwnStakeLow)),
            Entry::new(
                "Above the eviction limit",
                cvm(registered.eviction_margin()),
                source,
            )
            .problem_if(has(Condition::OwnStakeLow)),
            Entry::new("Delegated", cvm(registered.delegated_copper), source),
            Entry::new("Decay", percent(stake.decay), source)
                .problem_if(has(Condition::WeightDecayed)),
        ];
        if let Some(weight) = stake.weight {
            entries.push(Entry::new(
                "Part of the network's weight",
                percent(weight),
                source,
            ));
        }
        let last_block = match registered.last_block_ms {
            None => "none yet".to_owned(),
            Some(ms) => time_of_ms(ms).map_or_else(|| number(ms), |at| self.utc(at)),
        };
        entries.push(Entry::new("Last block made", last_block, source));
        if let Some(controller) = registered.controller {
            let balance = stake
                .controller_balance
                .map(|copper| format!(", has {}", cvm(copper)))
                .unwrap_or_default();
            entries.push(
                Entry::new("Controller", format!("#{controller}{balance}"), source)
                    .problem_if(has(Condition::ControllerBalanceLow)),
            );
        }
        entries
    }
}
