//! Peers that join, catch up, restart or are newly registered: nobody is accused.

use std::collections::BTreeSet;

use tokio::time::{Duration, Instant, sleep};

use super::Watch;
use crate::network::{Network, Options};
use crate::{TIMEOUT, is, of};

/// Stake of the peer that is registered while it is watched, in copper: more than a third of what
/// the others have, so that one who had to hold its order and did not would be isolated.
const STAKE: &str = "90000000000000";

/// Walks that are enough to accuse somebody: an order is expected a minute after it was seen, and
/// is missing twice, half a minute apart.
const ENOUGH: usize = 11;

/// Walks between two events.
const FEW: usize = 3;

/// What a peer is that has fewer blocks than others, or than it had.
const BEHIND: [&str; 3] = ["lagging", "receding", "finality_lost"];

#[tokio::test]
async fn nobody_is_accused_while_real_peers_join_catch_up_restart_and_are_registered() {
    for _ in 0..3 {
        let mut network = a_network_of_four_and_one().await;
        let watch = events(&mut network).await;
        let accused = accused(&watch).await;
        if accused.is_empty() {
            everybody_was_judged(&watch).await;
            return;
        }
        let lost = lost(&mut network).await;
        assert!(!lost.is_empty(), "{accused:?} while all peers are well");
        eprintln!("real peers have died inside, starting others: {lost:?}");
    }
    panic!("real peers died inside in three networks");
}

/// Lets all of it happen, with a few walks after each event, and after the last for so long that
/// somebody could be accused.
async fn events(network: &mut Network) -> Watch {
    let peers = network.all();
    // The fourth has not started yet: it has no state.
    forget(network, 3).await;
    let watch = Watch::start_often(&peers, &peers[..4]).await;
    for peer in [0, 1, 2, 4] {
        let up = of("convex_peer_health", peer, ",state=\"up\"");
        watch.agent.until(&up, is(1.0)).await;
    }
    restart(network, 3).await;
    register(network, 4).await;
    blocks_and_walks(network, &watch, FEW).await;

    forget(network, 2).await;
    restart(network, 2).await;
    blocks_and_walks(network, &watch, FEW).await;
    network.peers[1].end().await;
    restart(network, 1).await;
    blocks_and_walks(network, &watch, ENOUGH).await;
    watch
}

/// Starts five peers, of which four are in the genesis and make a block.
async fn a_network_of_four_and_one() -> Network {
    let options = Options {
        no_url: true,
        genesis: Some(4),
        ..Options::new(5)
    };
    let mut network = Network::launch_with(options).await;
    for peer in &mut network.peers[..4] {
        peer.command("tx (def begun 1)").await;
    }
    network
}

/// Ends a peer and deletes its store.
async fn forget(network: &mut Network, index: usize) {
    network.peers[index].end().await;
    std::fs::remove_file(network.store(index)).unwrap();
}

/// Starts a peer again, and lets all dial each other, as peers with addresses on chain do.
async fn restart(network: &mut Network, index: usize) {
    network.restart(index).await;
    join(network).await;
}

async fn join(network: &mut Network) {
    for peer in &mut network.peers {
        peer.command("join").await;
    }
}

/// Registers a peer that follows the network, and lets the others dial it.
async fn register(network: &mut Network, index: usize) {
    let key = network.peers[index].key().to_owned();
    let transaction = format!("tx (create-peer {key} {STAKE})");
    network.peers[2].command(&transaction).await;
    let is_registered = format!("q (get (:peers *state*) {key})");
    for peer in 0..index {
        let deadline = Instant::now() + TIMEOUT;
        while network.peers[peer].command(&is_registered).await == "OK nil" {
            assert!(Instant::now() < deadline, "peer {peer} does not catch up");
            sleep(Duration::from_millis(250)).await;
        }
    }
    join(network).await;
}

/// Makes blocks until all peers are up and the first was walked so often, or somebody is accused.
///
/// The peers that have just started make none: one that makes a block while it catches up could get
/// a history of its own. And none are made while a peer ends: released peers that wait for its data
/// can die of it inside.
async fn blocks_and_walks(network: &mut Network, watch: &Watch, count: usize) {
    let deadline = Instant::now() + TIMEOUT;
    let mut walks = watch.walk_times(0).await;
    // The first one may have been there before.
    let enough = walks.len() + count + 1;
    loop {
        // Without the votes of a peer that has just started it may take longer than a client waits.
        let _ = network.peers[0].attempt("tx (def made 1)").await;
        walks.extend(watch.walk_times(0).await);
        let is_done = walks.len() >= enough && watch.up().await == network.peers.len();
        if is_done || !accused(watch).await.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "walked: {walks:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

/// Returns what peers were accused of. To be behind while it catches up is no accusation.
async fn accused(watch: &Watch) -> BTreeSet<(String, String)> {
    let mut accused = watch.accused().await;
    accused.retain(|(_, condition)| !BEHIND.contains(&condition.as_str()));
    accused
}

/// Returns what ended inside of peers.
async fn lost(network: &mut Network) -> Vec<String> {
    let mut lost = Vec::new();
    for peer in &mut network.peers {
        lost.push(peer.attempt("well").await);
    }
    lost.retain(|answer| answer != "OK");
    lost
}

async fn everybody_was_judged(watch: &Watch) {
    for peer in 0..4 {
        let heard = of("convex_peer_heard_stake_ratio", peer, "");
        watch.agent.until(&heard, is(1.0)).await;
    }
}
