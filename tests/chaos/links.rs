//! The network of the agent is cut and throttled. The agent has its own network namespace, with one
//! link to the peers and one to the test.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::aftermath::Before;
use super::agent::Agent;
use super::network::Network;
use super::peers::relays;
use super::{last, system, until};

const PEERS: usize = 20;

/// A network namespace, which exists as long as the process in it.
struct Namespace(Child);

impl Namespace {
    async fn new() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "3600"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let there = format!("/proc/{}/ns/net", child.id().unwrap());
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("the namespace exists", async || {
            std::fs::read_link(&there).is_ok_and(|there| there != here)
        })
        .await;
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().unwrap().to_string()
    }

    async fn run(&self, command: &str) {
        system(&format!("nsenter -t {} -n {command}", self.pid())).await;
    }

    /// Adds a link from `NAME0` here, with 10.N.0.1, to `NAME1` in the namespace, with 10.N.0.2.
    async fn link(&self, name: &str, net: u8) {
        let pid = self.pid();
        system(&format!(
            "ip link add {name}0 type veth peer name {name}1 netns {pid}"
        ))
        .await;
        system(&format!("ip address add 10.{net}.0.1/24 dev {name}0")).await;
        system(&format!("ip link set {name}0 up")).await;
        self.run(&format!("ip address add 10.{net}.0.2/24 dev {name}1"))
            .await;
        self.run(&format!("ip link set {name}1 up")).await;
    }
}

#[tokio::test]
async fn all_peers_recover_from_a_cut_a_blackholed_and_a_slow_link() {
    let dir = tempfile::tempdir().unwrap();
    let network = Network::start(dir.path(), PEERS).await;
    let agents = Namespace::new().await;
    agents.run("ip link set lo up").await;
    agents.link("peers", 77).await;
    agents.link("ours", 78).await;
    let _relays = relays("10.77.0.1", PEERS).await;
    let config = network.config().replace("//127.0.0.1:", "//10.77.0.1:");
    let (pid, address) = (agents.pid(), "10.78.0.2:18880");
    let within = ["nsenter", "-t", &pid, "-n"];
    let mut agent = Agent::start_within(dir.path(), &config, &within, address).await;
    let before = Before::fault(&agent, PEERS).await;

    let none_up = async || agent.peers_up().await == 0;
    let all_up = async || agent.peers_up().await == PEERS;
    system("ip link set peers0 down").await;
    until("all peers are down with the link", none_up).await;
    last(10).await;
    assert!(agent.is_healthy().await);
    system("ip link set peers0 up").await;
    until("all peers are up with the link", all_up).await;

    agents.run("ip route add blackhole 10.77.0.1/32").await;
    until("all peers are down in the blackhole", none_up).await;
    last(10).await;
    assert!(agent.is_healthy().await);
    agents.run("ip route del blackhole 10.77.0.1/32").await;
    until("all peers are up without the blackhole", all_up).await;

    // The polls need about 50 kbit/s.
    agents
        .run("tc qdisc add dev peers1 root tbf rate 16kbit burst 1600 latency 400ms")
        .await;
    until("some peers are down over the slow link", async || {
        agent.peers_up().await < PEERS
    })
    .await;
    last(10).await;
    assert!(agent.is_healthy().await);
    agents.run("tc qdisc del dev peers1 root").await;

    before
        .restored(&mut agent, "link down, blackhole, 16 kbit/s")
        .await;
}
