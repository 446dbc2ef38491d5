//! Beliefs, orders and blocks of real peers.

use std::time::Duration;

use convex_client::belief::{
    Belief, BeliefHead, Comparison, Held, SignedOrder, compare_histories, read_belief, read_blocks,
};
use convex_client::{ClientOptions, Endpoint, TcpClient};
use tokio::time::{Instant, sleep};

use super::TIMEOUT;
use super::network::{Options, RealPeer};

pub(crate) fn client(endpoint: &str) -> TcpClient {
    let endpoint = Endpoint::parse(endpoint).unwrap();
    TcpClient::new(&endpoint, &ClientOptions::default())
}

async fn belief(client: &mut TcpClient) -> (BeliefHead, Belief) {
    let mut cells = client.cells(Instant::now() + TIMEOUT);
    let read = read_belief(&mut cells, &[]).await.unwrap();
    assert!(read.1.rejected.is_empty(), "{:?}", read.1.rejected);
    assert_eq!(read.1.unread(), 0);
    read
}

/// Reads the belief until `reached` holds for the peer's own order.
pub(crate) async fn own_order(
    client: &mut TcpClient,
    reached: impl Fn(&SignedOrder) -> bool,
) -> SignedOrder {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (head, belief) = belief(client).await;
        if let Held::Order(order) = belief.held(&head.status.peer_key)
            && reached(order)
        {
            return order.clone();
        }
        assert!(Instant::now() < deadline, "the order does not get there");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends transactions one after another until the peer has this many blocks, all of them final.
async fn order_of(peer: &mut RealPeer, client: &mut TcpClient, blocks: i64) -> SignedOrder {
    loop {
        let order = own_order(client, |order| order.points.pending() == 0).await;
        if order.points.block >= blocks {
            return order;
        }
        peer.command("tx (+ 1 2)").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_and_blocks_of_a_real_peer_are_valid_at_every_shape_of_its_order() {
    let mut peer = RealPeer::start(Options::new(1), None).await;
    let mut client = client(&peer.tcp());
    // The peer registers its URL with its first block.
    for count in [1, 4, 16, 17, 19, 48, 64, 65] {
        let order = order_of(&mut peer, &mut client, count).await;
        assert_eq!(order.points.by_level(), [count; 4]);
        assert_eq!(order.key, peer.key().parse().unwrap());
        let mut cells = client.cells(Instant::now() + TIMEOUT);
        let read = read_blocks(&mut cells, &order.blocks, 0..u64::MAX).await;
        let read = read.unwrap();
        assert_eq!(i64::try_from(read.len()), Ok(count));
        let blocks: Vec<_> = read.into_iter().map(|read| read.block.unwrap()).collect();
        assert!(blocks.is_sorted_by_key(|block| block.timestamp_ms));
        for block in blocks {
            assert_eq!((block.maker, block.transactions), (order.key, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_real_peer_has_heard_itself_alone() {
    let options = Options {
        isolate: Some(3),
        ..Options::new(4)
    };
    let mut peers = RealPeer::start(options, None).await;
    let mut clients: Vec<_> = peers.all().iter().map(|peer| client(&peer.tcp())).collect();
    let keys: Vec<cad3::Hash> = (peers.all().iter())
        .map(|peer| peer.key().parse().unwrap())
        .collect();
    for _ in 0..20 {
        peers.command("tx (+ 1 2)").await;
    }
    let (_, alone) = belief(&mut clients[3]).await;
    assert_eq!(alone.orders.keys().collect::<Vec<_>>(), [&keys[3]]);
    let deadline = Instant::now() + TIMEOUT;
    let heard = loop {
        let (_, belief) = belief(&mut clients[0]).await;
        if belief.orders.len() == 3 && belief.orders.values().all(|it| it.points.block >= 20) {
            break belief;
        }
        assert!(
            Instant::now() < deadline,
            "the peers do not hear each other"
        );
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(heard.held(&keys[3]), Held::Nothing);

    let [first, second, ..] = &mut clients[..] else {
        panic!("four peers");
    };
    let mut orders = Vec::new();
    for client in [&mut *first, &mut *second] {
        orders.push(own_order(client, |order| order.points.finality >= 20).await);
    }
    let deadline = Instant::now() + TIMEOUT;
    let [mut first, mut second] = [first.cells(deadline), second.cells(deadline)];
    let compared = compare_histories(
        (&orders[0].blocks, &mut first),
        (&orders[1].blocks, &mut second),
    );
    let compared = compared.await;
    assert!(
        matches!(compared, Ok(Comparison::Same { blocks }) if blocks >= 20),
        "{compared:?}"
    );
}
