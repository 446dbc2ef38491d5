//! Latency and throughput of a real peer by transport, and the size and CPU time of an answer: the
//! poll of the agent compared with the complete state over REST, as in the published operations
//! guide.
//!
//! One client sends one query after the other on an open connection. Every way is warmed up first,
//! then all take turns in several rounds. There is no pass or fail.

#[path = "../support/machine.rs"]
mod machine;
#[expect(dead_code, reason = "some of it is for the other benchmark")]
mod peer;
mod report;
mod round;
mod way;
#[path = "../support/wire.rs"]
mod wire;

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use machine::{Machine, busy_seconds, write_json};
use peer::RealPeer;
use report::{Report, Row};
use round::Runner;
use way::{Client, Medium, Query, WAYS};
use wire::Relay;

const ROUNDS: usize = 5;
/// How long the idle peer is measured.
const IDLE: Duration = Duration::from_secs(3);

/// Number of bytes of a query and its answer on an open connection.
#[derive(Debug, Serialize)]
pub(crate) struct Bytes {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

// One thread, because the peer would be killed with the thread that started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not run: 'cargo bench --bench guide' measures");
        return Ok(());
    }
    let mut peer = RealPeer::start(1, &[]).await?;
    let measured = measure(&mut peer).await;
    let ended = peer.end().await;
    let report = measured?;
    ended?;
    let file = write_json("guide.json", &report)?;
    println!(
        "{}\n\nthe rounds are in {}",
        report.markdown(),
        file.display()
    );
    Ok(())
}

async fn measure(peer: &mut RealPeer) -> anyhow::Result<Report> {
    let machine = Machine::here().await?;
    let java = peer.java_version().await?;
    let mut runners = Vec::new();
    for (question, medium) in WAYS {
        let client = Client::connect(question, medium, peer.binary, peer.rest).await?;
        let mut runner = Runner::new(question, client);
        let rounds = runner.warm_up(peer).await?;
        eprintln!(
            "{} by {}: warm after {rounds} rounds",
            question.name(),
            medium.name()
        );
        runners.push(runner);
    }

    let mut rounds = vec![Vec::new(); WAYS.len()];
    let (began, busy) = (Instant::now(), busy_seconds()?);
    for _ in 0..ROUNDS {
        for (runner, rounds) in runners.iter_mut().zip(&mut rounds) {
            rounds.push(runner.round(peer).await?);
        }
    }
    let ours: f64 = rounds
        .iter()
        .flatten()
        .map(|round| round.peer_cpu_seconds + round.client_cpu_seconds)
        .sum();
    let all = began.elapsed().as_secs_f64() * f64::from(machine.cores);
    let others_percent = 100.0 * (busy_seconds()? - busy - ours) / all;
    let idle_peer_cpu = idle(peer).await?;

    let mut rows = Vec::new();
    for ((question, medium), rounds) in WAYS.into_iter().zip(rounds) {
        let bytes = bytes(question, medium, peer).await?;
        rows.push(Row::new(question, medium, bytes, idle_peer_cpu, rounds));
    }
    Ok(Report {
        machine,
        java,
        idle_peer_cpu,
        others_percent,
        rows,
    })
}

/// Returns the CPU time of the idle peer, in seconds per second.
async fn idle(peer: &RealPeer) -> anyhow::Result<f64> {
    sleep(Duration::from_secs(1)).await; // Lets the last round end.
    let (began, cpu) = (Instant::now(), peer.cpu()?);
    sleep(IDLE).await;
    Ok((peer.cpu()? - cpu) / began.elapsed().as_secs_f64())
}

/// Counts the bytes of one answer through a relay, which is not used when times are measured.
async fn bytes(question: Query, medium: Medium, peer: &RealPeer) -> anyhow::Result<Option<Bytes>> {
    let (binary, rest) = (
        Relay::start(peer.binary).await?,
        Relay::start(peer.rest).await?,
    );
    let client = Client::connect(question, medium, binary.address, rest.address).await?;
    let Some(mut client) = client else {
        return Ok(None);
    };
    // The first query also connects, and over HTTP finds out that 0.8.0 has no status route.
    client.ask().await?;
    binary.take();
    rest.take();
    client.ask().await?;
    let turns = [binary.take(), rest.take()].concat();
    let turn = turns.first().context("a second query on the connection")?;
    Ok(Some(Bytes {
        sent: turn.request.len(),
        received: turn.reply.len(),
    }))
}
