//! What the agent measures on its own host about a peer that runs there.

use std::path::PathBuf;

use super::Mode;
use super::keys::SIDECAR;
use super::scalar::line;
use super::section::Section;
use super::source::Reported;
use super::value::Value;

/// A peer's process and store on the agent's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// How to find the process.
    pub process: ProcessBy,
    /// The file of the store, if it is measured.
    pub store: Option<PathBuf>,
}

/// How to find the process of a peer, also after it was restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessBy {
    /// By the file with its process ID.
    PidFile(PathBuf),
    /// By a part of its command line, arguments separated by spaces.
    Command(String),
}

/// Reads `sidecar` of a peer, which requires the mode `sidecar`.
pub(super) fn sidecar(
    peer: &Section,
    mode: Result<Mode, Reported>,
) -> Result<Option<Sidecar>, Reported> {
    let Some(section) = peer.section("sidecar", &SIDECAR)? else {
        return Ok(None);
    };
    let pid_file = section.read("pid_file", file);
    let command = section.read("command_contains", |value| {
        let text = line(value)?;
        if text.trim().is_empty() {
            return Err(
                "is empty; expected a part of the command line, such as `convex.jar`".to_owned(),
            );
        }
        Ok(text)
    });
    let store = section.read("store", file);
    if mode? == Mode::Central {
        return Err(peer.report_key(
            "sidecar",
            "requires `mode: sidecar`, as a central agent does not run on the hosts of its peers; \
             set that mode, or remove it",
        ));
    }
    let process = match (pid_file?, command?) {
        (Some(file), None) => ProcessBy::PidFile(file),
        (None, Some(text)) => ProcessBy::Command(text),
        (Some(_), Some(_)) => {
            return Err(section.report_key(
                "command_contains",
                "conflicts with `pid_file`; keep one of them",
            ));
        }
        (None, None) => {
            return Err(peer.report_key(
                "sidecar",
                "does not identify the peer's process; add `pid_file` or `command_contains`",
            ));
        }
    };
    Ok(Some(Sidecar {
        process,
        store: store?,
    }))
}

fn file(value: &Value) -> Result<PathBuf, String> {
    let text = value.text()?;
    if text.is_empty() {
        return Err("is empty; set a file name or remove the key".to_owned());
    }
    Ok(value.source.resolve(&text))
}
