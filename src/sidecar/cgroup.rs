//! What the cgroups of a process allow it in memory, and how often that was too little. Versions 2 and 1.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use procfs::process::Process;

use super::find::why;
use super::process::Host;

/// What the cgroups say of memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// The tightest limit from the process' own cgroup upwards; none: there is none.
    pub(super) limit: Result<Option<u64>, String>,
    /// Processes of its own cgroup, and of those below, that were killed for want of memory.
    pub(super) oom_kills: Result<u64, String>,
}

/// The files of one version.
struct Files {
    /// Where the hierarchy with the memory controller is mounted, below the cgroups' directory.
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
    /// Reads what holds for `process`. Blocks.
    pub(super) fn read(process: &Process, host: &Host) -> Self {
        let groups = match process.cgroups() {
            Ok(groups) => groups.0,
            Err(error) => {
                let why = why(&error);
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
        let (own, top) = place(host, process.pid(), &files, &group.pathname);
        Self {
            limit: tightest(&own, &top, files.limit),
            oom_kills: oom_kills(&own.join(files.events)),
        }
    }
}

/// The directory of a process' cgroup, and that of the topmost one that can be seen.
fn place(host: &Host, pid: i32, files: &Files, path: &str) -> (PathBuf, PathBuf) {
    let top = host.cgroup.join(files.mount);
    let own = top.join(path.trim_start_matches('/'));
    let outside = path.split('/').any(|part| part == "..");
    if !outside && own.is_dir() {
        return (own, top);
    }
    // Beside this agent's own container: the process itself sees its cgroup as the topmost one.
    let seen = host.root_of(pid).join("sys/fs/cgroup").join(files.mount);
    (seen.clone(), seen)
}

/// The lowest of the limits from `own` up to `top`.
fn tightest(own: &Path, top: &Path, file: &str) -> Result<Option<u64>, String> {
    let mut lowest = None;
    for dir in own.ancestors().take_while(|dir| dir.starts_with(top)) {
        let path = dir.join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // The root has no limit, nor has a cgroup without the controller.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unread(&path, &error)),
        };
        // Version 1 says the largest number of pages where version 2 says `max`: the host has less.
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
            return Err("the process' cgroup does not count them".to_owned());
        }
        Err(error) => return Err(unread(path, &error)),
    };
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .ok_or_else(|| "this kernel does not count them".to_owned())
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::fixture::Files;

    fn read(files: &Files) -> Memory {
        let process = Process::new_with_root(files.path().join("proc/22")).unwrap();
        Memory::read(&process, &files.host())
    }

    fn in_cgroup(lines: &str) -> Files {
        let files = Files::new();
        files.process(22, 1, 6, "java");
        files.write("proc/22/cgroup", lines);
        files
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_holds() {
        let files = in_cgroup("0::/convex.slice/peer.service\n");
        files.write("cgroup/convex.slice/peer.service/memory.max", "max\n");
        let events = "low 0\nhigh 0\nmax 8\noom 3\noom_kill 2\noom_group_kill 1\n";
        files.write("cgroup/convex.slice/peer.service/memory.events", events);
        assert_eq!(read(&files).limit, Ok(None), "no limit at all");
        assert_eq!(read(&files).oom_kills, Ok(2));
        files.write("cgroup/convex.slice/memory.max", "2147483648\n");
        assert_eq!(read(&files).limit, Ok(Some(2 << 30)), "of the slice");
        files.write(
            "cgroup/convex.slice/peer.service/memory.max",
            "1073741824\n",
        );
        assert_eq!(read(&files).limit, Ok(Some(1 << 30)), "of the service");
        files.write("cgroup/convex.slice/memory.max", "1024\n");
        assert_eq!(read(&files).limit, Ok(Some(1024)), "of the slice again");
    }

    #[test]
    fn the_first_version_is_read_where_it_has_the_memory() {
        let files = in_cgroup("4:memory:/peer\n1:name=systemd:/other\n0::/other\n");
        let limit = "cgroup/memory/peer/memory.limit_in_bytes";
        files.write(limit, "1073741824\n");
        let root = "cgroup/memory/memory.limit_in_bytes";
        files.write(root, "9223372036854771712\n");
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n";
        files.write("cgroup/memory/peer/memory.oom_control", control);
        let memory = read(&files);
        assert_eq!(memory.limit, Ok(Some(1 << 30)));
        assert_eq!(memory.oom_kills, Ok(5));
    }

    #[test]
    fn a_cgroup_beside_the_agents_own_is_seen_as_the_peer_sees_it() {
        let files = in_cgroup("0::/../peer\n");
        files.write("proc/22/root/sys/fs/cgroup/memory.max", "4096\n");
        files.write("proc/22/root/sys/fs/cgroup/memory.events", "oom_kill 1\n");
        let memory = read(&files);
        assert_eq!(memory.limit, Ok(Some(4096)));
        assert_eq!(memory.oom_kills, Ok(1));
    }

    #[test]
    fn what_is_not_counted_is_told() {
        let files = in_cgroup("0::/peer\n");
        let why = read(&files).oom_kills.unwrap_err();
        assert!(why.contains("does not count"), "{why}");
        files.write("proc/22/cgroup", "");
        let memory = read(&files);
        assert_eq!(memory.limit, Ok(None));
        assert!(memory.oom_kills.unwrap_err().contains("no cgroup"));
    }
}
