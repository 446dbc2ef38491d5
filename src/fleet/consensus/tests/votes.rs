//! Votes, levels, and who makes the blocks.

use std::time::Duration;

use crate::fleet::Production;
use crate::fleet::consensus::facts::{BlockFacts, BlocksFacts, MadeBlock};
use crate::fleet::consensus::production::ProductionWatch;
use crate::fleet::consensus::round::MAX_BLOCKS_IN_ROUND;

use super::{Net, key, name};

#[test]
fn the_levels_are_the_stake_behind_the_first_block_after_the_head() {
    for (orders, expected) in [
        // Nothing is pending: the head itself.
        ([[8, 8, 8, 8]; 4], Some((7, [1.0, 1.0, 1.0, 1.0]))),
        // One peer has made a block, then others vote for it.
        (
            [[9, 8, 8, 8], [8, 8, 8, 8], [8, 8, 8, 8], [8, 8, 8, 8]],
            Some((8, [0.25, 0.0, 0.0, 0.0])),
        ),
        (
            [[9, 9, 9, 8], [9, 9, 8, 8], [9, 9, 8, 8], [8, 8, 8, 8]],
            Some((8, [0.75, 0.75, 0.25, 0.0])),
        ),
        // Final for a quarter is not final for more than a third.
        (
            [[9, 9, 9, 9], [9, 9, 9, 8], [9, 9, 9, 8], [9, 9, 9, 8]],
            Some((8, [1.0, 1.0, 1.0, 0.25])),
        ),
        ([[0, 0, 0, 0]; 4], None),
    ] {
        let mut net = Net::new("a25 b25 c25 d25");
        for (peer, points) in ['a', 'b', 'c', 'd'].into_iter().zip(orders) {
            net.sign(peer, points, None);
        }
        net.round();
        let verdict = net.verdict();
        let found = verdict.deciding.zip(verdict.levels);
        assert_eq!(found, expected, "{orders:?}");
    }
}

#[test]
fn orders_of_another_history_have_no_part_in_the_levels() {
    let mut net = Net::new("a25 b25 c25 d25");
    net.sign('d', [500; 4], Some((20, 'd')));
    net.round();
    let verdict = net.verdict();
    assert_eq!(verdict.deciding, Some(99));
    assert_eq!(verdict.levels, Some([0.75; 4]));
}

#[test]
fn votes_are_of_registered_peers_whether_watched_or_not_and_become_too_old() {
    let mut net = Net::new("a40 b30* c20* d10");
    net.peer('d').is_heard = false;
    net.round();
    let votes = net.verdict().votes;
    let found: Vec<_> = votes
        .iter()
        .map(|vote| (name(&vote.key), vote.stake, vote.held_by))
        .collect();
    assert_eq!(
        found,
        [
            ('a', Some(0.4), (2, 2)),
            ('b', Some(0.3), (2, 2)),
            ('c', Some(0.2), (2, 2)),
            ('d', Some(0.1), (2, 2)),
        ]
    );
    let first_seen = votes[0].first_seen;
    net.round();
    assert_eq!(net.verdict().votes[0].first_seen, first_seen, "idle");
    net.peer('a').fails = true;
    net.peer('d').fails = true;
    (0..2).for_each(|_| net.round());
    assert_eq!(net.verdict().votes.len(), 4);
    net.round();
    assert_eq!(net.verdict().votes, []);
    assert_eq!(net.verdict().histories, None);
    assert_eq!(net.verdict().hearing, []);
}

#[test]
fn only_an_order_that_changed_proves_that_an_unwatched_peer_is_alive() {
    let mut net = Net::new("a40 b30* c30*");
    let changed = |net: &Net| {
        let changed = net.watch.changed_recently(net.now());
        changed.map(|key| name(&key)).collect::<String>()
    };
    net.round();
    assert_eq!(changed(&net), "", "it is not known when it signed that");
    net.sign('b', [101; 4], None);
    net.round();
    assert_eq!(changed(&net), "b");
    (0..2).for_each(|_| net.round());
    assert_eq!(changed(&net), "b");
    net.round();
    assert_eq!(changed(&net), "", "it may have been gone since");
}

/// Blocks up to `end`, of which so many are final, with a maker each in turn and its index as
/// number of transactions, made a second apart.
fn blocks(range: std::ops::Range<u64>, finality: u64) -> BlocksFacts {
    let block = |index: u64| BlockFacts {
        index,
        made: Some(MadeBlock {
            maker: key(['a', 'b'][usize::try_from(index % 2).unwrap()]),
            timestamp_ms: 1_000_000_000 + i64::try_from(index).unwrap() * 1_000,
            transactions: index,
            of_canary: 0,
        }),
    };
    BlocksFacts {
        finality,
        blocks: range.map(block).collect(),
        skipped: 0,
    }
}

fn read(net: &mut Net, blocks: BlocksFacts) -> Production {
    net.blocks = Some(blocks);
    net.pass(1.0);
    net.verdict().production.unwrap()
}

#[test]
fn each_block_is_counted_once_when_it_is_final() {
    let mut net = Net::new("a50 b50");
    let first = read(&mut net, blocks(0..5, 4));
    assert_eq!(first.transactions, 0, "made before the agent started");
    let second = read(&mut net, blocks(3..7, 6));
    assert_eq!(second.transactions, 4 + 5);
    assert_eq!(second.made[&key('a')], 1);
    let same = read(&mut net, blocks(5..7, 6));
    assert_eq!(
        (same.transactions, same.made),
        (second.transactions, second.made)
    );
    let skipped = BlocksFacts {
        skipped: 13,
        ..blocks(19..21, 21)
    };
    let third = read(&mut net, skipped);
    assert_eq!((third.transactions, third.skipped), (9 + 19 + 20, 13));
    let indices: Vec<u64> = third.last.iter().map(|block| block.index).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 19, 20]);
    assert!(third.last.iter().all(|block| block.is_final));
    assert_eq!(third.pending, None);
}

#[test]
fn transactions_of_the_canary_are_no_throughput() {
    let mut net = Net::new("a50 b50");
    let with_canary = |range, finality| {
        let mut blocks = blocks(range, finality);
        for made in blocks.blocks.iter_mut().filter_map(|it| it.made.as_mut()) {
            made.of_canary = 1;
        }
        blocks
    };
    read(&mut net, with_canary(0..5, 5));
    let found = read(&mut net, with_canary(4..8, 8));
    assert_eq!(found.transactions, (5 + 6 + 7) - 3);
    assert_eq!(found.transactions_per_second, Some(15.0 / 60.0));
    let last = found.last.last().unwrap();
    assert_eq!((last.transactions, last.of_canary), (7, 1));
}

#[test]
fn transactions_a_second_are_those_of_the_last_five_minutes_that_were_all_read() {
    let mut net = Net::new("a50 b50");
    let rate =
        |net: &mut Net, range, finality| read(net, blocks(range, finality)).transactions_per_second;
    assert_eq!(rate(&mut net, 0..10, 10), None, "one reading is no rate");
    // Blocks 10 to 12 have as many transactions.
    assert_eq!(rate(&mut net, 9..13, 13), Some(33.0 / 60.0));
    for minutes in 2..=5 {
        let expected = 33.0 / (60.0 * f64::from(minutes));
        assert_eq!(rate(&mut net, 12..13, 13), Some(expected));
    }
    assert_eq!(rate(&mut net, 12..13, 13), Some(0.0));
    let skipped = BlocksFacts {
        skipped: 3,
        ..blocks(19..21, 21)
    };
    assert_eq!(read(&mut net, skipped).transactions_per_second, None);
}

#[test]
fn the_time_to_final_is_by_the_clock_of_the_maker_and_of_new_blocks_only() {
    for (points, signed_after, finality, expected) in [
        ([12, 12, 12, 12], 300, 12, Some(0.3)),
        // Something is pending, so the order has changed since.
        ([13, 12, 12, 12], 300, 12, None),
        // Another peer made the block.
        ([11, 11, 11, 11], 300, 12, None),
        // Final before the last reading.
        ([10, 10, 10, 10], 300, 12, None),
        // Dated later than it was final.
        ([12, 12, 12, 12], -300, 12, None),
    ] {
        let mut net = Net::new("a50 b50");
        read(&mut net, blocks(0..10, 10));
        let [.., last] = points;
        // The peer `b` makes the blocks with odd indices.
        net.sign('b', points, None);
        let dated_ms = 1_000_000_000 + (last - 1) * 1_000;
        net.peer('b').order.facts.signed_ms = dated_ms + signed_after;
        let found = read(&mut net, blocks(9..12, finality));
        assert_eq!(
            found.finality_seconds, expected,
            "{points:?} {signed_after}"
        );
        let of_block = |production: &Production| {
            let mut blocks = production.last.iter();
            let block = blocks.find(|block| i64::try_from(block.index) == Ok(last - 1));
            block.and_then(|block| block.finality_seconds)
        };
        assert_eq!(of_block(&found), expected, "{points:?} {signed_after}");
        // It is known still when the block is read once more.
        let again = read(&mut net, blocks(9..12, finality));
        assert_eq!(of_block(&again), expected, "{points:?} {signed_after}");
    }
}

#[test]
fn the_oldest_pending_block_is_no_older_than_the_one_before_it() {
    for (timestamps, finality, expected) in [
        ([10, 20, 30], 2, Some((2, 70.0))),
        ([10, 20, 15], 2, Some((2, 80.0))),
        ([10, 20, 30], 1, Some((1, 80.0))),
        ([10, 20, 30], 3, None),
        // Dated ahead of the clock: the peers wait until then.
        ([10, 20, 400], 2, Some((2, -300.0))),
    ] {
        let mut net = Net::new("a50 b50");
        let now_ms = (net.now_s() + 60) * 1_000;
        let mut read_blocks = blocks(0..3, finality);
        for (block, seconds) in read_blocks.blocks.iter_mut().zip(timestamps) {
            block.made = Some(MadeBlock {
                maker: key('a'),
                timestamp_ms: now_ms - 100_000 + seconds * 1_000,
                transactions: 1,
                of_canary: 0,
            });
        }
        let production = read(&mut net, read_blocks);
        let pending = production.pending;
        let found = pending.map(|pending| (pending.block.index, pending.age_seconds));
        assert_eq!(found, expected, "{timestamps:?}");
    }
}

#[test]
fn a_block_that_proves_nothing_is_made_by_nobody() {
    let mut net = Net::new("a50 b50");
    read(&mut net, blocks(0..2, 2));
    let mut unproven = blocks(1..4, 4);
    unproven.blocks[1].made = None;
    let production = read(&mut net, unproven);
    assert_eq!(production.transactions, 3);
    let indices: Vec<u64> = production.last.iter().map(|block| block.index).collect();
    assert_eq!(indices, [0, 1, 3]);
}

#[test]
fn a_round_reads_what_is_new_and_what_is_too_much_is_left_out() {
    let mut net = Net::new("a50 b50");
    let production = |net: &Net| net.watch.production().clone();
    assert_eq!(production(&net).to_read(40), (0..40, 0));
    assert_eq!(production(&net).to_read(5_000), (4_899..5_000, 0));
    read(&mut net, blocks(90..100, 98));
    let known: ProductionWatch = production(&net);
    assert_eq!(
        known.to_read(100),
        (97..100, 0),
        "pending ones are read again"
    );
    assert_eq!(
        known.to_read(98),
        (97..98, 0),
        "one shows that nothing is new"
    );
    assert_eq!(
        known.to_read(50),
        (50..50, 0),
        "another order, which is shorter"
    );
    let (range, skipped) = known.to_read(5_000);
    assert_eq!(range, 5_000 - MAX_BLOCKS_IN_ROUND..5_000);
    assert_eq!(98 + skipped, range.start);
    assert!(
        known
            .verdict(net.now() + Duration::from_secs(179))
            .is_some()
    );
    assert!(
        known
            .verdict(net.now() + Duration::from_secs(180))
            .is_none()
    );
}
