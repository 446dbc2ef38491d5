//! The contract of every peer, held by scripted ones.

use crate::support;

#[tokio::test]
async fn the_contract_holds_of_scripted_peers_of_both_releases() {
    for new_api in [true, false] {
        let peer = support::fake::FakePeer::start(support::fake::Script {
            new_api,
            ..support::fake::Script::default()
        })
        .await;
        support::contract::holds(
            &format!("tcp://{}", peer.tcp),
            &format!("http://{}", peer.http),
        )
        .await;
    }
}
