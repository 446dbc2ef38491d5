//! Metrics of what the orders and beliefs of peers say, from one snapshot.

use convex_client::{ORDER_LEVELS, seconds_since_epoch};

use crate::config::Role;
use crate::fleet::{ConsensusIndex, NetworkSnapshot, Production, Snapshot};

use super::catalogue::{self, Definition};
use super::networks::{each_network, size};
use super::peers::{View, peer_labels};
use super::text_format::Writer;

/// Writes the families of networks.
pub(super) fn write_networks(snapshot: &Snapshot, writer: &mut Writer<'_>) {
    each_network(snapshot, writer, &catalogue::NETWORK_HISTORIES, |network| {
        size(network.verdict.consensus.histories.as_ref()?.groups.len())
    });
    writer.family(&catalogue::NETWORK_LEVEL_STAKE, |family| {
        for network in &snapshot.networks {
            let shares = network.verdict.consensus.levels;
            for (level, share) in ORDER_LEVELS.into_iter().zip(shares.into_iter().flatten()) {
                let labels = [("network", network.name.as_str()), ("level", level)];
                family.sample(labels, share);
            }
        }
    });
    each_network(
        snapshot,
        writer,
        &catalogue::NETWORK_PENDING_AGE,
        |network| {
            let pending = production(network)?.pending.as_ref();
            Some(pending.map_or(0.0, |pending| pending.age_seconds))
        },
    );
    writer.family(&catalogue::NETWORK_TRANSACTION_RATE, |family| {
        for network in &snapshot.networks {
            if let Some(throughput) = network.throughput {
                let source = throughput.source.as_str();
                let labels = [("network", network.name.as_str()), ("source", source)];
                family.sample(labels, throughput.transactions_per_second);
            }
        }
    });
    each_network(
        snapshot,
        writer,
        &catalogue::NETWORK_FINALITY_TIME,
        |network| production(network)?.finality_seconds,
    );
    let mut each_count = |definition: &'static Definition, count: &dyn Fn(&Production) -> u64| {
        writer.family(definition, |family| {
            for network in &snapshot.networks {
                if let Some(production) = production(network) {
                    let labels = [("network", network.name.as_str())];
                    family.counting_since(network.counting_since());
                    family.integer(labels, count(production));
                }
            }
        });
    };
    each_count(&catalogue::NETWORK_TRANSACTIONS, &|it| it.transactions);
    each_count(&catalogue::NETWORK_UNREAD_BLOCKS, &|it| it.skipped);
}

fn production(network: &NetworkSnapshot) -> Option<&Production> {
    network.verdict.consensus.production.as_ref()
}

impl View<'_> {
    /// Writes what orders and beliefs say about each peer.
    pub(super) fn write_consensus(self, writer: &mut Writer<'_>) {
        let index = ConsensusIndex::new(self.snapshot.verdicts());
        self.each_peer(writer, &catalogue::FORK_FIRST_BLOCK, |family, record| {
            if let Some(block) = record.forked_at() {
                family.integer(peer_labels(record), block);
            }
        });
        self.each_peer(writer, &catalogue::HEARD_STAKE, |family, record| {
            let hearing = index.of(record).hearing;
            if let Some(share) = hearing.and_then(|hearing| hearing.heard_stake) {
                family.sample(peer_labels(record), share);
            }
        });
        self.each_peer(writer, &catalogue::BELIEF_READ, |family, record| {
            let walk = index.of(record).walk;
            if let Some((_, read)) = walk.and_then(|walk| walk.read) {
                family.sample(peer_labels(record), seconds_since_epoch(read));
            }
        });
        self.each_peer(writer, &catalogue::BLOCKS_MADE, |family, record| {
            if let Some(made) = index.of(record).blocks_made
                && (self.full || record.peer.role == Role::Own)
            {
                // They are counted of all keys, before a peer with the key is added too.
                family.counting_since(None);
                family.integer(peer_labels(record), made);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::config::Detail;
    use crate::fleet::{Heard, NetworkVerdict, example};
    use crate::metrics::{AgentFacts, Format, write_exposition};

    /// Returns the samples about orders and beliefs, without their labels `network`.
    fn samples(snapshot: &Snapshot, detail: Detail) -> Vec<String> {
        let facts = AgentFacts {
            vantage: "v".to_owned(),
            mode: crate::config::Mode::Central,
            url: None,
            shard: (1, 1),
            reload_successful: true,
            loaded: snapshot.wall,
        };
        let mut text = String::new();
        write_exposition(
            Format::Text,
            snapshot,
            &facts,
            detail,
            &Registry::new(),
            &mut |part| {
                text.push_str(part);
            },
        );
        let names = [
            "convex_network_histories",
            "convex_network_level_stake_ratio",
            "convex_network_pending_age_seconds",
            "convex_network_transactions_per_second",
            "convex_network_finality_seconds",
            "convex_network_transactions_total",
            "convex_network_unread_blocks_total",
            "convex_peer_fork_first_block",
            "convex_peer_heard_stake_ratio",
            "convex_peer_belief_read_timestamp_seconds",
            "convex_peer_blocks_made_total",
        ];
        let lines = text.lines().filter(|line| {
            names
                .iter()
                .any(|name| line.starts_with(&format!("{name}{{")))
        });
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_sound_network_has_all_but_a_fork() {
        let snapshot = example::snapshot(4, 1);
        assert_eq!(
            samples(&snapshot, Detail::Full),
            [
                "convex_peer_heard_stake_ratio{peer=\"p1\",network=\"n\"} 1",
                "convex_peer_belief_read_timestamp_seconds{peer=\"p1\",network=\"n\"} 1800000000",
                "convex_peer_blocks_made_total{peer=\"p1\",network=\"n\"} 499",
                "convex_network_histories{network=\"n\"} 1",
                "convex_network_level_stake_ratio{network=\"n\",level=\"block\"} 1",
                "convex_network_level_stake_ratio{network=\"n\",level=\"proposal\"} 1",
                "convex_network_level_stake_ratio{network=\"n\",level=\"consensus\"} 0.5",
                "convex_network_level_stake_ratio{network=\"n\",level=\"finality\"} 0",
                "convex_network_pending_age_seconds{network=\"n\"} 1",
                "convex_network_transactions_per_second{network=\"n\",source=\"orders\"} 1.5",
                "convex_network_finality_seconds{network=\"n\"} 0.25",
                "convex_network_transactions_total{network=\"n\"} 2997",
                "convex_network_unread_blocks_total{network=\"n\"} 7",
            ]
        );
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let mut snapshot = example::snapshot(4, 4);
        example::change(&mut snapshot, |verdict| {
            *verdict = NetworkVerdict::default();
        });
        snapshot.networks[0].throughput = None;
        assert_eq!(samples(&snapshot, Detail::Full), Vec::<String>::new());
    }

    #[test]
    fn a_fork_is_of_the_peer_outside_of_the_majority() {
        let mut snapshot = example::snapshot(4, 4);
        example::fork_last(&mut snapshot);
        let found = samples(&snapshot, Detail::Lean);
        let forks: Vec<_> = found.iter().filter(|line| line.contains("fork")).collect();
        assert_eq!(
            forks,
            ["convex_peer_fork_first_block{peer=\"p4\",network=\"n\"} 137"]
        );
        assert!(found.contains(&"convex_network_histories{network=\"n\"} 2".to_owned()));
    }

    #[test]
    fn the_age_of_the_next_block_is_0_without_one_and_negative_ahead_of_the_clock() {
        let mut snapshot = example::snapshot(4, 4);
        let age = |snapshot: &Snapshot| {
            let found = samples(snapshot, Detail::Full);
            let mut ages = found
                .into_iter()
                .filter(|line| line.contains("pending_age"));
            ages.next()
        };
        for (pending_age, expected) in [(Some(-300.0), "-300"), (Some(0.5), "0.5"), (None, "0")] {
            example::change_consensus(&mut snapshot, |verdict| {
                let production = verdict.production.as_mut().unwrap();
                match (pending_age, &mut production.pending) {
                    (Some(age_seconds), Some(pending)) => pending.age_seconds = age_seconds,
                    (_, pending) => *pending = None,
                }
            });
            let expected =
                format!("convex_network_pending_age_seconds{{network=\"n\"}} {expected}");
            assert_eq!(age(&snapshot), Some(expected));
        }
    }

    #[test]
    fn lean_detail_counts_the_blocks_of_own_peers_only() {
        let mut snapshot = example::snapshot(4, 2);
        let record = std::sync::Arc::make_mut(&mut snapshot.peers[1]);
        std::sync::Arc::make_mut(&mut record.peer).role = Role::Reference;
        let made = |detail| {
            let found = samples(&snapshot, detail);
            found
                .into_iter()
                .filter(|line| line.contains("made"))
                .count()
        };
        assert_eq!((made(Detail::Lean), made(Detail::Full)), (1, 2));
    }

    #[test]
    fn what_a_peer_hears_is_unknown_while_nobody_can_be_judged() {
        let mut snapshot = example::snapshot(4, 2);
        example::change_consensus(&mut snapshot, |verdict| {
            let hearing = &mut verdict.hearing[0];
            hearing.heard_stake = None;
            for cell in hearing.cells.values_mut() {
                cell.is_judged = false;
                cell.heard = Heard::Nothing;
            }
        });
        let found = samples(&snapshot, Detail::Full);
        let heard: Vec<_> = found.iter().filter(|line| line.contains("heard")).collect();
        assert_eq!(
            heard,
            ["convex_peer_heard_stake_ratio{peer=\"p2\",network=\"n\"} 1"]
        );
    }
}
