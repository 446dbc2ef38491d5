//! A host whose `/proc` and cgroups are files, for tests that a real host does not allow.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::host::HostDirs;

/// Boot time of the host, in seconds since the epoch.
pub(super) const BOOT_TIME: u64 = 1_700_000_000;

/// Memory of the host.
pub(super) const MEMORY_BYTES: u64 = 16 << 30;

/// A host whose `/proc` and cgroups are files in a temporary directory.
pub(super) struct TestHost {
    dir: TempDir,
}

impl TestHost {
    /// Creates a host that runs only its first process.
    pub(super) fn new() -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let stat = format!("cpu  1 2 3 4 5 6 7 0 0 0\nctxt 1\nbtime {BOOT_TIME}\nprocesses 9\n");
        host.write("proc/stat", &stat);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let total = format!("{} kB", MEMORY_BYTES >> 10);
        host.write("proc/meminfo", &with_value(&meminfo, "MemTotal:", &total));
        host.add_process(1, 0, 0, "/sbin/init");
        host
    }

    pub(super) fn dirs(&self) -> HostDirs {
        HostDirs {
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

    /// Adds a process of `parent`, or replaces it. It started `after_boot` seconds after the host,
    /// and its descriptors cannot be counted.
    pub(super) fn add_process(&self, pid: i32, parent: i32, after_boot: u64, command: &str) {
        let path = |file: &str| format!("proc/{pid}/{file}");
        let started = after_boot * procfs::ticks_per_second();
        let stat = format!(
            "{pid} (some) name) S {parent} 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 7 0 {started} 0 0 18446744073709551615 \
             0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        self.write(&path("stat"), &stat);
        self.write(&path("cmdline"), &(command.replace(' ', "\0") + "\0"));
        let mut status = fs::read_to_string("/proc/self/status").unwrap();
        for (key, kib) in [("VmRSS:", 900), ("RssAnon:", 500), ("RssShmem:", 100)] {
            status = with_value(&status, key, &format!("{kib} kB"));
        }
        status = with_value(&status, "NSpid:", &pid.to_string());
        self.write(&path("status"), &status);
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let limits = with_value(&limits, "Max open files", "1024 4096 files");
        self.write(&path("limits"), &limits);
        self.write(&path("cgroup"), "0::/\n");
    }

    /// Removes a process.
    pub(super) fn remove_process(&self, pid: i32) {
        fs::remove_dir_all(self.path().join(format!("proc/{pid}"))).unwrap();
    }
}

/// Replaces the value after `key` in a text.
fn with_value(text: &str, key: &str, value: &str) -> String {
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
