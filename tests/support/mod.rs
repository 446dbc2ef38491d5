//! Code shared by the tests: a running agent, scripted peers, and the contract that every peer must
//! meet.

pub(crate) mod agent;
pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod contract;
pub(crate) mod fake;
pub(crate) mod fleet;
pub(crate) mod pace;
pub(crate) mod polls;
pub(crate) mod ports;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod services;
pub(crate) mod simulated;
pub(crate) mod tls;

use std::time::Duration;

use fake::FakePeer;

/// Longest wait for something that must happen, on however busy a machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// Waits until `condition` holds, checking it every 20 ms; panics after [`DEADLINE`].
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, waiting).await.is_ok();
    assert!(in_time, "not within {DEADLINE:?}: {what}");
}

/// Lets the time of tokio pass, and none of it while something waits for the network.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Runs `request`, which `peer` leaves waiting, and lets `time` pass as soon as the peer has sent
/// all that it will send.
pub(crate) async fn let_hang<T>(
    peer: &FakePeer,
    time: Duration,
    request: impl Future<Output = T>,
) -> T {
    let mut handled = peer.handled();
    let mut request = std::pin::pin!(request);
    tokio::select! {
        biased;
        _ = &mut request => panic!("the peer does not leave the request waiting"),
        changed = handled.changed() => changed.unwrap(),
    }
    pass(time).await;
    request.await
}
