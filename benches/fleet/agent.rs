//! The agent under measurement, its own metrics, and what it costs to read them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use convex_client::{HttpOptions, Transport, http_client};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::INTERVAL;
use crate::network::{PROGRAM, SimulatedNetwork, agent_config};
use crate::program::{Cores, Program, Told};
use crate::report::{Kept, Row, ScrapeRow, Who};
use crate::spread::Spread;

/// From one look whether every peer was polled to the next.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long every peer may take to be polled once.
const POLLED_WITHIN: Duration = Duration::from_secs(300);
const SCRAPES: u32 = 5;
/// Scrapers at once that may share the work.
const AT_ONCE: u32 = 4;
/// The configuration's file.
const CONFIG: &str = "agent.yml";
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent; ends when dropped.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    networks: &'a [SimulatedNetwork],
    transport: Transport,
    who: Who,
    program: Program,
    began: Instant,
    address: String,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

/// What a scrape brought.
struct Scrape {
    text: String,
}

impl<'a> Agent<'a> {
    /// Starts one that keeps its history and state on disk, with metrics in `detail`.
    pub(crate) async fn start(
        cores: &Cores,
        networks: &'a [SimulatedNetwork],
        transport: Transport,
        who: Who,
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
        // As the unit and the image have it.
        command.env("MALLOC_ARENA_MAX", "1");
        if let Who::Shard(number, of) = who {
            command.arg("--shard").arg(format!("{number}/{of}"));
        }
        let began = Instant::now();
        let listens_at = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            (entry["message"] == "monitoring")
                .then(|| entry["listen"].as_str().map(str::to_owned))?
        };
        let (program, address) = Program::start(command, Told::Stderr, listens_at).await?;
        Ok(Self {
            networks,
            transport,
            who,
            program,
            began,
            address,
            client: http_client(&HttpOptions::default(), PATIENCE)?,
            dir,
        })
    }

    /// Measures the start, then so many rounds.
    pub(crate) async fn watch(&self, rounds: usize) -> anyhow::Result<Row> {
        let polled_once = self.polled_once().await?;
        // The first polls connect.
        sleep(INTERVAL).await;
        let before = self.scrape().await?;
        // What the scrape has taken is not what polls take.
        sleep(INTERVAL / 10).await;
        let cpu = self.program.rounds(rounds, INTERVAL).await?;
        let after = self.scrape().await?;
        let peers = after.targets();
        let up = after.count_of("convex_peer_up{", " 1");
        ensure!(
            up == peers,
            "{up} of {peers} peers are up: these are no figures of a healthy fleet"
        );
        let delays = after.delays_since(&before)?;
        let row = Row::new(self.who, self.transport, peers, &cpu).kept(Kept {
            polled_once_s: polled_once.as_secs_f64(),
            missed: after.value("convex_monitor_missed_polls_total")?,
            delay_p50_ms: quantile(&delays, 0.5) * 1e3,
            delay_p99_ms: quantile(&delays, 0.99) * 1e3,
        });
        Ok(row.resident(self.program.resident_kib()?))
    }

    /// From the start until every peer has been polled.
    async fn polled_once(&self) -> anyhow::Result<Duration> {
        // They take the whole interval: looking sooner would only be work.
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
                "{polled} peers are polled after {took:?}"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    /// Measures scrapes in both details. `row` says what the polls between them take.
    pub(crate) async fn scrapes(&self, row: &Row) -> anyhow::Result<Vec<ScrapeRow>> {
        let mut rows = vec![self.scrapes_in("lean", row).await?];
        let config = agent_config(self.networks, self.transport, &self.state_dir(), "full")?;
        self.reload(&config).await?;
        rows.push(self.scrapes_in("full", row).await?);
        Ok(rows)
    }

    /// Has it take another configuration.
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
            let asked = Instant::now();
            gzip_bytes = self.scrape_compressed().await?;
            ms.push(asked.elapsed().as_secs_f64() * 1e3);
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

    /// CPU time since it was `cpu` at `began`, without that of polls.
    fn cpu_ms_since(&self, cpu: f64, began: Instant, row: &Row) -> anyhow::Result<f64> {
        let polls = row.cores() * began.elapsed().as_secs_f64();
        Ok((self.program.cpu()? - cpu - polls).max(0.0) * 1e3)
    }

    /// Scrapes as Prometheus does; bytes of the answer.
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

    /// How long each peer's last poll took by the agent's word, seconds; of peers that answer.
    pub(crate) async fn reported(&self) -> anyhow::Result<Vec<f64>> {
        let scrape = self.scrape().await?;
        let of_query = |line: &str| {
            let rest = line.strip_prefix("convex_probe_request_duration_seconds{")?;
            let (_, value) = rest.split_once("request=\"query\"} ")?;
            value.parse().ok()
        };
        Ok(scrape.text.lines().filter_map(of_query).collect())
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
    /// Series whose line begins and ends so.
    fn count_of(&self, begin: &str, end: &str) -> usize {
        let lines = self.text.lines();
        lines
            .filter(|line| line.starts_with(begin) && line.ends_with(end))
            .count()
    }

    /// Peers that this agent watches for itself.
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

    /// The buckets of the schedule's delay: upper bounds in seconds, and how many polls were not later, since `before`.
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
            "the buckets of the schedule's delay"
        );
        let pairs = before.into_iter().zip(after);
        Ok(pairs
            .map(|((_, before), (bound, after))| (bound, after - before))
            .collect())
    }
}

/// A quantile of cumulative buckets, as Prometheus estimates it.
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
