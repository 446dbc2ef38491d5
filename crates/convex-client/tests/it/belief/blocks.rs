//! Reading single blocks of an order.

use cad3::Cell;
use convex_client::belief::{BeliefError, Blocks, SignedError, read_belief, read_blocks};

use super::built::{Source, belief_of, block, key, sign};

/// A peer whose order has these blocks.
async fn peer(blocks: &Cell) -> (Source, Blocks) {
    let mut source = Source::new(&belief_of([0], 1, blocks));
    let (_, belief) = read_belief(&mut source, &[]).await.unwrap();
    source.requests = 0;
    (source, belief.orders[&key(0)].blocks.clone())
}

#[tokio::test]
async fn blocks_have_their_maker_time_and_number_of_transactions() {
    for count in [1, 2, 4, 16, 17, 19, 48, 64, 65, 300] {
        let signed = |i: u32| sign(i % 3, &block(1000 + i64::from(i), (i % 20) as u8));
        let (mut source, blocks) = peer(&Cell::vector((0..count).map(signed))).await;
        assert_eq!(blocks.count(), u64::from(count));
        let last = u64::from(count.saturating_sub(100))..u64::MAX;
        let read = read_blocks(&mut source, &blocks, last.clone())
            .await
            .unwrap();
        assert_eq!(read.len(), count.min(100) as usize, "{count} blocks");
        for (found, index) in read.iter().zip(last) {
            let i = u32::try_from(index).unwrap();
            assert_eq!((found.index, found.hash), (index, signed(i).hash()));
            let block = found.block.as_ref().unwrap();
            assert_eq!(block.maker, key(i % 3));
            assert_eq!(block.timestamp_ms, 1000 + i64::from(i));
            assert_eq!(block.transactions, u64::from(i % 20));
            let message = cad3::decode_message(&block.message, &cad3::Limits::default()).unwrap();
            assert_eq!(message.top, signed(i));
        }
        assert!(source.requests <= 6, "{count}: {}", source.requests);
    }
}

#[tokio::test]
async fn a_block_that_proves_nothing_is_reported_for_what_it_is() {
    let honest = block(5, 1);
    let forged = Cell::signed(&key(1), &[7; 64], honest.clone());
    let no_block = sign(1, &Cell::vector([Cell::integer(5), Cell::vector([])]));
    let no_time = sign(1, &Cell::record(0xd6, [Cell::Nil, Cell::vector([])]));
    let no_transactions = sign(1, &Cell::record(0xd6, [Cell::integer(5), Cell::map([])]));
    let all = [forged, Cell::integer(1), no_block, no_time, no_transactions];
    let (mut source, blocks) = peer(&Cell::vector(all)).await;
    let read = read_blocks(&mut source, &blocks, 0..5).await.unwrap();
    let errors: Vec<_> = read
        .into_iter()
        .map(|read| read.block.unwrap_err())
        .collect();
    assert_eq!(
        errors,
        [
            SignedError::BadSignature,
            SignedError::Malformed("it is not signed data with a key"),
            SignedError::Malformed("it is not a block of two fields"),
            SignedError::Malformed("the time of the block is not an integer"),
            SignedError::Malformed("the transactions of the block are not a vector"),
        ]
    );
}

#[tokio::test]
async fn blocks_that_the_peer_does_not_have_are_gone() {
    let vector = Cell::vector((0..40).map(|i| sign(1, &block(i, 1))));
    let (mut source, blocks) = peer(&vector).await;
    let first = sign(1, &block(0, 1));
    let hash = first.hash();
    source.instead.insert(hash, None);
    let result = read_blocks(&mut source, &blocks, 0..1).await;
    // A signed block of one transaction is longer than 140 bytes, so it is a cell of its own.
    assert_eq!(result, Err(BeliefError::Gone { hash }));
}

#[tokio::test]
async fn positions_that_the_order_does_not_have_are_left_out() {
    let vector = Cell::vector((0..3).map(|i| sign(1, &block(i, 1))));
    let (mut source, blocks) = peer(&vector).await;
    for (range, expected) in [(0..9, 3), (2..3, 1), (3..9, 0), (9..10, 0)] {
        let read = read_blocks(&mut source, &blocks, range.clone())
            .await
            .unwrap();
        assert_eq!(read.len(), expected, "{range:?}");
    }
}
