//! What it costs to read beliefs: bytes, time, and CPU of the agent and of a real peer.
//!
//! A network of four real peers, and simulated networks of 4 and 64. One client at a time walks one
//! peer after the other on open connections, as the agent does between its polls.

#[path = "../support/machine.rs"]
#[expect(dead_code, reason = "some of it is for the other benchmarks")]
mod machine;
#[path = "../guide/peer.rs"]
#[expect(dead_code, reason = "some of it is for the other benchmarks")]
mod peer;
#[path = "../fleet/program.rs"]
#[expect(dead_code, reason = "some of it is for the other benchmarks")]
mod program;
#[path = "../support/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use convex_client::belief::{BeliefCache, read_belief_cached};
use convex_client::{ClientOptions, Endpoint, TcpClient, Transport};
use convex_peer_monitor::config;
use procfs::process::Process;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use machine::{Machine, cpu_of};
use peer::RealPeer;
use program::{Program, ReadyOn};
use wire::Relay;

/// The program that simulates networks, as built by `cargo bench`.
const PROGRAM: &str = env!("CARGO_BIN_EXE_convex-peer-monitor");

/// First ports of the simulated networks, each of which takes two for each peer.
const PORTS: [u16; 4] = [27_000, 27_200, 27_400, 27_600];

/// How long each way is measured, and how long it is warmed up.
const LENGTH: Duration = Duration::from_secs(5);

/// Longest time of one walk.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Transactions that real peers make before they are walked, each with a block.
const TRANSACTIONS: usize = 20;

/// What the agent knows when it begins a walk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    /// Nothing: the first walk.
    Nothing,
    /// All that was read a round before, while the network made no blocks.
    All,
    /// Orders of one round before, while the network made blocks, and of other peers.
    Others,
}

impl Known {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing is known",
            Self::All => "nothing is new",
            Self::Others => "all orders are new, other peers were walked",
        }
    }
}

/// The peers of one network, which are walked in turn.
struct Walks {
    clients: Vec<TcpClient>,
    cache: Arc<BeliefCache>,
    known: Known,
}

impl Walks {
    fn new(peers: &[SocketAddr], known: Known) -> anyhow::Result<Self> {
        let client = |address: &SocketAddr| {
            let endpoint = Endpoint::parse(&format!("tcp://{address}"))?;
            Ok(TcpClient::new(&endpoint, &ClientOptions::default()))
        };
        let clients = peers.iter().map(client).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            clients,
            cache: Arc::default(),
            known,
        })
    }

    /// Walks each peer once. Returns how long each walk took, and the number of orders in the last
    /// belief.
    async fn round(&mut self) -> anyhow::Result<(Vec<Duration>, usize)> {
        self.cache.forget_unused();
        let (mut took, mut orders) = (Vec::new(), 0);
        for client in &mut self.clients {
            if self.known == Known::Nothing {
                self.cache = Arc::default();
            }
            let began = Instant::now();
            let mut cells = client.cells(began + TIMEOUT);
            let (_, belief) = read_belief_cached(&mut cells, &[], &self.cache).await?;
            took.push(began.elapsed());
            orders = belief.orders.len();
        }
        if self.known == Known::Others {
            // Until every peer has signed again.
            sleep(Duration::from_millis(1500)).await;
        }
        Ok((took, orders))
    }
}

/// Figures of one way to walk a network, each for one walk.
struct Figures {
    orders: usize,
    requests: f64,
    sent: f64,
    received: f64,
    p50_us: f64,
    client_cpu_us: f64,
    peer_cpu_us: Option<f64>,
}

/// Measures walks of `peers`. `peer_cpu` returns the CPU time of the peers so far, of which they
/// take `idle` seconds a second anyway.
async fn measure(
    peers: &[SocketAddr],
    known: Known,
    peer_cpu: Option<(&dyn Fn() -> anyhow::Result<f64>, f64)>,
) -> anyhow::Result<Figures> {
    let (requests, sent, received) = bytes(peers, known).await?;
    let mut walks = Walks::new(peers, known)?;
    let mut warm_up = Instant::now() + LENGTH;
    if known == Known::Others {
        warm_up = Instant::now();
    }
    walks.round().await?;
    while Instant::now() < warm_up {
        walks.round().await?;
    }
    let myself = Process::myself()?;
    let cpu_so_far = || peer_cpu.map(|(cpu, _)| cpu()).transpose();
    let (client_before, peer_before) = (cpu_of(&myself)?, cpu_so_far()?);
    let (began, mut took, mut orders) = (Instant::now(), Vec::new(), 0);
    let length = if known == Known::Others {
        4 * LENGTH
    } else {
        LENGTH
    };
    while began.elapsed() < length {
        let (walked, found) = walks.round().await?;
        took.extend(walked);
        orders = found;
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let walked = f64::from(u32::try_from(took.len())?);
    let us = |seconds: f64| seconds / walked * 1e6;
    let peer_cpu_us = match (peer_cpu, peer_before, cpu_so_far()?) {
        (Some((_, idle)), Some(before), Some(after)) => Some(us(after - before - idle * seconds)),
        _ => None,
    };
    Ok(Figures {
        orders,
        requests,
        sent,
        received,
        p50_us: took[took.len() / 2].as_secs_f64() * 1e6,
        client_cpu_us: us(cpu_of(&myself)? - client_before),
        peer_cpu_us,
    })
}

/// Counts requests and bytes of one walk through relays, which are not used when times are
/// measured.
async fn bytes(peers: &[SocketAddr], known: Known) -> anyhow::Result<(f64, f64, f64)> {
    let mut relays = Vec::new();
    for peer in peers {
        relays.push(Relay::start(*peer).await?);
    }
    let addresses: Vec<SocketAddr> = relays.iter().map(|relay| relay.address).collect();
    let mut walks = Walks::new(&addresses, known)?;
    walks.round().await?;
    for relay in &relays {
        drop(relay.take());
    }
    walks.round().await?;
    let turns: Vec<_> = relays.iter().flat_map(Relay::take).collect();
    let of_one = |sum: usize| -> anyhow::Result<f64> {
        Ok(f64::from(u32::try_from(sum)?) / f64::from(u32::try_from(peers.len())?))
    };
    Ok((
        of_one(turns.len())?,
        of_one(turns.iter().map(|turn| turn.request.len()).sum())?,
        of_one(turns.iter().map(|turn| turn.reply.len()).sum())?,
    ))
}

/// A simulated network in a process of its own. Returns the addresses of its peers too.
async fn simulated(
    peers: usize,
    traffic: &[&str],
    port: u16,
) -> anyhow::Result<(Program, Vec<SocketAddr>, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("simulated.yml");
    let mut command = Command::new(PROGRAM);
    command
        .args(["simulate", "--peers", &peers.to_string()])
        .args(["--listen-base", &port.to_string()])
        .args(traffic)
        .arg("--write-config")
        .arg(&file);
    let written = |line: &str| line.starts_with("to monitor it").then_some(());
    let (program, ()) = Program::start(command, ReadyOn::Stdout, written).await?;
    let config = config::load(&file, &|_| None)?;
    let endpoints = config.peers.iter().flat_map(|peer| &peer.endpoints);
    let addresses = endpoints
        .filter(|endpoint| endpoint.transport() == Transport::Tcp)
        .map(|endpoint| format!("{}:{}", endpoint.host(), endpoint.port()).parse())
        .collect::<Result<_, _>>()?;
    Ok((program, addresses, dir))
}

async fn real(table: &mut Table) -> anyhow::Result<()> {
    let mut peer = RealPeer::start(4, &[]).await?;
    for _ in 0..TRANSACTIONS {
        peer.command("tx (def walked 1)").await?;
    }
    sleep(Duration::from_secs(2)).await;
    let (began, before) = (Instant::now(), peer.cpu()?);
    sleep(LENGTH).await;
    let idle = (peer.cpu()? - before) / began.elapsed().as_secs_f64();
    let cpu = || peer.cpu();
    for known in [Known::Nothing, Known::All] {
        let figures = measure(&[peer.binary], known, Some((&cpu, idle))).await?;
        add(table, "four 0.8.0 peers", known, &figures);
    }
    peer.end().await?;

    // What they take for their blocks is much more than what the walks take, and not always the
    // same.
    let peer = RealPeer::start(4, &["--tick", "1000"]).await?;
    let figures = measure(&peer.all, Known::Others, None).await?;
    add(table, "four 0.8.0 peers", Known::Others, &figures);
    peer.end().await
}

fn add(table: &mut Table, network: &str, known: Known, figures: &Figures) {
    let whole = |figure: f64| format!("{figure:.0}");
    table.add_row([
        network.to_owned(),
        known.name().to_owned(),
        figures.orders.to_string(),
        format!("{:.1}", figures.requests),
        whole(figures.sent),
        whole(figures.received),
        whole(figures.p50_us),
        whole(figures.client_cpu_us),
        figures.peer_cpu_us.map_or_else(|| "–".to_owned(), whole),
    ]);
}

// One thread, because the peers would be killed with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not run: 'cargo bench --bench walk' measures");
        return Ok(());
    }
    let machine = Machine::here().await?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        "network",
        "before a walk",
        "orders",
        "requests",
        "bytes sent",
        "bytes received",
        "p50, µs",
        "client's CPU, µs",
        "peer's CPU, µs",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    real(&mut table).await.context("real peers")?;
    let mut ports = PORTS.into_iter();
    for peers in [4, 64] {
        for (traffic, kinds) in [
            (&[][..], &[Known::Nothing, Known::All][..]),
            (&["--traffic", "1s"][..], &[Known::Others][..]),
        ] {
            let port = ports.next().context("a port for each network")?;
            let (_program, addresses, _dir) = simulated(peers, traffic, port).await?;
            for known in kinds {
                let figures = measure(&addresses, *known, None).await?;
                add(
                    &mut table,
                    &format!("{peers} simulated peers"),
                    *known,
                    &figures,
                );
            }
        }
    }
    println!("{}\n\n{table}", machine.markdown());
    Ok(())
}
