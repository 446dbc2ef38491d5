//! Cells and orders that were read before are neither requested nor verified again.

use std::sync::Arc;

use cad3::Cell;
use convex_client::belief::{
    Belief, BeliefCache, BeliefError, Held, SignedError, read_belief, read_belief_cached,
};

use super::built::{Source, belief, belief_of, block, key, order, sign};

fn blocks(count: i64) -> Cell {
    Cell::vector((0..count).map(|i| sign(1, &block(i, 1))))
}

/// Reads a belief with `cache`, and returns how many cells were requested.
async fn read(belief: &Cell, cache: &Arc<BeliefCache>) -> (Belief, usize) {
    let mut source = Source::new(belief);
    let (_, read) = read_belief_cached(&mut source, &[], cache).await.unwrap();
    (read, source.requested)
}

#[tokio::test]
async fn only_what_is_new_is_requested() {
    // An order of four blocks stands alone, one of a single block in the cell with its signature.
    for count in [1, 4] {
        let cache = Arc::default();
        let first = belief_of(1..=100, 1, &blocks(count));
        let (_, all) = read(&first, &cache).await;
        assert!(all > 100, "{count} blocks: {all}");
        let (again, requested) = read(&first, &cache).await;
        assert_eq!(requested, 0, "{count} blocks");
        let mut source = Source::new(&first);
        let (_, expected) = read_belief(&mut source, &[]).await.unwrap();
        assert_eq!(again, expected, "as if nothing had been known");

        let signed = |peer, time| (key(peer), sign(peer, &order(time, &blocks(count))));
        let changed = (1..=100).map(|peer| signed(peer, if peer == 3 { 2 } else { 1 }));
        let (changed, requested) = read(&belief(changed), &cache).await;
        assert!((2..=6).contains(&requested), "{count} blocks: {requested}");
        let times = changed.orders.values().map(|it| it.timestamp_ms);
        assert_eq!(times.sum::<i64>(), 101);

        cache.forget_unused();
        cache.forget_unused();
        assert_eq!(read(&first, &cache).await.1, all, "all is forgotten");
    }
}

#[tokio::test]
async fn a_known_order_under_another_key_proves_nothing() {
    let cache = Arc::default();
    let honest = sign(2, &order(1, &blocks(1)));
    read(&belief([(key(2), honest.clone())]), &cache).await;
    let (found, _) = read(&belief([(key(3), honest)]), &cache).await;
    let expected = SignedError::WrongSigner { signer: key(2) };
    assert_eq!(found.held(&key(3)), Held::Rejected(expected));
}

#[tokio::test]
async fn what_proves_nothing_proves_nothing_the_next_time() {
    let cache = Arc::default();
    let forged = Cell::signed(&key(2), &[1; 64], order(1, &blocks(1)));
    let forged = belief([(key(2), forged)]);
    for _ in 0..2 {
        let (found, _) = read(&forged, &cache).await;
        let expected = Held::Rejected(SignedError::BadSignature);
        assert_eq!(found.held(&key(2)), expected);
    }
}

#[tokio::test]
async fn another_cell_than_the_requested_one_is_not_known_afterwards() {
    let cache = Arc::default();
    let honest = belief_of(1..=8, 1, &blocks(1));
    let [signed, other] = [1, 2].map(|time| sign(3, &order(time, &blocks(1))));
    let mut liar = Source::new(&honest);
    liar.instead.insert(signed.hash(), Some(other));
    let error = read_belief_cached(&mut liar, &[], &cache)
        .await
        .unwrap_err();
    assert!(matches!(error, BeliefError::WrongHash { .. }), "{error}");
    let (found, _) = read(&honest, &cache).await;
    assert!(matches!(found.held(&key(3)), Held::Order(it) if it.hash == signed.hash()));
}
