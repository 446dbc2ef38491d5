//! The measured agent, its metrics, and the cost of scrapes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use convex_client::{HttpOptions, Transport, http_client};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::INTERVAL;
use crate::network::{PROGRAM, SimulatedNetwork, agent_config};
use crate::program::{Cores, Program, ReadyOn};
use crate::report::{ConfiguredIdentity, Kept, Row, ScrapeRow};
use crate::spread::Spread;

/// Pause between checks whether every peer has been polled.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Longest time until every peer has been polled once.
const POLLED_WITHIN: Duration = Duration::from_secs(300);
const SCRAPES: u32 = 5;
/// Number of concurrent scrapers.
const AT_ONCE: u32 = 4;
/// Name of the configuration file.
const CONFIG: &str = "agent.yml";
/// Longest wait for an answer of the agent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// An agent; stops when dropped.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    networks: &'a [SimulatedNetwork],
    transport: Transport,
    who: ConfiguredIdentity,
    program: Program,
    began: Instant,
    address: String,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

/// The text of a scrape.
struct Scrape {
    text: String,
}

impl<'a> Agent<'a> {
    /// Starts an agent with history and state on disk and metrics in `detail`.
    pub(crate) async fn start(
        cores: &Cores,
        networks: &'a [SimulatedNetwork],
        transport: Transport,
        who: ConfiguredIdentity,
        detail: &str,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join(CONFIG);
        let state_dir = dir.path().join("state");
        std::fs::write(
            &file,
            agent_config(networks, transport, &state_dir, detail)?,
        )?;
        let mut command = cores.measured(PROGRAM);
        command
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--config",
            ])
            .arg(&file);
        // As in the systemd unit and the container image.
        command.env("MALLOC_ARENA_MAX", "1");
        if let ConfiguredIdentity::Shard(number, of) = who {
            command.arg("--shard").arg(format!("{number}/{of}"));
        }
        let began = Instant::now();
        let listens_at = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            (entry["message"] == "monitoring")
                .then(|| entry["listen"].as_str().map(str::to_owned))?
        };
        let (program, address) = Program::start(command, ReadyOn::Stderr, listens_at).await?;
        Ok(Self {
            networks,
            transport,
            who,
            program,
            began,
            address,
            client: http_client(&HttpOptions::default(), ANSWER_TIMEOUT)?,
            dir,
        })
    }

    /// Measures the start, then this number of rounds.
    pub(crate) async fn watch(&self, rounds: usize) -> anyhow::Result<Row> {
        let polled_once = self.polled_once().await?;
        // The first polls connect.
        sleep(INTERVAL).await;
        let before = self.scrape().await?;
        // The CPU time of the scrape is not part of that of polls.
        sleep(INTERVAL / 10).await;
        let cpu = self.program.rounds(rounds, INTERVAL).await?;
        let after = self.scrape().await?;
        let peers = after.targets();
        let up = after.count_of("convex_peer_up{", " 1");
        ensure!(up == peers, "only {up} of {peers} peers are up");
        let delays = after.delays_since(&before)?;
        let row = Row::new(self.who, self.transport, peers, &cpu).kept(Kept {
            polled_once_s: polled_once.as_secs_f64(),
            missed: after.value("convex_monitor_missed_polls_total")?,
            delay_p50_ms: quantile(&delays, 0.5) * 1e3,
            delay_p99_ms: quantile(&delays, 0.99) * 1e3,
        });
        Ok(row.resident(self.program.resident_kib()?))
    }

    /// Returns the time from the start until every peer has been polled.
    async fn polled_once(&self) -> anyhow::Result<Duration> {
        // Polls are spread over the whole interval, so earlier checks would only cost CPU time.
        sleep(INTERVAL.mul_f64(0.9).saturating_sub(self.began.elapsed())).await;
        loop {
            let took = self.began.elapsed();
            let scrape = self.scrape().await?;
            let polled = scrape.count_of("convex_peer_up{", "");
            if polled == scrape.targets() {
                return Ok(took);
            }
            ensure!(
                took < POLLED_WITHIN,
                "only {polled} peers are polled after {took:?}"
            );
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Measures scrapes in both details. `row` has the cost of the polls in between.
    pub(crate) async fn scrapes(&self, row: &Row) -> anyhow::Result<Vec<ScrapeRow>> {
        let mut rows = vec![self.scrapes_in("lean", row).await?];
        let config = agent_config(self.networks, self.transport, &self.state_dir(), "full")?;
        self.reload(&config).await?;
        rows.push(self.scrapes_in("full", row).await?);
        Ok(rows)
    }

    /// Reloads the agent with another configuration.
    pub(crate) async fn reload(&self, config: &str) -> anyhow::Result<()> {
        std::fs::write(self.dir.path().join(CONFIG), config)?;
        let reload = format!("http://{}/-/reload", self.address);
        self.client.post(reload).send().await?.error_for_status()?;
        Ok(())
    }

    async fn scrapes_in(&self, detail: &'static str, row: &Row) -> anyhow::Result<ScrapeRow> {
        let plain = self.scrape().await?;
        let mut ms = Vec::new();
        let mut gzip_bytes = 0;
        let (cpu, began) = (self.program.cpu()?, Instant::now());
        for _ in 0..SCRAPES {
            let sent = Instant::now();
            gzip_bytes = self.scrape_compressed().await?;
            ms.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        let cpu_ms = self.cpu_ms_since(cpu, began, row)? / f64::from(SCRAPES);
        let (cpu, began) = (self.program.cpu()?, Instant::now());
        for _ in 0..SCRAPES {
            try_join_all((0..AT_ONCE).map(|_| self.scrape_compressed())).await?;
        }
        let four_cpu_ms = self.cpu_ms_since(cpu, began, row)? / f64::from(SCRAPES);
        Ok(ScrapeRow {
            transport: self.transport.as_str(),
            targets: plain.targets(),
            detail,
            series: plain.value("convex_monitor_series")?,
            ms: Spread::of(ms),
            cpu_ms,
            four_cpu_ms,
            gzip_bytes,
            plain_bytes: plain.text.len(),
        })
    }

    /// Returns the CPU time in ms since it was `cpu` seconds at `began`, without that of polls.
    fn cpu_ms_since(&self, cpu: f64, began: Instant, row: &Row) -> anyhow::Result<f64> {
        let polls = row.cores() * began.elapsed().as_secs_f64();
        Ok((self.program.cpu()? - cpu - polls).max(0.0) * 1e3)
    }

    /// Scrapes like Prometheus and returns the size of the answer in bytes.
    async fn scrape_compressed(&self) -> anyhow::Result<usize> {
        let request = self.client.get(format!("http://{}/metrics", self.address));
        let response = request.header("accept-encoding", "gzip").send().await?;
        let encoding = response.headers().get("content-encoding");
        ensure!(
            encoding.is_some_and(|it| it == "gzip"),
            "a scrape is not compressed"
        );
        Ok(response.bytes().await?.len())
    }

    /// Returns the reported duration of the last query of each peer that answers, in seconds.
    pub(crate) async fn reported(&self) -> anyhow::Result<Vec<f64>> {
        let scrape = self.scrape().await?;
        let duration = |line: &str| {
            let rest = line.strip_prefix("convex_probe_request_duration_seconds{")?;
            let (_, value) = rest.split_once("request=\"query\"} ")?;
            value.parse().ok()
        };
        Ok(scrape.text.lines().filter_map(duration).collect())
    }

    pub(crate) const fn program(&self) -> &Program {
        &self.program
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    async fn scrape(&self) -> anyhow::Result<Scrape> {
        let request = self.client.get(format!("http://{}/metrics", self.address));
        let text = request.send().await?.error_for_status()?.text().await?;
        Ok(Scrape { text })
    }
}

impl Scrape {
    /// Counts the series whose lines begin and end like this.
    fn count_of(&self, begin: &str, end: &str) -> usize {
        let lines = self.text.lines();
        lines
            .filter(|line| line.starts_with(begin) && line.ends_with(end))
            .count()
    }

    /// Returns the number of peers in the shard of this agent.
    fn targets(&self) -> usize {
        let value = |line: &str| {
            let rest = line.strip_prefix("convex_monitor_targets{")?;
            rest.split_once("} ")?.1.parse::<usize>().ok()
        };
        self.text.lines().filter_map(value).sum()
    }

    fn value(&self, series: &str) -> anyhow::Result<f64> {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        let found = self.text.lines().find_map(value);
        found.with_context(|| format!("no {series} in the metrics"))
    }

    /// Returns the buckets of the schedule delay since `before`: upper bounds in seconds and
    /// cumulative numbers of polls.
    fn delays_since(&self, before: &Self) -> anyhow::Result<Vec<(f64, f64)>> {
        let bucket = |line: &str| -> Option<(f64, f64)> {
            let rest = line.strip_prefix("convex_monitor_schedule_delay_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.parse().ok()?))
        };
        let buckets =
            |scrape: &Self| -> Vec<(f64, f64)> { scrape.text.lines().filter_map(bucket).collect() };
        let (before, after) = (buckets(before), buckets(self));
        ensure!(
            !after.is_empty() && before.len() == after.len(),
            "the buckets of the schedule delay differ"
        );
        let pairs = before.into_iter().zip(after);
        Ok(pairs
            .map(|((_, before), (bound, after))| (bound, after - before))
            .collect())
    }
}

/// Estimates a quantile from cumulative buckets like Prometheus.
fn quantile(buckets: &[(f64, f64)], of: f64) -> f64 {
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let (mut from, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= all * of && *count > below {
            if bound.is_infinite() {
                return from;
            }
            return from + (bound - from) * (all * of - below) / (count - below);
        }
        (from, below) = (*bound, *count);
    }
    f64::NAN
}
