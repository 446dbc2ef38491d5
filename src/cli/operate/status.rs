//! `status export`: writes the status page of a running agent as files. The agent has its database
//! for itself, so it is asked; and when it does not answer, the page must not go on to say that all
//! is well.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use reqwest::Method;

use crate::config::read_file;
use crate::web::status::{DATA_FILE, PublicStatus, render};

use super::agent_api::AgentApi;
use super::args::{StatusArgs, StatusCommand};
use super::{run, site};

/// Largest file with the data of an earlier export, bytes.
const MAX_DATA_BYTES: u64 = 64 << 20;

/// `status`: exports the status page.
pub(in crate::cli) fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let StatusCommand::Export(args) = args.command;
    run(&args.connection, async |api| export(&api, &args.dir).await)
}

async fn export(api: &AgentApi, dir: &Path) -> anyhow::Result<String> {
    let before = exported(dir);
    let shown = dir.display();
    match ask(api).await {
        Ok(status) => {
            let count = write(dir, &status, before.as_ref())?;
            Ok(format!("{shown}: {count} files. {}\n", status.summary))
        }
        Err(error) => {
            let Some(before) = before else {
                return Err(error);
            };
            let stale = before.gone_stale();
            write(dir, &stale, None).with_context(|| format!("{error:#}"))?;
            bail!("{error:#}; the page in {shown} now says that no state is known")
        }
    }
}

async fn ask(api: &AgentApi) -> anyhow::Result<PublicStatus> {
    let answer = api.request(Method::GET, &["status"], &[], None).await?;
    serde_json::from_value(answer).context("the answer is not that of an agent of this version")
}

/// Returns what an earlier export has written; none if there is nothing of use.
fn exported(dir: &Path) -> Option<PublicStatus> {
    let (bytes, _) = read_file(&dir.join(DATA_FILE), MAX_DATA_BYTES).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Writes the page, and removes what the one `before` has beside it. Returns the number of files.
fn write(
    dir: &Path,
    status: &PublicStatus,
    before: Option<&PublicStatus>,
) -> anyhow::Result<usize> {
    let files = render(status)?;
    site::write(dir, &files)?;
    for old in before.map(render).transpose()?.unwrap_or_default() {
        if !files.iter().any(|file| file.path == old.path) {
            site::remove(dir, &old.path)?;
        }
    }
    Ok(files.len())
}
