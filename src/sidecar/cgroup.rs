//! Reads the memory limit of a process and its OOM kills from its cgroups, of version 1 or 2.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use procfs::process::Process;

use super::host::{HostDirs, explain};

/// Memory of a process according to its cgroups.
#[derive(Debug)]
pub(super) struct Memory {
    /// The lowest limit from the process's own cgroup up to the root; none if there is no limit.
    pub(super) limit: Result<Option<u64>, String>,
    /// Number of processes in its own cgroup and those below that were killed because memory ran
    /// out.
    pub(super) oom_kills: Result<u64, String>,
}

/// The files of one cgroup version.
struct Files {
    /// Mount point of the hierarchy with the memory controller, below the cgroup directory.
    mount: &'static str,
    limit: &'static str,
    events: &'static str,
}

const V2: Files = Files {
    mount: "",
    limit: "memory.max",
    events: "memory.events",
};

const V1: Files = Files {
    mount: "memory",
    limit: "memory.limit_in_bytes",
    events: "memory.oom_control",
};

impl Memory {
    /// Reads the memory of `process`. Blocks.
    pub(super) fn read(process: &Process, host: &HostDirs) -> Self {
        let groups = match process.cgroups() {
            Ok(groups) => groups.0,
            Err(error) => {
                let why = explain(&error);
                return Self {
                    limit: Err(why.clone()),
                    oom_kills: Err(why),
                };
            }
        };
        let v1 = groups
            .iter()
            .find(|group| group.controllers.iter().any(|name| name == "memory"));
        let v2 = groups.iter().find(|group| group.hierarchy == 0);
        let (files, group) = match (v1, v2) {
            (Some(group), _) => (V1, group),
            (None, Some(group)) => (V2, group),
            (None, None) => {
                return Self {
                    limit: Ok(None),
                    oom_kills: Err("the process is in no cgroup".to_owned()),
                };
            }
        };
        let (own, top) = directories(host, process.pid(), &files, &group.pathname);
        Self {
            limit: lowest_limit(&own, &top, files.limit),
            oom_kills: oom_kills(&own.join(files.events)),
        }
    }
}

/// Returns the directory of the process's cgroup, and that of the topmost visible one.
fn directories(host: &HostDirs, pid: i32, files: &Files, path: &str) -> (PathBuf, PathBuf) {
    let top = host.cgroup.join(files.mount);
    let own = top.join(path.trim_start_matches('/'));
    let outside = path.split('/').any(|part| part == "..");
    if !outside && own.is_dir() {
        return (own, top);
    }
    // The cgroup is outside this agent's container. The process itself sees its own cgroup as the
    // topmost one.
    let visible = host.root_of(pid).join("sys/fs/cgroup").join(files.mount);
    (visible.clone(), visible)
}

/// Returns the lowest of the limits from `own` up to `top`.
fn lowest_limit(own: &Path, top: &Path, file: &str) -> Result<Option<u64>, String> {
    let mut lowest = None;
    for dir in own.ancestors().take_while(|dir| dir.starts_with(top)) {
        let path = dir.join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // The root cgroup has no limit, and neither has one without the memory controller.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(read_error(&path, &error)),
        };
        // Without a limit, version 2 says `max`, which does not parse, and version 1 a number above
        // any host's memory.
        if let Ok(limit) = text.trim().parse::<u64>() {
            lowest = Some(lowest.map_or(limit, |lowest: u64| lowest.min(limit)));
        }
    }
    Ok(lowest)
}

fn oom_kills(path: &Path) -> Result<u64, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err("the process's cgroup does not count OOM kills".to_owned());
        }
        Err(error) => return Err(read_error(path, &error)),
    };
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .ok_or_else(|| "this kernel does not count OOM kills".to_owned())
}

fn read_error(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use crate::sidecar::test_host::TestHost;

    use super::*;

    fn read(host: &TestHost) -> Memory {
        let process = Process::new_with_root(host.path().join("proc/22")).unwrap();
        Memory::read(&process, &host.dirs())
    }

    fn host_with_cgroup(lines: &str) -> TestHost {
        let host = TestHost::new();
        host.add_process(22, 1, 6, "java");
        host.write("proc/22/cgroup", lines);
        host
    }

    #[test]
    fn the_lowest_limit_up_to_the_root_applies() {
        let host = host_with_cgroup("0::/convex.slice/peer.service\n");
        host.write("cgroup/convex.slice/peer.service/memory.max", "max\n");
        let events = "low 0\nhigh 0\nmax 8\noom 3\noom_kill 2\noom_group_kill 1\n";
        host.write("cgroup/convex.slice/peer.service/memory.events", events);
        assert_eq!(read(&host).limit, Ok(None), "no limit");
        assert_eq!(read(&host).oom_kills, Ok(2));
        host.write("cgroup/convex.slice/memory.max", "2147483648\n");
        assert_eq!(
            read(&host).limit,
            Ok(Some(2 << 30)),
            "the limit of the slice"
        );
        host.write(
            "cgroup/convex.slice/peer.service/memory.max",
            "1073741824\n",
        );
        assert_eq!(
            read(&host).limit,
            Ok(Some(1 << 30)),
            "the limit of the service"
        );
        host.write("cgroup/convex.slice/memory.max", "1024\n");
        assert_eq!(
            read(&host).limit,
            Ok(Some(1024)),
            "the limit of the slice again"
        );
    }

    #[test]
    fn version_1_is_read_if_it_has_the_memory_controller() {
        let host = host_with_cgroup("4:memory:/peer\n1:name=systemd:/other\n0::/other\n");
        let limit = "cgroup/memory/peer/memory.limit_in_bytes";
        host.write(limit, "1073741824\n");
        let root = "cgroup/memory/memory.limit_in_bytes";
        host.write(root, "9223372036854771712\n");
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n";
        host.write("cgroup/memory/peer/memory.oom_control", control);
        let memory = read(&host);
        assert_eq!(memory.limit, Ok(Some(1 << 30)));
        assert_eq!(memory.oom_kills, Ok(5));
    }

    #[test]
    fn a_cgroup_outside_the_agents_container_is_read_as_the_peer_sees_it() {
        let host = host_with_cgroup("0::/../peer\n");
        host.write("proc/22/root/sys/fs/cgroup/memory.max", "4096\n");
        host.write("proc/22/root/sys/fs/cgroup/memory.events", "oom_kill 1\n");
        let memory = read(&host);
        assert_eq!(memory.limit, Ok(Some(4096)));
        assert_eq!(memory.oom_kills, Ok(1));
    }

    #[test]
    fn a_missing_count_of_oom_kills_is_explained() {
        let host = host_with_cgroup("0::/peer\n");
        let why = read(&host).oom_kills.unwrap_err();
        assert!(why.contains("does not count"), "{why}");
        host.write("proc/22/cgroup", "");
        let memory = read(&host);
        assert_eq!(memory.limit, Ok(None));
        assert!(memory.oom_kills.unwrap_err().contains("no cgroup"));
    }
}
