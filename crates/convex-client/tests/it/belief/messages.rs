//! Messages of signed orders and blocks, which prove themselves.

use std::sync::Arc;

use cad3::{Cell, encode, vlq};
use convex_client::belief::{ProvenBlock, SignedError, SignedOrder, read_belief, read_blocks};

use super::built::{Source, belief, block, key, order, sign};

/// The messages of an order of this many blocks, and of its last block.
async fn messages(count: i64, transactions: u8) -> (Arc<SignedOrder>, Vec<u8>) {
    let signed = |i| sign(7, &block(1000 + i, transactions));
    let blocks = Cell::vector((0..count).map(signed));
    let signed = sign(1, &order(5000, &blocks));
    let mut source = Source::new(&belief([(key(1), signed)]));
    let (_, found) = read_belief(&mut source, &[]).await.unwrap();
    let order = found.orders[&key(1)].clone();
    let read = read_blocks(&mut source, &order.blocks, 0..u64::MAX).await;
    let last = read.unwrap().pop().unwrap();
    (order, last.block.unwrap().message)
}

#[tokio::test]
async fn the_message_of_an_order_proves_it_whatever_its_number_of_blocks() {
    for count in [1, 2, 4, 16, 17, 19, 48, 64, 65, 300] {
        let (order, _) = messages(count, 1).await;
        let again = SignedOrder::from_message(&order.message);
        assert_eq!(again.as_ref(), Ok(order.as_ref()), "{count}");
    }
}

#[tokio::test]
async fn the_message_of_a_block_proves_its_maker_and_its_time_whatever_its_size() {
    for transactions in [0, 1, 2, 40] {
        let (_, message) = messages(3, transactions).await;
        let proven = ProvenBlock::from_message(&message).unwrap();
        assert_eq!((proven.maker, proven.timestamp_ms), (key(7), 1002));
        let signed = sign(7, &block(1002, transactions));
        assert_eq!(proven.hash, signed.hash(), "{transactions}");
    }
}

#[tokio::test]
async fn a_message_with_any_other_byte_proves_nothing() {
    // Two blocks are embedded in the order; the order of four is a branch.
    for count in [2, 4] {
        let (order, block) = messages(count, 1).await;
        for at in 0..order.message.len() {
            let mut altered = order.message.clone();
            altered[at] ^= 1;
            assert!(SignedOrder::from_message(&altered).is_err(), "{count} {at}");
        }
        for at in 0..block.len() {
            let mut altered = block.clone();
            altered[at] ^= 1;
            assert!(ProvenBlock::from_message(&altered).is_err(), "{count} {at}");
        }
    }
}

#[tokio::test]
async fn what_is_not_the_message_of_one_signed_value_is_refused_with_the_reason() {
    let (order, block) = messages(4, 1).await;
    let signed = sign(1, &Cell::integer(7));
    let mut longer = order.message.clone();
    let branch = encode(&Cell::blob(&[1; 200]));
    vlq::write(branch.len() as u64, &mut longer);
    longer.extend(branch);
    let alone = order.message[..1 + 32 + 64 + 33].to_vec();
    for (message, expected) in [
        (Vec::new(), "it does not decode"),
        (longer, "it does not decode"),
        (alone, "the signed value is missing"),
        (
            encode(&Cell::integer(7)),
            "it is not signed data with a key",
        ),
        (encode(&signed), "it is not an order of three fields"),
        (block, "it is not an order of three fields"),
    ] {
        let error = SignedOrder::from_message(&message).unwrap_err();
        assert_eq!(error, SignedError::Malformed(expected));
    }
    assert_eq!(
        ProvenBlock::from_message(&order.message),
        Err(SignedError::Malformed("it is not a block of two fields"))
    );
}
