//! Comparing the blocks of two orders.

use cad3::{Cell, Hash};
use convex_client::belief::{
    BeliefError, Blocks, Comparison, Side, SignedError, compare_histories, compare_histories_at,
    read_belief,
};
use proptest::prelude::*;

use super::built::{Source, belief_of, block, key, order, sign};

/// A peer whose order has these blocks.
async fn peer(number: u32, blocks: &Cell) -> (Source, Blocks) {
    let mut source = Source::new(&belief_of([number], 1, blocks));
    let (_, belief) = read_belief(&mut source, &[]).await.unwrap();
    (source.requests, source.requested) = (0, 0);
    (source, belief.orders[&key(number)].blocks.clone())
}

/// Blocks that are cheap to make. Some are embedded in their node.
fn stand_ins(numbers: impl IntoIterator<Item = u32>) -> Cell {
    let stand_in = |number: u32| match number % 3 {
        0 => Cell::integer(number.into()),
        _ => Cell::blob(&number.to_be_bytes().repeat(50)),
    };
    Cell::vector(numbers.into_iter().map(stand_in))
}

fn levels(count: usize) -> usize {
    let mut levels = 1;
    while count > 16_usize.pow(u32::try_from(levels).unwrap()) {
        levels += 1;
    }
    levels
}

/// Checks that the first difference of two lists is found, in a bounded number of rounds.
fn check(left: &[u32], right: &[u32]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let vectors = [left, right].map(|numbers| stand_ins(numbers.iter().copied()));
        let (mut left_peer, left_blocks) = peer(1, &vectors[0]).await;
        let (mut right_peer, right_blocks) = peer(2, &vectors[1]).await;
        let result = compare_histories(
            (&left_blocks, &mut left_peer),
            (&right_blocks, &mut right_peer),
        );
        let result = result.await.unwrap();
        let first = left.iter().zip(right).position(|(a, b)| a != b);
        match (result, first) {
            (Comparison::Same { blocks }, None) => {
                assert_eq!(blocks, left.len().min(right.len()) as u64);
            }
            (Comparison::Different(difference), Some(first)) => {
                assert_eq!(difference.index, first as u64);
                let elements = vectors
                    .each_ref()
                    .map(|vector| vector.as_elements().unwrap());
                let hashes = elements.map(|elements| elements.get(first).unwrap().hash());
                assert_eq!(difference.hashes, hashes);
            }
            (result, first) => panic!("{result:?} instead of {first:?}"),
        }
        // The root, what is before its tail, a node of each level, and the block itself.
        let most = levels(left.len().max(right.len())) + 2;
        for peer in [left_peer, right_peer] {
            assert!(peer.requests <= most, "{} of {most} rounds", peer.requests);
            assert!(peer.requested <= most, "{} of {most} cells", peer.requested);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_first_difference_of_any_two_lists_is_found(
        left in 0..700_usize,
        right in 0..700_usize,
        differs in proptest::option::of(0..700_usize),
    ) {
        let list = |length: usize, other: u32| -> Vec<u32> {
            let length = u32::try_from(length).unwrap();
            let from = differs.map_or(u32::MAX, |at| u32::try_from(at).unwrap());
            (0..length).map(|i| if i >= from { i + other } else { i }).collect()
        };
        check(&list(left, 0), &list(right, 1_000_000));
    }

    #[test]
    fn a_single_other_block_in_lists_of_any_length_is_found(
        left in 1..700_usize,
        right in 1..700_usize,
        at in any::<prop::sample::Index>(),
    ) {
        let mut lists = [left, right].map(|length| (0..length).map(|i| u32::try_from(i).unwrap()).collect::<Vec<_>>());
        let at = at.index(left.min(right));
        lists[1][at] = 77_777;
        check(&lists[0], &lists[1]);
    }
}

#[test]
fn lists_at_the_edges_of_nodes_are_aligned() {
    for left in [1, 15, 16, 17, 32, 256, 257, 272, 273, 4112] {
        for right in [17, 272, 4097] {
            let numbers = |length: u32| (0..length).collect::<Vec<_>>();
            let (left, mut right) = (numbers(left), numbers(right));
            check(&left, &right);
            let last = left.len().min(right.len()) - 1;
            right[last] = 99_999;
            check(&left, &right);
        }
    }
}

#[tokio::test]
async fn a_fork_has_both_blocks_with_their_makers_and_times() {
    let blocks = |fork: i64| {
        Cell::vector((0..150).map(|i| {
            let (maker, shift) = if i >= 137 { (3, fork) } else { (1, 0) };
            sign(maker, &block(i + shift, 2))
        }))
    };
    let (mut left, left_blocks) = peer(1, &blocks(1000)).await;
    let (mut right, right_blocks) = peer(2, &blocks(2000)).await;
    let result = compare_histories((&left_blocks, &mut left), (&right_blocks, &mut right)).await;
    let Ok(Comparison::Different(difference)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(difference.index, 137);
    let blocks = difference.blocks.map(|block| block.unwrap().unwrap());
    let facts = blocks.map(|block| (block.maker, block.timestamp_ms, block.transactions));
    assert_eq!(facts, [(key(3), 1137, 2), (key(3), 2137, 2)]);
}

#[tokio::test]
async fn two_orders_of_one_belief_are_compared_with_one_request_a_level() {
    let blocks =
        |fork: i64| Cell::vector((0..137_i64).map(|i| sign(1, &block(i + fork * (i / 100), 1))));
    let orders = [(1, blocks(0)), (2, blocks(5))];
    let belief = super::built::belief(
        orders.map(|(peer, blocks)| (key(peer), sign(peer, &order(1, &blocks)))),
    );
    let mut source = Source::new(&belief);
    let (_, belief) = read_belief(&mut source, &[]).await.unwrap();
    source.requests = 0;
    let [left, right] = [1, 2].map(|peer| &belief.orders[&key(peer)].blocks);
    let result = compare_histories_at(&mut source, left, right)
        .await
        .unwrap();
    assert!(matches!(result, Comparison::Different(it) if it.index == 100));
    assert!(source.requests <= 5, "{}", source.requests);
    let same = compare_histories_at(&mut source, left, left).await;
    assert_eq!(same, Ok(Comparison::Same { blocks: 137 }));
}

#[tokio::test]
async fn orders_whose_cells_are_missing_or_wrong_are_not_compared() {
    let (mut left, left_blocks) = peer(1, &stand_ins(0..96)).await;
    let (mut right, right_blocks) = peer(2, &stand_ins(50..146)).await;
    let root = right_blocks.hash();
    right.instead.insert(root, None);
    let gone = compare_histories((&left_blocks, &mut left), (&right_blocks, &mut right)).await;
    assert_eq!(gone, Err((Side::Right, BeliefError::Gone { hash: root })));

    let other = stand_ins(0..3);
    right.instead.insert(root, Some(other.clone()));
    let lie = compare_histories((&left_blocks, &mut left), (&right_blocks, &mut right)).await;
    let received = other.hash();
    let requested = root;
    let expected = BeliefError::WrongHash {
        requested,
        received,
    };
    assert_eq!(lie, Err((Side::Right, expected)));
}

#[tokio::test]
async fn an_order_that_claims_another_number_of_blocks_is_not_compared() {
    let blocks = stand_ins(0..96);
    let claim = |count: i64| {
        let points = super::built::points([count; 4]);
        Cell::record(0xd7, [Cell::integer(1), points, blocks.clone()])
    };
    let orders = [(1, claim(96)), (2, claim(200))];
    let belief = super::built::belief(orders.map(|(peer, order)| (key(peer), sign(peer, &order))));
    let mut source = Source::new(&belief);
    let (_, belief) = read_belief(&mut source, &[]).await.unwrap();
    let [left, right] = [1, 2].map(|peer| &belief.orders[&key(peer)].blocks);
    let (side, error) = compare_histories_at(&mut source, left, right)
        .await
        .unwrap_err();
    assert_eq!(side, Side::Right);
    assert!(error.is_invalid(), "{error}");
}

#[tokio::test]
async fn a_difference_stands_although_a_block_is_missing_or_forged() {
    let blocks = |last: &Cell| {
        let same = (0..20).map(|i| sign(1, &block(i, 1)));
        Cell::vector(same.chain([last.clone()]))
    };
    let honest = sign(1, &block(50, 3));
    let forged = Cell::signed(&key(1), &[7; 64], block(60, 3));
    let (mut left, left_blocks) = peer(1, &blocks(&honest)).await;
    let (mut right, right_blocks) = peer(2, &blocks(&forged)).await;
    // The signed block is embedded in its node, the transactions in it are not.
    let fields = block(50, 3);
    let transactions = fields.record_fields(0xd6).unwrap().get(1).unwrap();
    left.instead.insert(transactions.hash(), None);
    let result = compare_histories((&left_blocks, &mut left), (&right_blocks, &mut right)).await;
    let Ok(Comparison::Different(difference)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(difference.index, 20);
    assert_eq!(difference.hashes, [honest.hash(), forged.hash()]);
    assert_eq!(
        difference.blocks,
        [None, Some(Err(SignedError::BadSignature))]
    );
}

#[tokio::test]
async fn an_empty_order_has_the_history_of_any_other() {
    let (mut left, left_blocks) = peer(1, &Cell::vector([])).await;
    let (mut right, right_blocks) = peer(2, &stand_ins(0..9)).await;
    let result = compare_histories((&left_blocks, &mut left), (&right_blocks, &mut right)).await;
    assert_eq!(result, Ok(Comparison::Same { blocks: 0 }));
    assert_eq!(left.requests + right.requests, 0);
    assert_ne!(left_blocks.hash(), Hash::of(b""));
}
