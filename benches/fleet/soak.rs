//! Whether memory stays constant while peers fail and recover and the configuration changes every
//! minute.

use std::time::Duration;

use anyhow::Context;
use convex_client::Transport;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::agent::Agent;
use crate::machine::Machine;
use crate::network::{SimulatedNetwork, agent_config};
use crate::program::Cores;
use crate::report::ConfiguredIdentity;

const PEERS: usize = 2_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Until all bounded buffers are full: the ring and the last polls of each peer, events, and the
/// cache of the database.
const WARM_UP_MINUTES: usize = 40;
pub(crate) const MINUTES: usize = 20;
/// Number of peers that fail in each minute, that hang in each minute, and that the configuration
/// omits every other minute.
const CHURN: usize = 100;
/// Number of memory samples per minute.
const SAMPLES: usize = 12;

/// Results of a soak test.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    machine: Machine,
    peers: usize,
    minutes: usize,
    /// Resident memory of each sample, in KiB.
    resident_kib: Vec<f64>,
    /// Open file descriptors of each sample.
    descriptors: Vec<usize>,
}

pub(crate) async fn soak(cores: &Cores, minutes: usize) -> anyhow::Result<Soak> {
    let machine = Machine::here().await?;
    let all = WARM_UP_MINUTES + minutes;
    let networks = [SimulatedNetwork::start(PEERS, &faults(all)).await?];
    let agent = Agent::start(
        cores,
        &networks,
        Transport::Tcp,
        ConfiguredIdentity::Agent,
        "lean",
    )
    .await?;
    let config = agent_config(&networks, Transport::Tcp, &agent.state_dir(), "lean")?;
    let lines: Vec<&str> = config.lines().collect();
    let fewer = lines[..lines.len() - CHURN].join("\n") + "\n";
    let mut soak = Soak {
        machine,
        peers: PEERS,
        minutes,
        resident_kib: Vec::new(),
        descriptors: Vec::new(),
    };
    let mut due = Instant::now();
    for minute in 0..all {
        agent
            .reload(if minute % 2 == 0 { &config } else { &fewer })
            .await?;
        for _ in 0..SAMPLES {
            due += MINUTE / u32::try_from(SAMPLES)?;
            sleep_until(due).await;
            if minute >= WARM_UP_MINUTES {
                soak.resident_kib.push(agent.program().resident_kib()?);
                soak.descriptors.push(agent.program().descriptors()?);
            }
        }
        let resident = agent.program().resident_kib()?;
        eprintln!("minute {} of {all}: {resident} KiB", minute + 1);
    }
    Ok(soak)
}

/// Makes other peers fail or hang in each minute, for 45 s.
fn faults(minutes: usize) -> Vec<String> {
    let of_minute = |minute: usize| {
        let first = 2 * CHURN * minute % PEERS + 1;
        let (middle, last) = (first + CHURN, first + 2 * CHURN - 1);
        let (from, to) = (60 * minute, 60 * minute + 45);
        [
            format!("reset:{first}-{}:{from}s..{to}s", middle - 1),
            format!("tarpit:{middle}-{last}:{from}s..{to}s"),
        ]
    };
    (0..minutes).flat_map(of_minute).collect()
}

impl Soak {
    pub(crate) fn markdown(&self) -> anyhow::Result<String> {
        let per_minute: Vec<f64> = self.resident_kib.chunks(SAMPLES).map(mean).collect();
        let (slope, error) = line(&per_minute).context("at least three minutes")?;
        let (first, last) = (per_minute[0], per_minute[per_minute.len() - 1]);
        let fewest = self.descriptors.iter().min().context("a sample")?;
        let most = self.descriptors.iter().max().context("a sample")?;
        Ok(format!(
            "{}\n\nresident memory of {} peers over {} minutes: {first:.0} KiB in the first one, {last:.0} KiB in the last one; \
             slope {slope:.1} ± {error:.1} KiB a minute (standard error of the means by minute); file descriptors {fewest} to {most}",
            self.machine.markdown(),
            self.peers,
            self.minutes,
        ))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Fits a line through equidistant values by least squares and returns its slope and standard
/// error.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are small"
)]
fn line(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len();
    if count < 3 {
        return None;
    }
    let middle = (count as f64 - 1.0) / 2.0;
    let mean = mean(values);
    let points = || {
        values
            .iter()
            .enumerate()
            .map(|(i, value)| (i as f64 - middle, value - mean))
    };
    let spread: f64 = points().map(|(x, _)| x * x).sum();
    let slope = points().map(|(x, y)| x * y).sum::<f64>() / spread;
    let residual: f64 = points().map(|(x, y)| (y - slope * x).powi(2)).sum();
    let error = (residual / (count as f64 - 2.0) / spread).sqrt();
    Some((slope, error))
}
