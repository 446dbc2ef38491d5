//! A host of files, for what no test can bring about on a real one.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::process::Host;

/// When the host was started, seconds since the epoch.
pub(super) const BOOTED: u64 = 1_700_000_000;

/// The memory of the host.
pub(super) const MEMORY: u64 = 16 << 30;

/// A host whose `/proc` and cgroups are files of the test.
pub(super) struct Files {
    dir: TempDir,
}

impl Files {
    /// A host with nothing but its first process.
    pub(super) fn new() -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let stat = format!("cpu  1 2 3 4 5 6 7 0 0 0\nctxt 1\nbtime {BOOTED}\nprocesses 9\n");
        files.write("proc/stat", &stat);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let total = format!("{} kB", MEMORY >> 10);
        files.write("proc/meminfo", &with(&meminfo, "MemTotal:", &total));
        files.process(1, 0, 0, "/sbin/init");
        files
    }

    pub(super) fn host(&self) -> Host {
        Host {
            proc: self.path().join("proc"),
            cgroup: self.path().join("cgroup"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds a process that was started by `parent` so many seconds after the host. It has no descriptors to count.
    pub(super) fn process(&self, pid: i32, parent: i32, started: u64, command: &str) {
        let of = |file: &str| format!("proc/{pid}/{file}");
        let started = started * procfs::ticks_per_second();
        let stat = format!(
            "{pid} (some) name) S {parent} 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 {started} 0 0 18446744073709551615 \
             0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        self.write(&of("stat"), &stat);
        self.write(&of("cmdline"), &(command.replace(' ', "\0") + "\0"));
        let mut status = fs::read_to_string("/proc/self/status").unwrap();
        for (key, kib) in [("VmRSS:", 900), ("RssAnon:", 500), ("RssShmem:", 100)] {
            status = with(&status, key, &format!("{kib} kB"));
        }
        self.write(&of("status"), &status);
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let files = with(&limits, "Max open files", "1024 4096 files");
        self.write(&of("limits"), &files);
        self.write(&of("cgroup"), "0::/\n");
    }

    /// Ends a process.
    pub(super) fn end(&self, pid: i32) {
        fs::remove_dir_all(self.path().join(format!("proc/{pid}"))).unwrap();
    }
}

/// The text with another value behind `key`.
fn with(text: &str, key: &str, value: &str) -> String {
    let line = |line: &str| {
        if line.starts_with(key) {
            format!("{key} {value}\n")
        } else {
            format!("{line}\n")
        }
    };
    assert!(text.contains(key), "{key}");
    text.lines().map(line).collect()
}
