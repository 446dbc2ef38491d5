//! A real Alertmanager with our example of routes, whose receivers are replaced by one that keeps what arrives.

use std::fs;
use std::net::SocketAddr;

use anyhow::Context;

use super::program::Program;
use super::{Pace, Receiver, own_address, root};

#[derive(Debug)]
pub(crate) struct Alertmanager(Program);

impl Alertmanager {
    /// Starts one that notifies `receiver`.
    pub(crate) async fn start(pace: Pace, receiver: &Receiver) -> anyhow::Result<Self> {
        Self::start_at(own_address()?, pace, receiver).await
    }

    /// The same at a given address.
    pub(crate) async fn start_at(
        address: SocketAddr,
        pace: Pace,
        receiver: &Receiver,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let example = fs::read_to_string(root().join("alerts/alertmanager.example.yml"))?;
        let config = pace.routes(&received_by(&example, receiver)?)?;
        fs::write(dir.path().join("alertmanager.yml"), config)?;
        // Debian calls it by the first name.
        let names = ["prometheus-alertmanager", "alertmanager"];
        let program = Program::start(&names, dir, address, |dir| {
            vec![
                format!("--config.file={}", dir.join("alertmanager.yml").display()).into(),
                format!("--storage.path={}", dir.join("data").display()).into(),
                format!("--web.listen-address={address}").into(),
                "--cluster.listen-address=".into(),
            ]
        });
        Ok(Self(program.await?))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// The example with each of its receivers, by name, at `receiver`.
fn received_by(example: &str, receiver: &Receiver) -> anyhow::Result<String> {
    let (kept, receivers) = example
        .split_once("\nreceivers:\n")
        .context("the example of routes has no receivers")?;
    let names = receivers
        .lines()
        .filter_map(|line| line.strip_prefix("  - name: "));
    let entry = |name| {
        let url = receiver.url(name);
        format!(
            "  - {{ name: {name}, webhook_configs: [{{ url: '{url}', send_resolved: true }}] }}\n"
        )
    };
    let receivers: String = names.map(entry).collect();
    Ok(format!("{kept}\nreceivers:\n{receivers}"))
}
