//! A real Alertmanager with our example routes. All its receivers are replaced by one that records
//! what arrives.

use std::fs;
use std::net::SocketAddr;

use anyhow::Context;

use super::program::Program;
use super::{Pace, Receiver, own_address, root};

#[derive(Debug)]
pub(crate) struct Alertmanager(Program);

impl Alertmanager {
    /// Starts an Alertmanager that notifies `receiver`.
    pub(crate) async fn start(pace: Pace, receiver: &Receiver) -> anyhow::Result<Self> {
        Self::start_at(own_address()?, pace, receiver).await
    }

    /// Starts an Alertmanager at the given address.
    pub(crate) async fn start_at(
        address: SocketAddr,
        pace: Pace,
        receiver: &Receiver,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let example = fs::read_to_string(root().join("alerts/alertmanager.example.yml"))?;
        let config = pace.routes(&with_receiver(&example, receiver)?)?;
        fs::write(dir.path().join("alertmanager.yml"), config)?;
        // The first is the name on Debian.
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

/// Returns the example configuration with the URL of `receiver` in each of its receivers.
fn with_receiver(example: &str, receiver: &Receiver) -> anyhow::Result<String> {
    let (kept, receivers) = example
        .split_once("\nreceivers:\n")
        .context("the example configuration has no receivers")?;
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
