//! What a snapshot says about whether a transaction may be sent. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use cad3::Hash;

use crate::config::{Canary, Role};
use crate::fleet::{ConsensusVerdict, Evidence, NetworkSnapshot, PeerRecord, Snapshot};

use super::gate::{Facts, LedgerState, NextUpgrade, PeerState};

/// Returns the facts about a network and the peer of it that a transaction would be sent through;
/// the account is not known yet.
pub(super) fn facts(
    snapshot: &Snapshot,
    network: &NetworkSnapshot,
    record: &PeerRecord,
    canary: &Canary,
    wall: SystemTime,
) -> Facts {
    let verdict = &network.verdict;
    let protocol = verdict.protocol.as_ref();
    Facts {
        peer: if record.in_maintenance(wall) {
            PeerState::Maintenance
        } else if record.last_poll.is_good() {
            PeerState::Answers
        } else {
            PeerState::Down
        },
        order: verdict.order,
        ledger: if verdict.is_reset == Evidence::Proven {
            LedgerState::Reset
        } else if verdict.split == Evidence::Proven
            || verdict.difference.is_some()
            || has_several_histories(&verdict.consensus)
        {
            LedgerState::Forked
        } else {
            LedgerState::One
        },
        next_upgrade: match protocol.map(|protocol| protocol.pending.first()) {
            None => NextUpgrade::Unknown,
            Some(None) => NextUpgrade::None,
            Some(Some(upgrade)) => NextUpgrade::At(upgrade.takes_effect()),
        },
        own_stake: own_stake(snapshot, network),
        last_foreign_block: last_foreign_block(&verdict.consensus),
        allow_idle: canary.allow_idle,
        overloaded_until: None,
        last_sent: None,
        account: None,
    }
}

fn has_several_histories(consensus: &ConsensusVerdict) -> bool {
    let histories = consensus.histories.as_ref();
    histories.is_some_and(|histories| histories.groups.len() > 1)
}

/// Returns the share of the registered stake that the operator's own peers hold, those of other
/// shards included.
fn own_stake(snapshot: &Snapshot, network: &NetworkSnapshot) -> Option<f64> {
    let total = network.verdict.stake_copper.filter(|total| *total > 0)?;
    let peers = snapshot.peers.iter().chain(&snapshot.others);
    let own =
        peers.filter(|record| record.peer.network == network.name && record.peer.role == Role::Own);
    // By key, because two endpoints can be of one peer.
    let own: BTreeMap<Hash, i64> = own
        .filter_map(|record| {
            let stake = record.stake.as_ref()?;
            Some((record.own_key()?, stake.registered.stake_copper()))
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    let share = own.values().sum::<i64>() as f64 / total as f64;
    Some(share)
}

/// Returns the date of the last final block that has a transaction of somebody else.
fn last_foreign_block(consensus: &ConsensusVerdict) -> Option<SystemTime> {
    let production = consensus.production.as_ref()?;
    let blocks = production.last.iter();
    let foreign = blocks.filter(|block| block.is_final && block.transactions > block.of_canary);
    let newest_ms = foreign.map(|block| block.timestamp_ms).max()?;
    let since_epoch = Duration::from_millis(u64::try_from(newest_ms).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests {
    use crate::fleet::{LastBlock, Production};

    use super::*;

    #[test]
    fn only_final_blocks_with_transactions_of_others_count() {
        let block = |seconds: i64, transactions, of_canary, is_final| LastBlock {
            index: 0,
            maker: Hash::new([1; 32]),
            timestamp_ms: seconds * 1_000,
            transactions,
            of_canary,
            is_final,
            finality_seconds: None,
        };
        for (what, blocks, expected) in [
            ("no block", vec![], None),
            ("one of others", vec![block(5, 1, 0, true)], Some(5)),
            ("the canary's own", vec![block(5, 1, 1, true)], None),
            ("one shared", vec![block(5, 2, 1, true)], Some(5)),
            ("an empty one", vec![block(5, 0, 0, true)], None),
            ("one that is not final", vec![block(5, 1, 0, false)], None),
            (
                "the newest",
                vec![
                    block(5, 1, 0, true),
                    block(9, 1, 0, true),
                    block(12, 1, 1, true),
                ],
                Some(9),
            ),
        ] {
            let consensus = ConsensusVerdict {
                production: Some(Production {
                    last: blocks,
                    ..Production::default()
                }),
                ..ConsensusVerdict::default()
            };
            let expected = expected.map(|it| SystemTime::UNIX_EPOCH + Duration::from_secs(it));
            assert_eq!(last_foreign_block(&consensus), expected, "{what}");
        }
        assert_eq!(last_foreign_block(&ConsensusVerdict::default()), None);
    }
}
