//! The peer's process on a system without Linux's `/proc`: unknown, and the reading says why.

use std::path::PathBuf;

use crate::config::ProcessBy;

use super::reading::{ProcessReading, Unavailable};

/// The file system of the host. Processes with a root directory of their own are unknown.
#[derive(Clone, Debug, Default)]
pub(super) struct HostDirs;

impl HostDirs {
    pub(super) fn root_of(&self, _pid: i32) -> PathBuf {
        "/".into()
    }
}

/// Reports that processes cannot be read.
#[derive(Clone, Debug)]
pub(super) struct ProcessReader;

impl ProcessReader {
    pub(super) fn new(_host: HostDirs, _by: ProcessBy) -> Self {
        Self
    }

    pub(super) fn read(&mut self) -> ProcessReading {
        let why = "processes are read from /proc, which only Linux has".to_owned();
        ProcessReading {
            unavailable: Unavailable::from([("process", why)]),
            ..ProcessReading::default()
        }
    }
}
