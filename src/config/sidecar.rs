//! What the agent reads of its own host about a peer that runs beside it.

use std::path::PathBuf;

use super::Mode;
use super::keys::SIDECAR;
use super::scalar::line;
use super::section::{Refused, Section, Value};

/// A peer's process and store on the agent's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// How its process is found.
    pub process: ProcessBy,
    /// The file of its store, where it is to be watched.
    pub store: Option<PathBuf>,
}

/// How a peer's process is found, again after each restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessBy {
    /// By the file that holds its process id.
    PidFile(PathBuf),
    /// By a piece of its command line, the arguments with a blank between them.
    Command(String),
}

/// The peer's `sidecar`; it is refused where the agent is no sidecar.
pub(super) fn sidecar(
    peer: &Section,
    mode: Result<Mode, Refused>,
) -> Result<Option<Sidecar>, Refused> {
    let Some(section) = peer.section("sidecar", &SIDECAR)? else {
        return Ok(None);
    };
    let pid_file = section.read("pid_file", file);
    let command = section.read("command_contains", |value| {
        let text = line(value)?;
        if text.trim().is_empty() {
            return Err(
                "is empty; give a piece of the command line, as in `convex.jar`".to_owned(),
            );
        }
        Ok(text)
    });
    let store = section.read("store", file);
    let position = peer.key_position("sidecar").unwrap_or(peer.position);
    if mode? == Mode::Central {
        return Err(peer.report(
            position,
            "sidecar",
            "needs `mode: sidecar`: a central monitor does not share the host with its peers; set that mode, or remove it",
        ));
    }
    let process = match (pid_file?, command?) {
        (Some(file), None) => ProcessBy::PidFile(file),
        (None, Some(text)) => ProcessBy::Command(text),
        (Some(_), Some(_)) => {
            let position = section.key_position("command_contains").unwrap_or(position);
            return Err(section.report(
                position,
                "command_contains",
                "given beside `pid_file`; keep one of the two",
            ));
        }
        (None, None) => {
            return Err(peer.report(
                position,
                "sidecar",
                "does not say which process is the peer's; add `pid_file` or `command_contains`",
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
        return Err("is empty; name a file, or remove the key".to_owned());
    }
    Ok(value.source.resolve(&text))
}
