//! Rounds of queries in one way: the time of each answer and the CPU time of both processes.

use std::time::Duration;

use anyhow::Context;
use procfs::process::Process;
use serde::Serialize;
use tokio::time::Instant;

use crate::machine::cpu_of;
use crate::peer::RealPeer;
use crate::way::{Client, Query};

/// Length of a round.
const LENGTH: Duration = Duration::from_millis(1500);
/// Relative difference between the medians of two rounds after which the just-in-time compiler of
/// the peer is assumed to be done.
const WARM: f64 = 0.05;
const WARM_UP_ROUNDS: std::ops::RangeInclusive<usize> = 2..=6;
/// Number of queries in the first round inside the peer. Later rounds are adapted to its duration.
const FIRST_COUNT: u32 = 1000;

/// Results of a round. CPU times are user and system time, in steps of a clock tick.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    /// Number of timed answers.
    pub(crate) timed: u32,
    /// Number of all answers, including the warm-up inside the peer.
    pub(crate) answers: u32,
    /// Duration of the round.
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) per_second: f64,
    /// CPU time of the process of the peer, including that of an idle peer.
    pub(crate) peer_cpu_seconds: f64,
    /// CPU time of this process.
    pub(crate) client_cpu_seconds: f64,
}

/// Sends the queries of one way.
#[derive(Debug)]
pub(crate) struct Runner {
    question: Query,
    /// `None` for queries inside the process of the peer.
    client: Option<Client>,
    /// Number of queries inside the peer in a round.
    count: u32,
}

impl Runner {
    pub(crate) fn new(question: Query, client: Option<Client>) -> Self {
        Self {
            question,
            client,
            count: FIRST_COUNT,
        }
    }

    /// Runs rounds until the median no longer falls, and returns their number.
    pub(crate) async fn warm_up(&mut self, peer: &mut RealPeer) -> anyhow::Result<usize> {
        let mut before = f64::INFINITY;
        for rounds in 1..=*WARM_UP_ROUNDS.end() {
            let median = self.round(peer).await?.p50_us;
            if rounds >= *WARM_UP_ROUNDS.start() && (before - median).abs() < WARM * before {
                return Ok(rounds);
            }
            before = median;
        }
        Ok(*WARM_UP_ROUNDS.end())
    }

    /// Runs one round.
    pub(crate) async fn round(&mut self, peer: &mut RealPeer) -> anyhow::Result<Round> {
        let myself = Process::myself()?;
        let (peer_cpu, client_cpu) = (peer.cpu()?, cpu_of(&myself)?);
        let began = Instant::now();
        let mut round = match &mut self.client {
            Some(client) => by_client(client).await?,
            None => by_itself(peer, self.question, self.count).await?,
        };
        let took = began.elapsed();
        round.seconds = took.as_secs_f64();
        round.peer_cpu_seconds = peer.cpu()? - peer_cpu;
        round.client_cpu_seconds = cpu_of(&myself)? - client_cpu;
        if self.client.is_none() {
            let fitting = u128::from(self.count) * LENGTH.as_nanos() / took.as_nanos().max(1);
            self.count = u32::try_from(fitting)
                .unwrap_or(u32::MAX)
                .clamp(100, 1_000_000);
        }
        Ok(round)
    }
}

async fn by_client(client: &mut Client) -> anyhow::Result<Round> {
    let mut took = Vec::new();
    let began = Instant::now();
    while began.elapsed() < LENGTH {
        let sent = Instant::now();
        client.ask().await?;
        took.push(sent.elapsed());
    }
    let total = began.elapsed();
    took.sort_unstable();
    let timed = u32::try_from(took.len())?;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6;
    Ok(Round {
        timed,
        answers: timed,
        seconds: 0.0,
        p50_us: us(took[took.len() / 2]),
        p99_us: us(took[took.len() * 99 / 100]),
        per_second: f64::from(timed) / total.as_secs_f64(),
        peer_cpu_seconds: 0.0,
        client_cpu_seconds: 0.0,
    })
}

/// Reads `BENCH transport=local queries=N p50_us=… p99_us=… per_second=…`. Before, the launcher
/// warms up with a tenth of the queries.
async fn by_itself(peer: &mut RealPeer, question: Query, count: u32) -> anyhow::Result<Round> {
    let line = peer
        .command(&format!("bench local {count} {}", question.source()))
        .await?;
    let value = |key: &str| -> anyhow::Result<f64> {
        let mut pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs
            .find(|(found, _)| *found == key)
            .with_context(|| format!("no {key} in {line:?}"))?;
        Ok(value.parse()?)
    };
    Ok(Round {
        timed: count,
        answers: count + count / 10,
        seconds: 0.0,
        p50_us: value("p50_us")?,
        p99_us: value("p99_us")?,
        per_second: value("per_second")?,
        peer_cpu_seconds: 0.0,
        client_cpu_seconds: 0.0,
    })
}
