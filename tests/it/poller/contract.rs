//! Scripted peers meet the contract of real ones.

use crate::support::contract;
use crate::support::fake::{FakePeer, Script};

#[tokio::test]
async fn scripted_peers_of_both_releases_meet_the_contract() {
    for new_api in [true, false] {
        let peer = FakePeer::start(Script {
            new_api,
            ..Script::default()
        })
        .await;
        contract::holds(
            &format!("tcp://{}", peer.tcp),
            &format!("http://{}", peer.http),
        )
        .await;
    }
}
