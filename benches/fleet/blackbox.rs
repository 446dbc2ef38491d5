//! What a user would take instead: Prometheus' blackbox exporter, asked for each HTTP target at the same rate, on the same
//! core. Its work is a GET of the status with a new connection; it reads nothing in the answer.

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
use crate::program::{Cores, Program, Told};
use crate::report::{Row, Who};

const CONFIG: &str = "modules: { http: { prober: http, timeout: 5s } }\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// The exporter and its callers; they end when dropped.
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
        let (program, ()) = Program::start(command, Told::Stderr, listening)
            .await
            .context("'scripts/need blackbox-exporter' brings it")?;
        let client = http_client(&HttpOptions::default(), PATIENCE)?;
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
        let wanted = rounds * self.targets;
        ensure!(
            probes * 10 >= wanted * 9,
            "the blackbox exporter brought {probes} of {wanted} probes: these are no figures"
        );
        let row = Row::new(Who::Blackbox, Transport::Http, self.targets, &cpu);
        Ok(row.resident(self.program.resident_kib()?))
    }
}

/// Calls for one target at its own phase, for ever.
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

/// The one that `scripts/need` has unpacked, or the one in the PATH.
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
