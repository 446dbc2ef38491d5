//! Faults of the history and of the registry, as clients see them.

use convex_client::chain::{Registry, RegistryReader};
use convex_client::{OrderPoints, StatePair};
use convex_simulator::{Network, Simulation};

use crate::support::contract::prober;
use crate::support::simulated::{network, options};
use crate::support::until;

use super::{figures, pinned, poll};

/// Reads the registry from peer `i`.
async fn registry(network: &Network, i: usize) -> Registry {
    let mut prober = prober(&pinned(network, i));
    let mut reader = RegistryReader::default();
    while let Some(query) = reader.next_query() {
        reader.handle_answer(prober.ask(&query).await).unwrap();
    }
    reader.finish().unwrap()
}

async fn state(network: &Network, i: usize) -> (OrderPoints, StatePair) {
    let (order, answer) = figures(network, i).await;
    (order, answer.state_pair().unwrap())
}

#[tokio::test]
async fn a_minority_fork_stands_at_one_block_while_the_others_go_on() {
    let network = network(4, &["minority-fork=1003:2"], Some("50ms")).await;
    until("the fork is reached", async || {
        state(&network, 2).await.1.block == 1003
    })
    .await;
    let (order, stood) = state(&network, 2).await;
    assert_eq!(order.finality, 1004);
    until("the others go on", async || {
        state(&network, 1).await.1.block > 1010
    })
    .await;
    assert_eq!(state(&network, 2).await.1, stood);
}

#[tokio::test]
async fn both_halves_of_a_split_go_on_with_a_state_each() {
    let network = network(4, &["fork=1000:50%"], Some("50ms")).await;
    until("each peer has a block of its own half", async || {
        let states = [1, 2, 3, 4].map(|i| state(&network, i));
        let states = futures_util::future::join_all(states).await;
        states.iter().all(|(_, state)| state.block > 1003)
    })
    .await;
    until("the halves are compared at one block", async || {
        let states = [1, 2, 3, 4].map(|i| state(&network, i));
        let states = futures_util::future::join_all(states).await;
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| states[i].1);
        let same_block = [b, c, d].iter().all(|state| state.block == a.block);
        if same_block {
            assert_eq!((a.hash, c.hash), (b.hash, d.hash));
            assert_ne!(a.hash, c.hash);
        }
        same_block
    })
    .await;
}

#[tokio::test]
async fn a_restart_closes_the_connections_and_goes_back_to_an_older_state() {
    let network = network(2, &["restart=900:2:2s"], None).await;
    let mut prober = prober(&pinned(&network, 2));
    let (_, before) = state(&network, 1).await;
    prober.poll().await;
    let mut reconnects = 0;
    until("the peer has an older state", async || {
        let observation = prober.poll().await;
        reconnects += observation
            .endpoints
            .iter()
            .map(|it| it.attempt.reconnects)
            .sum::<u32>();
        let found = observation.endpoints[1].attempt.state_pair();
        found.is_some_and(|found| found.block < before.block)
    })
    .await;
    // On a busy machine the one over HTTP may be so old that it is replaced, which is no reconnect.
    assert!(reconnects >= 1, "{reconnects}");
    let (order, fallen) = state(&network, 2).await;
    assert!(
        order.finality < 1000 && order.block == order.finality,
        "{order:?}"
    );
    until("it catches up", async || {
        state(&network, 2).await.1.block > fallen.block
    })
    .await;
    assert_eq!(state(&network, 1).await.1, before);
}

#[tokio::test]
async fn strangers_with_little_stake_claim_a_block_that_does_not_exist() {
    const CLAIM: i64 = 1 << 62;
    let claim = format!("claim={CLAIM}:3-4");
    let network = network(4, &[&claim, "stake=0.01:3-4"], None).await;
    let (order, claimed) = state(&network, 3).await;
    assert_eq!((order.finality, claimed.block), (CLAIM + 1, CLAIM));
    assert_eq!(state(&network, 4).await.1, claimed);
    network.make_block(1);
    until("the stake is on chain", async || {
        let registry = registry(&network, 1).await;
        let stakes = [1, 3].map(|i| registry.peers[&network.key(i)].own_copper);
        stakes[0] > 66_600_000_000_000 && (10_000_000..20_000_000).contains(&stakes[1])
    })
    .await;
}

#[tokio::test]
async fn an_unregistered_peer_answers_and_is_in_no_registry() {
    let network = network(3, &["unregistered:2:1s"], None).await;
    until("the peer has left the registry of all", async || {
        let found = [registry(&network, 1).await, registry(&network, 2).await];
        found
            .iter()
            .all(|registry| registry.is_registered(&network.key(2)) == Some(false))
    })
    .await;
    let (_, record) = poll(&network, 2).await;
    assert_eq!(record.last_poll.up(), Some(true));
    assert_eq!(figures(&network, 2).await.1.registered_peers, Some(2));
}

#[tokio::test]
async fn random_traffic_advances_every_peer_and_a_late_one_later() {
    let network = network(3, &["late=20s:3"], Some("random:20ms")).await;
    until("blocks are made", async || {
        state(&network, 1).await.1.block > 1005
    })
    .await;
    assert!(state(&network, 3).await.1.block < 999);
}

#[tokio::test]
async fn a_simulation_without_sockets_is_the_same_network() {
    let faults = ["fork=990:2", "lag=3:3"];
    let network = network(4, &faults, None).await;
    let start = std::time::SystemTime::now();
    let mut simulation = Simulation::new(options(4, &faults, None), start).unwrap();
    assert_eq!(simulation.genesis(), network.genesis());
    let at = std::time::Duration::from_secs(1);
    for i in 1..=4 {
        assert_eq!(simulation.key(i), network.key(i));
        assert_eq!(
            simulation.order(i, at),
            figures(&network, i).await.0,
            "peer {i}"
        );
        let block = state(&network, i).await.1.block;
        assert_eq!(simulation.state_pair(i, at).block, block, "peer {i}");
    }
}
