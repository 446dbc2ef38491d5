//! A minority that has final blocks which the others do not have.

use std::process::Command;

use convex_client::belief::{Comparison, Difference, compare_histories};
use tokio::time::Instant;

use super::{Watch, condition, firing, of_network};
use crate::belief::{client, own_order};
use crate::network::{Network, Options};
use crate::prometheus::Prometheus;
use crate::{TIMEOUT, is, of};

/// Number of blocks that all peers have, and that each part of the network adds to them.
const COMMON: i64 = 8;
const APART: i64 = 6;

#[tokio::test]
async fn a_real_peer_whose_final_blocks_the_others_replaced_is_forked() {
    let mut network = a_forked_network().await;
    let difference = first_difference(&mut network).await;
    assert_eq!(difference.index, u64::try_from(COMMON).unwrap());

    let peers = network.all();
    let watch = Watch::start_often(&peers, &peers).await;
    let prometheus = Prometheus::start(&watch.agent.address).await;
    watch.agent.until(&condition(3, "forked"), is(1.0)).await;
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let index = difference.index as f64;
    let first = of("convex_peer_fork_first_block", 3, "");
    watch.agent.until(&first, is(index)).await;
    watch
        .agent
        .until(&of_network("convex_network_histories", ""), is(2.0))
        .await;
    let alert = "ALERTS{alertname=\"ConvexPeerForked\",alertstate=\"firing\",peer=\"peer-3\"}";
    prometheus.wait_for(alert, is(1.0)).await;
    assert_eq!(prometheus.value(&firing("ConvexPeerForked")).await, 1.0);
    assert_eq!(prometheus.value(&firing("ConvexNetworkSplit")).await, 0.0);
    the_report_has_both_blocks(&watch, &difference).await;
    the_evidence_is_kept(&watch, &difference).await;

    // Long enough for anything else to be concluded from the walks.
    watch.walks(0, 12).await;
    let accused = watch.accused().await;
    let accused: Vec<_> = accused.iter().map(|(peer, it)| (&**peer, &**it)).collect();
    assert_eq!(accused, [("peer-3", "forked")]);
}

/// Starts four peers, of which the last is frozen while the others go on from older stores, past
/// all that it has.
async fn a_forked_network() -> Network {
    let options = Options {
        no_url: true,
        ..Options::new(4)
    };
    let mut network = Network::launch_with(options).await;
    blocks(&mut network, COMMON, 4).await;
    let older = tempfile::tempdir().unwrap();
    let copy = |index: usize| older.path().join(index.to_string());
    for index in 0..3 {
        network.peers[index].end().await;
        std::fs::copy(network.store(index), copy(index)).unwrap();
    }
    network.restart_all(0..3).await;
    blocks(&mut network, COMMON + APART, 3).await;

    network.peers[3].signal("-STOP");
    for index in 0..3 {
        network.peers[index].end().await;
        std::fs::copy(copy(index), network.store(index)).unwrap();
    }
    network.restart_all(0..3).await;
    // Further than the frozen one is.
    blocks_of_makers(&mut network, COMMON + 2 * APART, 3).await;
    network.peers[3].signal("-CONT");
    network
}

/// Lets the first `makers` peers make a block in turn, until all four have so many final ones.
async fn blocks(network: &mut Network, count: i64, makers: usize) {
    blocks_of_makers(network, count, makers).await;
    final_blocks(network, 3, count).await;
}

/// Lets the first `makers` peers make a block in turn, until these have so many final ones.
async fn blocks_of_makers(network: &mut Network, count: i64, makers: usize) {
    for maker in (0..makers).cycle() {
        let mut client = client(&network.peers[maker].tcp());
        let order = own_order(&mut client, |order| order.points.pending() == 0).await;
        if order.points.finality >= count {
            break;
        }
        network.peers[maker].command("tx (def made 1)").await;
    }
    for maker in 0..makers {
        final_blocks(network, maker, count).await;
    }
}

/// Waits until a peer has so many final blocks.
async fn final_blocks(network: &Network, peer: usize, count: i64) {
    let mut client = client(&network.peers[peer].tcp());
    own_order(&mut client, |order| order.points.finality >= count).await;
}

/// Returns the first difference between the orders of the first and the last peer.
async fn first_difference(network: &mut Network) -> Difference {
    let mut clients = [0, 3].map(|index| client(&network.peers[index].tcp()));
    let mut orders = Vec::new();
    for client in &mut clients {
        orders.push(own_order(client, |_| true).await);
    }
    let deadline = Instant::now() + TIMEOUT;
    let [mut one, mut other] = clients.each_mut().map(|client| client.cells(deadline));
    let compared = compare_histories(
        (&orders[0].blocks, &mut one),
        (&orders[1].blocks, &mut other),
    );
    match compared.await {
        Ok(Comparison::Different(difference)) => *difference,
        same => panic!("the peers have one history: {same:?}"),
    }
}

async fn the_report_has_both_blocks(watch: &Watch, difference: &Difference) {
    let consensus = watch.consensus().await;
    let fork = &consensus["histories"]["groups"][1]["fork"];
    assert_eq!(fork["block"], difference.index, "{consensus:#}");
    for (side, hash) in difference.hashes.iter().enumerate() {
        assert_eq!(fork["blocks"][side]["hash"], hash.to_string(), "{fork:#}");
    }
}

/// The file has valid signatures, and names the block.
async fn the_evidence_is_kept(watch: &Watch, difference: &Difference) {
    let file = watch.agent.dir.path().join("config.yml");
    let evidence = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_convex-peer-monitor"));
        let program = program.arg("evidence").args(arguments).arg("--config");
        let output = program.arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let deadline = Instant::now() + TIMEOUT;
    let line = loop {
        let list = evidence(&["list"]);
        if let Some(line) = list.lines().find(|line| line.contains(" forked ")) {
            break line.to_owned();
        }
        assert!(Instant::now() < deadline, "no evidence is kept: {list}");
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    };
    assert!(
        line.contains(" local ") && line.contains(" peer-3 "),
        "{line}"
    );
    assert!(line.ends_with(" valid"), "{line}");
    let id = line.split(' ').next().unwrap();
    let exported: serde_json::Value = serde_json::from_str(&evidence(&["export", id])).unwrap();
    assert_eq!(exported["compared"][0]["index"], difference.index);
}
