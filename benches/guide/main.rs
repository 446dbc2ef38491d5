//! Latency and throughput of a real peer by transport, and what an answer costs in bytes and in CPU: the agent's poll beside
//! the whole state over REST, from which the published operations guide takes its figures.
//!
//! One client asks on one kept connection, the next question after the last answer. Every way is asked until it is warm, then
//! all take turns in several rounds. Nothing is judged.

#[path = "../support/machine.rs"]
mod machine;
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
/// How long the peer is left alone to see what it does by itself.
const IDLE: Duration = Duration::from_secs(3);

/// One question and its answer on a kept connection: all bytes of the TCP stream.
#[derive(Debug, Serialize)]
pub(crate) struct Bytes {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

// One thread: it outlives the peer, which would be killed with the thread that started it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not run: 'cargo bench --bench guide' measures");
        return Ok(());
    }
    let mut peer = RealPeer::start().await?;
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

/// CPU time that the peer takes when nobody asks it, seconds a second.
async fn idle(peer: &RealPeer) -> anyhow::Result<f64> {
    sleep(Duration::from_secs(1)).await; // what the last round left behind
    let (began, cpu) = (Instant::now(), peer.cpu()?);
    sleep(IDLE).await;
    Ok((peer.cpu()? - cpu) / began.elapsed().as_secs_f64())
}

/// Counts one answer through a relay, which is not there when times are measured.
async fn bytes(question: Query, medium: Medium, peer: &RealPeer) -> anyhow::Result<Option<Bytes>> {
    let (binary, rest) = (
        Relay::start(peer.binary).await?,
        Relay::start(peer.rest).await?,
    );
    let client = Client::connect(question, medium, binary.address, rest.address).await?;
    let Some(mut client) = client else {
        return Ok(None);
    };
    // The first also connects, and over HTTP learns that 0.8.0 has no status route.
    client.ask().await?;
    binary.take();
    rest.take();
    client.ask().await?;
    let turns = [binary.take(), rest.take()].concat();
    let turn = turns
        .first()
        .context("a second question on the connection")?;
    Ok(Some(Bytes {
        sent: turn.request.len(),
        received: turn.reply.len(),
    }))
}
