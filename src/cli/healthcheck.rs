//! `healthcheck`: for a container's HEALTHCHECK, which has no other HTTP client.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::peer::plain_client;

use super::{HealthcheckArgs, runtime};

/// A container's health check gives up after 30 s; this one answers before.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn healthcheck(args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let response = plain_client(TIMEOUT)
            .map_err(anyhow::Error::msg)?
            .get(args.url.clone())
            .send()
            .await
            .with_context(|| format!("no answer from {}", args.url))?;
        if !response.status().is_success() {
            bail!("{} answers {}", args.url, response.status());
        }
        Ok(ExitCode::SUCCESS)
    })
}
