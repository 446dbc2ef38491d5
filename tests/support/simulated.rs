//! Simulated networks, with faults and traffic written as on the command line.

use convex_simulator::{Network, Options, Script, Traffic};

/// Starts a network on free ports, always with the same seed.
pub(crate) async fn network(peers: usize, faults: &[&str], traffic: Option<&str>) -> Network {
    Network::start(options(peers, faults, traffic))
        .await
        .unwrap()
}

/// Options of such a network.
pub(crate) fn options(peers: usize, faults: &[&str], traffic: Option<&str>) -> Options {
    Options {
        peers,
        seed: 1,
        script: Script::parse(faults.iter().copied(), peers).unwrap(),
        traffic: traffic.map(|text| Traffic::parse(text, peers).unwrap()),
        ..Options::default()
    }
}
