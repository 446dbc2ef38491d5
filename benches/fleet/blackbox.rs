//! The alternative: the blackbox exporter of Prometheus with the same HTTP targets, at the same
//! rate on the same core. It requests the status on a new connection and does not interpret the
//! answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use convex_client::{HttpOptions, Transport, http_client};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::INTERVAL;
use crate::network::SimulatedNetwork;
use crate::program::{Cores, Program, ReadyOn};
use crate::report::{ConfiguredIdentity, Row};

const CONFIG: &str = "modules: { http: { prober: http, timeout: 5s } }\n";
/// Longest wait for a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter and its clients; they stop when dropped.
#[derive(Debug)]
pub(crate) struct Blackbox {
    targets: usize,
    program: Program,
    succeeded: Arc<AtomicUsize>,
    _callers: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Blackbox {
    pub(crate) async fn start(
        cores: &Cores,
        networks: &[SimulatedNetwork],
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("blackbox.yml");
        std::fs::write(&config, CONFIG)?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = cores.measured(&exporter());
        command
            .arg(format!("--web.listen-address={free}"))
            .arg(format!("--config.file={}", config.display()));
        let listening = |line: &str| line.contains("Listening on").then_some(());
        let (program, ()) = Program::start(command, ReadyOn::Stderr, listening)
            .await
            .context("run 'scripts/need blackbox-exporter' to install it")?;
        let client = http_client(&HttpOptions::default(), PROBE_TIMEOUT)?;
        let succeeded = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let endpoints = || {
            networks
                .iter()
                .flat_map(|network| network.endpoints(Transport::Http))
        };
        let targets = endpoints().count();
        let apart = INTERVAL / u32::try_from(targets)?;
        let mut callers = JoinSet::new();
        for (endpoint, i) in endpoints().zip(0..) {
            let status = endpoint.url().join("/api/v1/status")?;
            let url = format!("http://{free}/probe?module=http&target={status}");
            let due = began + apart * i;
            callers.spawn(call(client.clone(), url, due, Arc::clone(&succeeded)));
        }
        Ok(Self {
            targets,
            program,
            succeeded,
            _callers: callers,
            _dir: dir,
        })
    }

    pub(crate) async fn measure(&self, rounds: usize) -> anyhow::Result<Row> {
        sleep(INTERVAL).await;
        let before = self.succeeded.load(Ordering::Relaxed);
        let cpu = self.program.rounds(rounds, INTERVAL).await?;
        let probes = self.succeeded.load(Ordering::Relaxed) - before;
        let expected = rounds * self.targets;
        ensure!(
            probes * 10 >= expected * 9,
            "only {probes} of {expected} probes succeeded"
        );
        let row = Row::new(
            ConfiguredIdentity::Blackbox,
            Transport::Http,
            self.targets,
            &cpu,
        );
        Ok(row.resident(self.program.resident_kib()?))
    }
}

/// Requests the probe of one target in every interval.
async fn call(client: reqwest::Client, url: String, mut due: Instant, succeeded: Arc<AtomicUsize>) {
    loop {
        sleep_until(due).await;
        due += INTERVAL;
        let probed = async { client.get(&url).send().await?.text().await };
        if probed
            .await
            .is_ok_and(|text| text.contains("\nprobe_success 1\n"))
        {
            succeeded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Returns the exporter that `scripts/need` installed, or the one in the PATH.
fn exporter() -> String {
    const NAME: &str = "prometheus-blackbox-exporter";
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools")
        .join(NAME)
        .join("usr/bin")
        .join(NAME);
    match unpacked.to_str() {
        Some(path) if unpacked.exists() => path.to_owned(),
        _ => NAME.to_owned(),
    }
}
