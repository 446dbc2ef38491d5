//! The agent as a program that watches a simulated network of many peers, and what that costs: CPU a poll, memory, how well the
//! schedule is kept, the start, a scrape. Beside it, at the same rate on the same core, a bare exchange of the same
//! bytes, and the blackbox exporter on the same HTTP targets.
//!
//! `cargo bench --bench fleet -- 100 1000` measures those sizes alone; with `BENCH_SHORT` set, only small sizes and few rounds.
//! Nothing is judged.

mod agent;
mod blackbox;
mod exchange;
mod floor;
#[path = "../support/machine.rs"]
mod machine;
mod network;
mod program;
mod report;
mod spread;
#[path = "../support/wire.rs"]
mod wire;

use std::time::Duration;

use anyhow::Context;
use convex_peer_monitor::peer::Transport;

use agent::Agent;
use blackbox::Blackbox;
use floor::Floor;
use machine::{Machine, busy_seconds};
use network::SimulatedNetwork;
use program::Cores;
use report::Report;
use tokio::time::Instant;

/// From one poll of a target to its next.
const INTERVAL: Duration = Duration::from_secs(10);
const SIZES: [usize; 3] = [100, 1_000, 10_000];
const SHORT_SIZES: [usize; 2] = [100, 1_000];
/// Intervals that are measured one by one.
const ROUNDS: usize = 5;
const SHORT_ROUNDS: usize = 2;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, rest @ ..] = &arguments[..]
        && role == floor::ROLE
    {
        return floor::play(rest);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("not run: 'cargo bench --bench fleet' measures");
        return Ok(());
    }
    // Each connection of the blackbox exporter's callers and each listener needs a descriptor.
    rlimit::increase_nofile_limit(u64::MAX).context("more file descriptors")?;
    let short = std::env::var_os("BENCH_SHORT").is_some();
    let mut sizes = Vec::new();
    for size in arguments.iter().filter(|argument| *argument != "--bench") {
        sizes.push(
            size.parse()
                .with_context(|| format!("{size:?} is no number of peers"))?,
        );
    }
    if sizes.is_empty() {
        sizes.extend(if short { &SHORT_SIZES[..] } else { &SIZES });
    }
    let rounds = if short { SHORT_ROUNDS } else { ROUNDS };
    // One thread: the programs that it starts would be killed with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(&sizes, rounds))?;
    let file = machine::write_json("fleet.json", &report)?;
    println!(
        "{}\n\nthe rounds are in {}",
        report.markdown(),
        file.display()
    );
    Ok(())
}

async fn measure(sizes: &[usize], rounds: usize) -> anyhow::Result<Report> {
    let machine = Machine::here().await?;
    let cores = Cores::divide()?;
    let (began, busy) = (Instant::now(), busy_seconds()?);
    let (mut rows, mut scrapes) = (Vec::new(), Vec::new());
    for size in sizes {
        for transport in [Transport::Tcp, Transport::Http] {
            let network = SimulatedNetwork::start(*size).await?;
            eprintln!("{size} peers over {transport}: the agent");
            let agent = Agent::start(&cores, &network, transport).await?;
            let row = agent.watch(rounds).await?;
            scrapes.extend(agent.scrapes(&row).await?);
            rows.push(row);
            drop(agent);

            eprintln!("{size} peers over {transport}: a bare exchange");
            let turns = network.turns(transport).await?;
            let floor = Floor::start(&cores, *size, &turns).await?;
            rows.push(floor.measure(transport, rounds).await?);
            drop(floor);

            if transport == Transport::Http {
                eprintln!("{size} peers over {transport}: the blackbox exporter");
                let blackbox = Blackbox::start(&cores, &network).await?;
                rows.push(blackbox.measure(rounds).await?);
            }
        }
    }
    let all = began.elapsed().as_secs_f64() * f64::from(machine.cores);
    Ok(Report {
        busy_percent: 100.0 * (busy_seconds()? - busy) / all,
        pinned: cores.pinned(),
        machine,
        rows,
        scrapes,
    })
}
