//! Cost of an agent that watches a simulated network with many peers: CPU time per poll, memory,
//! punctuality, start, and scrapes. For comparison, at the same rate on the same core: a bare
//! exchange of the same bytes, and the blackbox exporter with the same HTTP targets.
//!
//! `cargo bench --bench fleet -- 100 1000` measures only these sizes, `limit` the largest fleet
//! that the descriptor limit allows and a larger one with two agents, `honesty` the error of the
//! reported latencies, and `soak` memory for an hour, which is not part of the default.
//! `BENCH_SHORT` reduces sizes and rounds. There is no pass or fail.

mod agent;
mod blackbox;
mod exchange;
mod floor;
mod honesty;
#[path = "../support/machine.rs"]
mod machine;
mod network;
mod program;
mod report;
mod soak;
mod spread;
#[path = "../support/wire.rs"]
mod wire;

use convex_peer_monitor::config::DescriptorLimit;
use std::time::Duration;

use anyhow::Context;
use convex_client::Transport;
use tokio::time::Instant;

use agent::Agent;
use blackbox::Blackbox;
use exchange::Turns;
use floor::Floor;
use machine::{Machine, busy_seconds};
use network::SimulatedNetwork;
use program::Cores;
use report::{ConfiguredIdentity, Report, Row, ScrapeRow};

/// Time between two polls of a target.
const INTERVAL: Duration = Duration::from_secs(10);
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Number of descriptors that an agent needs in addition to those of its peers.
const OTHER_DESCRIPTORS: usize = 700;
/// Largest fleet of this benchmark, regardless of the descriptor limit.
const MAX_PEERS: usize = 50_000;
const SHORT_SIZES: [usize; 2] = [100, 1_000];
/// Number of measured intervals.
const ROUNDS: usize = 3;
const SHORT_ROUNDS: usize = 2;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A separate process that this program started.
    match &arguments[..] {
        [role, rest @ ..] if role == floor::ROLE => return floor::play(rest),
        [role, rest @ ..] if role == honesty::ROLE => return honesty::play(rest),
        _ => {}
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("not run: 'cargo bench --bench fleet' measures");
        return Ok(());
    }
    // Each connection of the blackbox exporter's callers and each listener needs a descriptor.
    DescriptorLimit::raise().context("more file descriptors")?;
    let selected: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--bench")
        .collect();
    let short = std::env::var_os("BENCH_SHORT").is_some();
    // One thread, because programs would be killed with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if selected == ["soak"] {
        let soak = runtime.block_on(soak::soak(&Cores::divide()?, soak::MINUTES))?;
        let file = machine::write_json("soak.json", &soak)?;
        println!(
            "{}\n\nall samples are in {}",
            soak.markdown()?,
            file.display()
        );
        return Ok(());
    }
    let report = runtime.block_on(measure(&Plan::of(&selected, short)?))?;
    let file = machine::write_json("fleet.json", &report)?;
    println!(
        "{}\n\nthe rounds are in {}",
        report.markdown(),
        file.display()
    );
    Ok(())
}

/// The measurement.
#[derive(Debug)]
struct Plan {
    sizes: Vec<usize>,
    limit: bool,
    honesty: bool,
    rounds: usize,
}

impl Plan {
    fn of(selected: &[&str], short: bool) -> anyhow::Result<Self> {
        let rounds = if short { SHORT_ROUNDS } else { ROUNDS };
        if selected.is_empty() {
            let sizes = if short { &SHORT_SIZES[..] } else { &SIZES };
            return Ok(Self {
                sizes: sizes.to_vec(),
                limit: !short,
                honesty: true,
                rounds,
            });
        }
        let mut plan = Self {
            sizes: Vec::new(),
            limit: false,
            honesty: false,
            rounds,
        };
        for word in selected {
            match *word {
                "limit" => plan.limit = true,
                "honesty" => plan.honesty = true,
                size => plan.sizes.push(size.parse().with_context(|| {
                    format!("{size:?} is neither a number of peers nor limit or honesty; soak must be alone")
                })?),
            }
        }
        Ok(plan)
    }
}

async fn measure(plan: &Plan) -> anyhow::Result<Report> {
    let machine = Machine::here().await?;
    let cores = Cores::divide()?;
    let (began, busy) = (Instant::now(), busy_seconds()?);
    let (mut rows, mut scrapes, mut honesty) = (Vec::new(), Vec::new(), Vec::new());
    for size in &plan.sizes {
        for transport in [Transport::Tcp, Transport::Http] {
            measure_size(
                &cores,
                *size,
                transport,
                plan.rounds,
                &mut rows,
                &mut scrapes,
            )
            .await?;
        }
    }
    if plan.limit {
        rows.extend(measure_limit(&cores, plan.rounds).await?);
    }
    if plan.honesty {
        honesty = honesty::measure(&cores, plan.rounds).await?;
    }
    let all = began.elapsed().as_secs_f64() * f64::from(machine.cores);
    Ok(Report {
        busy_percent: 100.0 * (busy_seconds()? - busy) / all,
        pinned: cores.pinned(),
        machine,
        rows,
        scrapes,
        honesty,
    })
}

/// Measures one fleet over one transport: the agent and the comparisons.
async fn measure_size(
    cores: &Cores,
    size: usize,
    transport: Transport,
    rounds: usize,
    rows: &mut Vec<Row>,
    scrapes: &mut Vec<ScrapeRow>,
) -> anyhow::Result<()> {
    let networks = SimulatedNetwork::several(size).await?;
    let first = networks.first().context("at least one peer")?;
    eprintln!("{size} peers over {transport}: the agent");
    let agent = Agent::start(
        cores,
        &networks,
        transport,
        ConfiguredIdentity::Agent,
        "lean",
    )
    .await?;
    let row = agent.watch(rounds).await?;
    scrapes.extend(agent.scrapes(&row).await?);
    rows.push(row);
    drop(agent);

    eprintln!("{size} peers over {transport}: a bare exchange");
    let turns = Turns::of(&first.turns(transport).await?);
    let floor = Floor::start(cores, size, &turns).await?;
    rows.push(floor.measure(transport, rounds).await?);
    drop(floor);

    if transport == Transport::Http {
        eprintln!("{size} peers over {transport}: the blackbox exporter");
        let blackbox = Blackbox::start(cores, &networks).await?;
        rows.push(blackbox.measure(rounds).await?);
    }
    Ok(())
}

/// Measures as many peers over TCP as one agent can connect to, and half as many again with two
/// agents.
async fn measure_limit(cores: &Cores, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let DescriptorLimit { hard, .. } = DescriptorLimit::current();
    let most = usize::try_from(hard)?
        .saturating_sub(OTHER_DESCRIPTORS)
        .min(MAX_PEERS);
    let mut rows = Vec::new();
    {
        let networks = SimulatedNetwork::several(most).await?;
        eprintln!("{most} peers, the most for the descriptor limit: the agent");
        let agent = Agent::start(
            cores,
            &networks,
            Transport::Tcp,
            ConfiguredIdentity::Agent,
            "lean",
        )
        .await?;
        rows.push(agent.watch(rounds).await?);
    }
    let more = most + most / 2;
    let networks = SimulatedNetwork::several(more).await?;
    eprintln!("{more} peers: two agents");
    let shard = |number| {
        Agent::start(
            cores,
            &networks,
            Transport::Tcp,
            ConfiguredIdentity::Shard(number, 2),
            "lean",
        )
    };
    let (one, two) = tokio::try_join!(shard(1), shard(2))?;
    let (one, two) = tokio::try_join!(one.watch(rounds), two.watch(rounds))?;
    rows.extend([one, two]);
    Ok(rows)
}
